"""Turns at a mailbox and at an item: how many at once, how many bytes, in which order."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.settings import Settings
from shared.transfer.retry_policy import LOCK_LEASE
from shared.transfer.workflow.mailbox_budget import (
    ONE_WRITER,
    AcquireLock,
    Budget,
    Limits,
    LockResult,
    ReleaseLock,
    mailbox_limits,
)
from tests.support.engine.clock import EPOCH as NOW

LIMITS = Limits(at_once=2, window_bytes=100, window=timedelta(seconds=300))


def acquire(
    budget: Budget,
    name: str,
    *,
    size: int = 0,
    came: int = 0,
    at: float = 0,
    limits: Limits = LIMITS,
) -> LockResult:
    """The transfer of this name, which came at second ``came``, asks at second ``at``."""
    since = NOW + timedelta(seconds=came)
    question = AcquireLock(transfer_id=name, since=since, size=size)
    return budget.acquire(question, limits, NOW + timedelta(seconds=at))


def release(
    budget: Budget, name: str, *, sent: int = 0, rest: float = 0, at: float = 0
) -> tuple[str, ...]:
    """Give the turn back; who is woken by it."""
    back = ReleaseLock(transfer_id=name, sent=sent, retry_after=rest)
    return budget.release(back, LIMITS, NOW + timedelta(seconds=at)).wake


def test_no_more_than_so_many_at_once() -> None:
    """The third waits until one gives its turn back."""
    budget = Budget()
    assert acquire(budget, "a").granted
    assert acquire(budget, "b", came=1).granted
    third = acquire(budget, "c", came=2)
    assert not third.granted
    assert third.retry_after > 0
    release(budget, "a")
    assert acquire(budget, "c", came=2).granted


def test_an_item_has_one_writer() -> None:
    """And who asks again for the turn it has, still has it."""
    budget = Budget()
    assert acquire(budget, "a", limits=ONE_WRITER).granted
    assert not acquire(budget, "b", came=1, limits=ONE_WRITER).granted
    assert acquire(budget, "a", limits=ONE_WRITER).granted


def test_who_came_first_goes_first() -> None:
    """A turn that is free is kept for the older transfer that waits, whoever asks meanwhile."""
    budget = Budget()
    for name in ("a", "b"):
        assert acquire(budget, name).granted
    assert not acquire(budget, "old", came=1).granted
    assert not acquire(budget, "young", came=2).granted
    release(budget, "a")
    assert not acquire(budget, "young", came=2).granted
    assert acquire(budget, "old", came=1).granted
    release(budget, "b")
    assert acquire(budget, "young", came=2).granted


def test_who_waits_is_woken_when_its_turn_is_free() -> None:
    """The oldest first, and nobody for whom there is no room yet."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place, name in enumerate(("first", "second", "third")):
        assert not acquire(budget, name, came=place + 1).granted
    assert release(budget, "a") == ("first",)
    assert release(budget, "b") == ("second",)
    assert acquire(budget, "first", came=1).granted


def test_nobody_is_woken_only_to_wait_again() -> None:
    """Those who have their turns know that somebody waits, and will wake the first in line."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place, name in enumerate(("first", "second", "third")):
        assert not acquire(budget, name, came=place + 1).granted
    for name in ("a", "b"):
        assert acquire(budget, name, at=1).awaited
    assert release(budget, "a", at=2) == ("first",)
    turn = acquire(budget, "first", came=1, at=2)
    assert turn.granted
    assert turn.awaited
    assert not turn.wake
    assert release(budget, "b", at=3) == ("second",)


def test_the_first_in_line_asks_soon_if_a_holder_does_not_know_of_it() -> None:
    """Who got its turn when nobody waited wakes nobody at its end."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place, name in enumerate(("first", "second")):
        assert not acquire(budget, name, came=place + 1).granted
    assert acquire(budget, "a", at=1).awaited
    assert release(budget, "a", at=2) == ("first",)
    turn = acquire(budget, "first", came=1, at=2)
    assert turn.wake == ("second",)
    assert acquire(budget, "second", came=2, at=2).retry_after == 5


def test_the_next_in_line_learns_how_long_its_bytes_must_wait() -> None:
    """Once it is the first that waits, not only when it was told to ask again."""
    budget = Budget()
    acquire(budget, "a", size=60)
    release(budget, "a", sent=60)
    acquire(budget, "b", size=40)
    release(budget, "b", sent=40, at=100)
    assert acquire(budget, "first", size=60, came=1, at=100).retry_after == 200
    second = acquire(budget, "second", size=30, came=2, at=100)
    assert second.retry_after == 300
    turn = acquire(budget, "first", size=60, came=1, at=300)
    assert turn.granted
    assert release(budget, "first", sent=5, at=301) == ("second",)


def test_who_waits_no_more_stands_in_nobodys_way() -> None:
    """A dead transfer in the line is forgotten some minutes after it should have asked again."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    assert not acquire(budget, "dead", came=1).granted
    release(budget, "a")
    assert not acquire(budget, "young", came=2, at=1).granted
    assert acquire(budget, "young", came=2, at=1_000).granted


def test_the_turn_of_a_dead_transfer_runs_out() -> None:
    """After its lease, and its bytes count as sent."""
    budget = Budget()
    acquire(budget, "dead", size=80)
    acquire(budget, "b", size=20)
    later = LOCK_LEASE.total_seconds() + 1
    release(budget, "b", sent=20, at=later)
    assert not acquire(budget, "c", size=30, came=1, at=later).granted
    assert acquire(budget, "c", size=30, came=1, at=later + 300).granted


def test_no_more_bytes_than_the_window_holds() -> None:
    """Bytes count from the moment they were sent; the wait ends when enough have left."""
    budget = Budget()
    acquire(budget, "a", size=60)
    release(budget, "a", sent=60, at=10)
    acquire(budget, "b", size=40, at=20)
    release(budget, "b", sent=40, at=30)
    waiting = acquire(budget, "c", size=50, at=40)
    assert not waiting.granted
    assert waiting.retry_after == 270
    assert acquire(budget, "c", size=50, at=310).granted


def test_bytes_that_were_not_sent_do_not_count() -> None:
    """A refused range costs nothing but itself."""
    budget = Budget()
    acquire(budget, "a", size=100)
    release(budget, "a", sent=10)
    assert acquire(budget, "b", size=90).granted


def test_what_needs_no_room_is_not_kept_waiting_for_it() -> None:
    """Listing and deleting go while the window is full."""
    budget = Budget()
    acquire(budget, "a", size=100)
    release(budget, "a", sent=100)
    assert acquire(budget, "b", size=0).granted


def test_more_than_the_window_goes_when_it_is_empty() -> None:
    """Or it would wait for ever."""
    budget = Budget()
    assert acquire(budget, "a", size=1_000).granted
    release(budget, "a", sent=1_000)
    assert not acquire(budget, "a", size=1_000, at=299).granted
    assert acquire(budget, "a", size=1_000, at=300).granted


def test_a_mailbox_that_asks_for_a_rest_is_left_alone_by_all() -> None:
    """A 429 that comes anyway slows the whole mailbox down."""
    budget = Budget()
    acquire(budget, "a")
    release(budget, "a", rest=30)
    waiting = acquire(budget, "b", came=1, at=10)
    assert (waiting.granted, waiting.retry_after) == (False, 20)
    assert acquire(budget, "b", came=1, at=30).granted


def test_nothing_is_kept_of_a_mailbox_at_rest() -> None:
    """An empty state is what lets an entity be deleted."""
    budget = Budget()
    acquire(budget, "a", size=10)
    release(budget, "a", sent=10)
    assert not budget.is_empty
    budget.expire(LIMITS, NOW + timedelta(seconds=301))
    assert budget.is_empty


def test_the_limits_are_the_settings() -> None:
    """Of a mailbox: 4 at once and 150 MB in 5 minutes, unless set otherwise."""
    limits = mailbox_limits(Settings.model_validate({}))
    assert limits == Limits(4, 150_000_000, timedelta(seconds=300))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 120), st.integers(0, 90)), max_size=60))
def test_whoever_asks_the_limits_are_kept(asked: list[tuple[int, int, int]]) -> None:
    """Any order of asking and giving back: turns and bytes stay within the limits."""
    budget, now = Budget(), 0.0
    held: dict[str, int] = {}
    sent: list[tuple[float, int]] = []
    for who, size, seconds in asked:
        now += seconds
        name = str(who)
        if name in held:
            sent.append((now, held.pop(name)))
            release(budget, name, sent=sent[-1][1], at=now)
        elif acquire(budget, name, size=size, came=who, at=now).granted:
            held[name] = size
        live = [size for at, size in sent if at > now - 300]
        assert len(held) <= 2
        if len(live) + len(held) > 1 and max([*live, *held.values()]) <= 100:
            assert sum(live) + sum(held.values()) <= 100


def test_the_oldest_is_never_passed_by() -> None:
    """However many younger ones ask, the oldest that waits gets the next free turn."""
    budget = Budget()
    acquire(budget, "a", size=90)
    release(budget, "a", sent=90)
    assert not acquire(budget, "old", size=50, came=1).granted
    for young in range(20):
        assert not acquire(budget, f"young {young}", size=5, came=2 + young, at=young).granted
    assert acquire(budget, "old", size=50, came=1, at=300).granted


@pytest.mark.parametrize("kind", ["held", "line", "spent"])
def test_the_state_travels_as_json(kind: str) -> None:
    """What an entity keeps between its operations is the same when read again."""
    budget = Budget()
    for name in ("a", "b", "c"):
        acquire(budget, name, size=30)
    release(budget, "a", sent=30, rest=5)
    again = Budget.model_validate(budget.model_dump(mode="json"))
    assert getattr(again, kind) == getattr(budget, kind)
    assert again == budget
