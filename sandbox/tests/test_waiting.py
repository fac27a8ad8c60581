"""How long something is waited for that has come to be."""

import pytest

from sandbox.machine import waiting


class Clock:
    """A time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(waiting, "time", clock := Clock())
    return clock


@pytest.mark.parametrize(("answer_seconds", "by"), [(0.0, 13.1), (0.3, 14.5), (3.0, 20.0)])
def test_whoever_is_slow_to_answer_is_asked_again_soon(
    clock: Clock, answer_seconds: float, by: float
) -> None:
    def is_there() -> bool:
        clock.sleep(answer_seconds)
        return clock.now - answer_seconds >= 13

    waiting.wait_for(is_there, "what is there after 13 seconds")
    assert clock.now <= by


def test_whoever_takes_long_to_ask_is_asked_seldom(clock: Clock) -> None:
    asked: list[float] = []

    def is_there() -> bool:
        asked.append(clock.now)
        clock.sleep(0.2)
        return clock.now >= 8

    waiting.wait_for(is_there, "what is there after eight seconds")
    assert len(asked) == 11


def test_what_never_comes_is_named(clock: Clock) -> None:
    with pytest.raises(TimeoutError, match="gave up waiting for a bus after 120 s"):
        waiting.wait_for(lambda: False, "a bus")
