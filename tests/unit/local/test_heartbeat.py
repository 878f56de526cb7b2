"""What takes long says so."""

import threading

import pytest

from infra.local.heartbeat import heartbeat


def test_it_says_what_is_done_until_it_is_done() -> None:
    """Several times, with the seconds."""
    lines: list[str] = []
    twice = threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            twice.set()

    with heartbeat("Starting", every=0.01, say=say):
        assert twice.wait(20)
    assert lines[:2] == ["Starting (0 s)"] * 2


def test_what_is_short_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An error passes, and ends it."""
    with pytest.raises(KeyError), heartbeat("Starting"):
        raise KeyError
    assert capsys.readouterr().out == ""
    assert "heartbeat" not in {each.name for each in threading.enumerate()}
