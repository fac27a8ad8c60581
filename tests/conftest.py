"""What all tests share."""

import os

import pytest

_ELSEWHERE = ("AWS_", "PULUMI_", "KUBECONFIG", "SANDBOX_ADDRESS")

# A shell that `eval "$(sandbox/env)"` has turned to some sandbox must not turn the tests there too.
for _name in [name for name in os.environ if name.startswith(_ELSEWHERE)]:
    del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that at the end no worker waits for another's last file."""
    # Of the files whose tests bring sandboxes up, a longer one takes longer.
    items.sort(key=lambda item: -item.path.stat().st_size * ("platform" in item.path.parts))
