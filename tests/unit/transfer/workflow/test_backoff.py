"""The waits of one orchestration: how long they are, and what ends them."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from durabletask.task import OrchestrationContext

from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.workflow.backoff import Deadline, Pause, Waits, exactly
from shared.transfer.workflow.locks import WAKE
from shared.transfer.workflow.search import Search
from tests.support.engine.clock import EPOCH, VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.jobs import result

CANCEL = "cancel"


def wait(ctx: OrchestrationContext, payload: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """Do these waits one after the other; the Retry-After that is left after each."""
    waits = Waits(ctx, ctx.wait_for_external_event(CANCEL), counts_outages=True)
    event = ctx.wait_for_external_event("event")
    left = []
    for kind, value in payload["waits"]:
        match kind:
            case "pause":
                yield from waits.pause(Pause(**value))
            case "timer":
                yield from waits.pause_fully(Pause(**value))
            case "lock":
                yield from waits.wait_for_lock(value)
            case "event":
                yield from waits.wait_for_event(event, timedelta(seconds=value))
            case "event, cancelled or not":
                patience = timedelta(seconds=value)
                yield from waits.wait_for_event(event, patience, ignore_cancel=True)
            case "note":
                waits.note_retry_after(ActivityResult.from_json(value))
        left.append(waits.retry_after)
    return {"left": left}


def start(*waits: tuple[str, Any], id_: str = "f-1") -> VirtualEngine:
    payload = {"waits": waits}
    return VirtualEngine(VirtualClock(), wait, id_, payload, {}, VirtualEntities(()))


def seconds(*waits: tuple[str, Any], id_: str = "f-1") -> list[float]:
    """How long each of the waits is."""
    engine = start(*waits, id_=id_)
    engine.run()
    return engine.waits


@pytest.mark.parametrize("kind", ["pause", "timer"])
def test_a_pause_doubles_up_to_a_minute(kind: str) -> None:
    """With a jitter of a quarter either way."""
    found = seconds(*[(kind, {"tries": n}) for n in range(9)])
    expected = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for wait_, middle in zip(found, expected, strict=True):
        assert middle * 0.75 <= wait_ <= middle * 1.25
    assert len({wait_ / middle for wait_, middle in zip(found, expected, strict=True)}) > 5


def test_the_jitter_differs_between_transfers_and_stays_in_a_replay() -> None:
    """Transfers that were throttled together do not come back together."""
    waits = [("timer", {"tries": 6})]
    found = {seconds(*waits, id_=f"f-{n}")[0] for n in range(20)}
    assert len(found) > 15
    assert seconds(*waits) == seconds(*waits) == [55.3125]


@pytest.mark.parametrize(
    ("pause", "expected"),
    [
        ({"tries": 6, "at_most": 10}, 10),
        ({"tries": 0, "retry_after": 30}, 30),
        ({"tries": 6, "retry_after": 0.5, "at_most": 0.2}, 0.5),
        ({"tries": 6, "at_most": 0}, 0),
    ],
)
def test_a_pause_keeps_its_bounds(pause: dict[str, float], expected: float) -> None:
    """A Retry-After is never cut."""
    assert seconds(("timer", pause)) == [expected]


@pytest.mark.parametrize("length", [0.0, 0.3, 1.0, 5_000.0])
def test_an_exact_wait_has_no_backoff(length: float) -> None:
    """Neither more nor less."""
    pause = exactly(length)
    fields = {"tries": pause.tries, "retry_after": pause.retry_after, "at_most": pause.at_most}
    assert seconds(("timer", fields)) == [length]


LONG = {"tries": 0, "retry_after": 1_000}


def test_a_cancellation_ends_a_pause_but_not_the_next_ones() -> None:
    """After it, only what is needed to find the truth is waited for."""
    engine = start(("pause", LONG), ("pause", LONG))
    engine.raise_event(CANCEL)
    assert not engine.is_over
    engine.run()
    assert engine.clock.now - EPOCH == timedelta(seconds=1_000)


def test_a_cancellation_does_not_end_a_timer() -> None:
    """The record is written in any case."""
    engine = start(("timer", LONG))
    engine.raise_event(CANCEL)
    assert not engine.is_over


@pytest.mark.parametrize(
    ("kind", "event", "ends"),
    [
        ("event", "event", True),
        ("event", CANCEL, True),
        ("event", "other", False),
        ("event, cancelled or not", "event", True),
        ("event, cancelled or not", CANCEL, False),
        ("lock", WAKE, True),
        ("lock", CANCEL, True),
        ("lock", "event", False),
    ],
)
def test_an_event_ends_its_wait(kind: str, event: str, *, ends: bool) -> None:
    """Before its time; without any event the time ends it."""
    engine = start((kind, 50))
    engine.raise_event(event)
    assert engine.is_over is ends
    engine.run()
    assert engine.clock.now - EPOCH == timedelta(seconds=0 if ends else 50)


def test_an_event_that_came_before_is_not_waited_for() -> None:
    """No timer is made."""
    engine = start(("timer", LONG), ("event", 50))
    engine.raise_event("event")
    engine.run()
    assert engine.waits == [1_000]


def test_each_wait_for_a_lock_needs_a_release_of_its_own() -> None:
    """One that came before may have been that of an earlier lock."""
    engine = start(("lock", 50), ("lock", 60), ("lock", 70))
    engine.raise_event(WAKE)
    assert not engine.is_over
    engine.raise_event(WAKE)
    assert not engine.is_over
    engine.run()
    assert engine.clock.now - EPOCH == timedelta(seconds=70)


def test_a_cancelled_transfer_still_waits_for_its_lock() -> None:
    """To search for what may be attached."""
    engine = start(("lock", 50), ("lock", 60))
    engine.raise_event(CANCEL)
    assert not engine.is_over
    engine.run()
    assert engine.clock.now - EPOCH == timedelta(seconds=60)


def test_the_longest_retry_after_is_kept() -> None:
    """Counted from its result on; a result without one changes nothing."""
    notes = [result("retry", retry_after=n).to_json() for n in (30.0, 10.0)]
    notes.append(result("retry").to_json())
    ten = ("timer", {"tries": 0, "retry_after": 10})
    engine = start(*[("note", note) for note in notes], ten, ("note", notes[0]), *[ten] * 3)
    assert engine.run()["left"] == [30, 30, 30, 20, 30, 20, 10, 0]


def test_a_deadline_is_near_in_its_last_fifth() -> None:
    """Until that was announced."""
    deadline = Deadline.after(100, EPOCH)
    assert deadline.left(EPOCH + timedelta(seconds=30)) == 70
    assert not deadline.is_near(EPOCH + timedelta(seconds=79.9))
    assert deadline.is_near(EPOCH + timedelta(seconds=80))
    assert not Deadline(deadline.at).is_near(deadline.at)


@pytest.mark.parametrize(
    ("at", "unread", "before", "expected"),
    [
        (9.9, False, 0, True),
        (10, False, 0, False),
        (10, True, 0, True),
        (10, True, 3, True),
        (10, True, 4, False),
        (9.9, True, 4, True),
    ],
)
def test_a_search_goes_on_for_its_time_or_for_what_could_not_be_read(
    at: float, before: int, *, unread: bool, expected: bool
) -> None:
    """But only a few times for the latter."""
    search = Search(EPOCH + timedelta(seconds=10), unread=before)
    assert search.goes_on(EPOCH + timedelta(seconds=at), unread=unread) is expected
