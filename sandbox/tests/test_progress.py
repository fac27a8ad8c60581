"""What a person sees of steps that take long: on a terminal, and in a file."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sandbox.machine import go_builds, progress
from sandbox.machine.program import ROOT

TIME = r" +\d+\.\d s  "
CLEAR = r"\r\x1b\[K"
LINE = r" +\d   s  building \.\.\."
BUILDING = """
import time
from sandbox.machine import progress
with progress.step("building"):
    time.sleep(1.5)
"""


def _on_a_terminal(program: str, **environment: str) -> str:
    """Run a Python program on a terminal of its own and return all that comes there."""
    terminal, its_side = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **environment},
        stdout=its_side,
        stderr=its_side,
    ):
        os.close(its_side)
        told = b""
        with suppress(OSError):  # which is how Linux tells that nobody has the other side
            while got := os.read(terminal, 4096):
                told += got
    os.close(terminal)
    return told.decode()


def test_in_a_file_a_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("building"):
        assert capsys.readouterr().out == ""
    assert re.fullmatch(TIME + "building\n", capsys.readouterr().out)


def test_on_a_terminal_a_line_is_rewritten_until_the_step_is_over() -> None:
    told = _on_a_terminal(BUILDING)
    live = f"({CLEAR}{LINE}){{2,}}"
    assert re.fullmatch(f"{live}{CLEAR}{TIME}building\r\n{LINE}{CLEAR}", told)


def test_on_a_terminal_without_escapes_a_step_is_one_line() -> None:
    assert re.fullmatch(TIME + "building\r\n", _on_a_terminal(BUILDING, TERM="dumb"))


def test_nothing_is_rewritten_where_others_print() -> None:
    program = BUILDING.replace('step("building")', 'live("building", rewriting=False)')
    assert _on_a_terminal(program) == ""


def test_a_line_that_is_rewritten_fits_the_terminal() -> None:
    told = _on_a_terminal(BUILDING, COLUMNS="14")
    assert re.search(r"\r\x1b\[K   0   s  bui\r", told)


@pytest.mark.parametrize(
    ("error", "word"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_a_step_that_does_not_succeed_says_so(
    error: type[BaseException], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error), progress.step("building"):
        raise error
    assert re.fullmatch(f"{TIME}building: {word}\n", capsys.readouterr().out)


def test_further_lines_are_indented_below_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.live("building") as say:
        say("it failed:\nno space\nleft")
    told = capsys.readouterr().out
    assert re.fullmatch(f"{TIME}it failed:\n {{10}}no space\n {{10}}left\n", told)


def test_what_the_terminal_cannot_show_is_shown_otherwise() -> None:
    program = BUILDING.replace("building", "größer")
    assert re.search(f"{TIME}gr\\\\xf6\\\\xdfer", _on_a_terminal(program, PYTHONIOENCODING="ascii"))


def test_who_asks_where_a_tool_is_gets_no_progress_for_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def build(_: object, *, environment: dict[str, str], **__: Any) -> None:  # noqa: ANN401
        Path(environment["GOBIN"]).mkdir()
        Path(environment["GOBIN"], "actionlint").touch()

    monkeypatch.setattr(go_builds, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(go_builds, "run_quietly", build)
    go_builds.main("actionlint")
    told = capsys.readouterr()
    assert told.out == f"{go_builds.installed('actionlint').parent}\n"
    assert "building actionlint" in told.err
