"""What all tests share."""

import os

import pytest

_ELSEWHERE = ("AWS_", "PULUMI_", "KUBECONFIG", "SANDBOX_ADDRESS")

# A shell that `eval "$(sandbox/env)"` has turned to some sandbox must not turn the tests there too.
for _name in [name for name in os.environ if name.startswith(_ELSEWHERE)]:
    del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that at the end no worker waits for another's last file."""
    items.sort(key=lambda item: "platform" not in item.path.parts)
