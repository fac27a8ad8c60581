"""What all tests share."""

import os

_ELSEWHERE = ("AWS_", "PULUMI_", "KUBECONFIG", "SANDBOX_ADDRESS")

# A shell that `eval "$(sandbox/env)"` has turned to some sandbox must not turn the tests there too.
for _name in [name for name in os.environ if name.startswith(_ELSEWHERE)]:
    del os.environ[_name]
