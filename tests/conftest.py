"""What all tests share."""

import os
from collections import Counter
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from sandbox.machine.processes import collect_garbage_seldom

collect_garbage_seldom()

_ELSEWHERE = ("AWS_", "PULUMI_", "KUBECONFIG", "SANDBOX_ADDRESS")

# A shell that `eval "$(sandbox/env)"` has turned to some sandbox must not turn the tests there too.
for _name in [name for name in os.environ if name.startswith(_ELSEWHERE)]:
    del os.environ[_name]


_AS_LONG = {"test_lifecycle.py", "test_task_states.py"}
"""Of the other files, those whose tests take as long as those of platforms."""


def _together(node: str) -> str:
    """Return the file of a test, or the folder whose files share a platform."""
    file = node.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder.startswith("tests/platform/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401
    """Give each worker whole files, and one of them all that share a platform."""
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = _together
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that at the end no worker waits for another's last file."""
    # Of the files whose tests bring sandboxes or Airflows up, a longer one takes longer.
    lengths: Counter[str] = Counter()
    for path, node in {item.path: item.nodeid for item in items}.items():
        if "platform" in path.parts or path.name in _AS_LONG:
            lengths[_together(node)] += path.stat().st_size
    items.sort(key=lambda item: -lengths[_together(item.nodeid)])
