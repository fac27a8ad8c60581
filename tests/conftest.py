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


_TOGETHER = {
    f"tests/platform/test_{file}.py": fixture
    for fixture, files in {
        "platform": ("airflow_files", "blueprint", "dependency_order", "examples"),
        "teams": ("dag_runs", "spark_jobs"),
    }.items()
    for file in files
}
"""The fixture of tests/platform/conftest.py that is made once for a file and others."""
_AS_LONG = {"test_lifecycle.py", "test_task_states.py"}
"""Of the other files, those whose tests take as long as those of platforms."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401
    """Give each worker whole files, and one of them the files that share a platform."""
    scheduler = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope
    scheduler._split_scope = lambda node: _TOGETHER.get(str(file_of(node)), file_of(node))
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that at the end no worker waits for another's last file."""
    # Of the files whose tests bring sandboxes or Airflows up, a longer one takes longer.
    files = {item.nodeid.partition("::")[0]: item.path for item in items}
    lengths: Counter[str] = Counter()
    for name, path in files.items():
        if "platform" in path.parts or path.name in _AS_LONG:
            lengths[_TOGETHER.get(name, name)] += path.stat().st_size
    places = {name: -lengths[_TOGETHER.get(name, name)] for name in files}
    items.sort(key=lambda item: places[item.nodeid.partition("::")[0]])
