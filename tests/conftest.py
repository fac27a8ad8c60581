"""What all tests share."""

import os

# A shell that `eval "$(sandbox/env)"` has turned to some sandbox must not turn the tests there too.
for _name in [name for name in os.environ if name.startswith(("AWS_", "PULUMI_", "KUBECONFIG"))]:
    del os.environ[_name]
