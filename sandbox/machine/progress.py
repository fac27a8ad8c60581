"""What a person sees of work that takes long: one line a step, with the time that it took."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say, when it is over, what was done and how long it took."""
    with live(title) as say:
        try:
            yield
        except KeyboardInterrupt:
            say(f"{title}: interrupted")
            raise
        except BaseException:
            say(f"{title}: failed")
            raise
        say(title)


@contextmanager
def live(title: str, *, rewriting: bool = True) -> Iterator[Callable[[str], None]]:
    """Give what says a line with the time that has passed, from any thread.

    On a terminal a last line shows that the work goes on. It is rewritten in place, so nobody else
    may print there meanwhile: without `rewriting` there is none.
    """
    shown = _Live(title, rewriting=rewriting)
    ticking = threading.Thread(target=shown.tick, daemon=True)
    ticking.start()
    try:
        yield shown.say
    finally:
        shown.end()
        ticking.join()


class _Live:
    def __init__(self, title: str, *, rewriting: bool) -> None:
        self._title = title
        self._begun = time.monotonic()
        self._output = sys.stdout
        terminal = self._output.isatty() and os.environ.get("TERM") != "dumb"
        self._rewriting = rewriting and terminal
        self._lock = threading.Lock()
        self._over = threading.Event()

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._begun:6.1f} s  {text}".replace("\n", f"\n{'':10}")
        with self._lock:
            self._write(f"{line}\n")

    def tick(self) -> None:
        while self._rewriting and not self._over.is_set():
            with self._lock:
                self._write("")
            self._over.wait(1)

    def end(self) -> None:
        with self._lock:
            self._over.set()
            self._write("")

    def _write(self, text: str) -> None:
        if self._rewriting:
            text = f"\r\x1b[K{text}"  # in the place of the last line
            if not self._over.is_set():
                line = f"{time.monotonic() - self._begun:4.0f}   s  {self._title} ..."
                text += line[: shutil.get_terminal_size().columns - 1]
        encoding = self._output.encoding
        self._output.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._output.flush()


def main(title: str, *command: str) -> int:
    """Run a command as one step; return its exit status."""
    try:
        with step(title):
            return subprocess.run(command, check=True).returncode
    except subprocess.CalledProcessError as error:
        return error.returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
