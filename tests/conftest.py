"""What all tests share."""

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from sandbox.machine.processes import collect_garbage_seldom

collect_garbage_seldom()

_ELSEWHERE = ("AWS_", "PULUMI_", "KUBECONFIG", "SANDBOX_ADDRESS")

# A shell that `eval "$(sandbox/env)"` has turned to some sandbox must not turn the tests there too.
for _name in [name for name in os.environ if name.startswith(_ELSEWHERE)]:
    del os.environ[_name]


# Of those that have the platform of tests/platform/conftest.py, it is made once.
_TOGETHER = ("airflow_files", "blueprint", "dependency_order", "examples")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401
    """Give each worker whole files, and one of them the files that share a platform."""
    scheduler = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope
    together = {f"tests/platform/test_{name}.py" for name in _TOGETHER}

    def split(node: str) -> str:
        file = str(file_of(node))
        return "tests/platform" if file in together else file

    scheduler._split_scope = split
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that at the end no worker waits for another's last file."""
    # Of the files whose tests bring sandboxes or Airflows up, a longer one takes longer.
    items.sort(key=lambda item: -item.path.stat().st_size * _takes_long(item.path))


def _takes_long(file: Path) -> bool:
    return "platform" in file.parts or file.name in {"test_lifecycle.py", "test_task_states.py"}
