"""The locks of a mailbox and an item: how many at once, how many bytes, in which order."""

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
    began: int = 0,
    at: float = 0,
    limits: Limits = LIMITS,
) -> LockResult:
    """The transfer of this name, which began at second ``began``, requests a lock."""
    since = NOW + timedelta(seconds=began)
    request = AcquireLock(transfer_id=name, since=since, size=size)
    return budget.acquire(request, limits, NOW + timedelta(seconds=at))


def release(
    budget: Budget, name: str, *, sent: int = 0, retry_after: float = 0, at: float = 0
) -> tuple[str, ...]:
    """Release the lock; the transfers that are woken by it."""
    request = ReleaseLock(transfer_id=name, sent=sent, retry_after=retry_after)
    return budget.release(request, LIMITS, NOW + timedelta(seconds=at)).wake


def test_no_more_than_so_many_at_once() -> None:
    """The third waits until one of two releases its lock."""
    budget = Budget()
    assert acquire(budget, "a").granted
    assert acquire(budget, "b", began=1).granted
    third = acquire(budget, "c", began=2)
    assert not third.granted
    assert third.retry_after > 0
    release(budget, "a")
    assert acquire(budget, "c", began=2).granted


def test_an_item_has_one_writer() -> None:
    """Its own second request is granted."""
    budget = Budget()
    assert acquire(budget, "a", limits=ONE_WRITER).granted
    assert not acquire(budget, "b", began=1, limits=ONE_WRITER).granted
    assert acquire(budget, "a", limits=ONE_WRITER).granted


def test_the_transfer_that_began_first_is_first() -> None:
    """A free lock is kept for the older transfer that waits, whichever requests it meanwhile."""
    budget = Budget()
    for name in ("a", "b"):
        assert acquire(budget, name).granted
    assert not acquire(budget, "old", began=1).granted
    assert not acquire(budget, "young", began=2).granted
    release(budget, "a")
    assert not acquire(budget, "young", began=2).granted
    assert acquire(budget, "old", began=1).granted
    release(budget, "b")
    assert acquire(budget, "young", began=2).granted


def test_a_waiting_transfer_is_woken_when_a_lock_is_free() -> None:
    """The oldest first, and none that would have to wait again."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place, name in enumerate(("first", "second", "third")):
        assert not acquire(budget, name, began=place + 1).granted
    assert release(budget, "a") == ("first",)
    assert release(budget, "b") == ("second",)
    assert acquire(budget, "first", began=1).granted


def test_a_holder_that_has_to_wait_now_wakes_the_first_of_the_queue() -> None:
    """Its request releases the lock that it held."""
    budget = Budget()
    acquire(budget, "young", began=1, limits=ONE_WRITER)
    assert not acquire(budget, "old", limits=ONE_WRITER).granted
    assert acquire(budget, "young", began=1, limits=ONE_WRITER).wake == ("old",)


def test_none_is_woken_only_to_wait_again() -> None:
    """The holders know that others wait, and wake the first of the queue."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place, name in enumerate(("first", "second", "third")):
        assert not acquire(budget, name, began=place + 1).granted
    for name in ("a", "b"):
        assert acquire(budget, name, at=1).awaited
    assert release(budget, "a", at=2) == ("first",)
    lock = acquire(budget, "first", began=1, at=2)
    assert lock.granted
    assert lock.awaited
    assert not lock.wake
    assert release(budget, "b", at=3) == ("second",)


def test_the_first_of_the_queue_polls_soon_if_a_holder_does_not_know_of_it() -> None:
    """A holder whose lock was granted when none waited wakes none at its end."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place, name in enumerate(("first", "second")):
        assert not acquire(budget, name, began=place + 1).granted
    assert acquire(budget, "a", at=1).awaited
    assert release(budget, "a", at=2) == ("first",)
    lock = acquire(budget, "first", began=1, at=2)
    assert lock.wake == ("second",)
    assert acquire(budget, "second", began=2, at=2).retry_after == 5


def test_the_next_of_the_queue_learns_how_long_its_bytes_must_wait() -> None:
    """As soon as it is the first that waits, and not at its next request only."""
    budget = Budget()
    acquire(budget, "a", size=60)
    release(budget, "a", sent=60)
    acquire(budget, "b", size=40)
    release(budget, "b", sent=40, at=100)
    assert acquire(budget, "first", size=60, began=1, at=100).retry_after == 200
    second = acquire(budget, "second", size=30, began=2, at=100)
    assert second.retry_after == 300
    lock = acquire(budget, "first", size=60, began=1, at=300)
    assert lock.granted
    assert release(budget, "first", sent=5, at=301) == ("second",)


def test_a_dead_transfer_does_not_block_the_queue() -> None:
    """It is dropped some minutes after its next request was due."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    assert not acquire(budget, "dead", began=1).granted
    release(budget, "a")
    assert not acquire(budget, "young", began=2, at=1).granted
    assert acquire(budget, "young", began=2, at=1_000).granted


def test_the_lock_of_a_dead_transfer_expires() -> None:
    """After its lease, and its bytes count as sent."""
    budget = Budget()
    acquire(budget, "dead", size=80)
    acquire(budget, "b", size=20)
    later = LOCK_LEASE.total_seconds() + 1
    release(budget, "b", sent=20, at=later)
    assert not acquire(budget, "c", size=30, began=1, at=later).granted
    assert acquire(budget, "c", size=30, began=1, at=later + 300).granted


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


def test_work_without_bytes_does_not_wait_for_the_window() -> None:
    """Listing and deleting are possible while the window is full."""
    budget = Budget()
    acquire(budget, "a", size=101)
    release(budget, "a", sent=101)
    assert acquire(budget, "b", size=0).granted


def test_more_than_a_window_is_sent_when_it_is_empty() -> None:
    """Otherwise it would wait without an end."""
    budget = Budget()
    assert acquire(budget, "a", size=1_000).granted
    release(budget, "a", sent=1_000)
    assert not acquire(budget, "a", size=1_000, at=299).granted
    assert acquire(budget, "a", size=1_000, at=300).granted


def test_a_retry_after_holds_for_all_transfers_of_the_mailbox() -> None:
    """A 429 to one of them delays the others, too."""
    budget = Budget()
    acquire(budget, "a")
    release(budget, "a", retry_after=30)
    waiting = acquire(budget, "b", began=1, at=10)
    assert (waiting.granted, waiting.retry_after) == (False, 20)
    assert acquire(budget, "b", began=1, at=30).granted


def test_nothing_is_kept_of_an_idle_mailbox() -> None:
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
def test_the_limits_are_kept_by_any_order_of_requests(requests: list[tuple[int, int, int]]) -> None:
    """Locks and bytes stay within the limits."""
    budget, now = Budget(), 0.0
    held: dict[str, int] = {}
    sent: list[tuple[float, int]] = []
    for who, size, seconds in requests:
        now += seconds
        name = str(who)
        if name in held:
            sent.append((now, held.pop(name)))
            release(budget, name, sent=sent[-1][1], at=now)
        elif acquire(budget, name, size=size, began=who, at=now).granted:
            held[name] = size
        live = [size for at, size in sent if at > now - 300]
        assert len(held) <= 2
        if len(live) + len(held) > 1 and max([*live, *held.values()]) <= 100:
            assert sum(live) + sum(held.values()) <= 100


def test_the_oldest_is_never_overtaken() -> None:
    """Any number of younger transfers wait behind it."""
    budget = Budget()
    acquire(budget, "a", size=90)
    release(budget, "a", sent=90)
    assert not acquire(budget, "old", size=50, began=1).granted
    for young in range(20):
        assert not acquire(budget, f"young {young}", size=5, began=2 + young, at=young).granted
    assert acquire(budget, "old", size=50, began=1, at=300).granted


@pytest.mark.parametrize("kind", ["held", "queue", "sent"])
def test_the_state_travels_as_json(kind: str) -> None:
    """What an entity keeps between its operations is the same when read again."""
    budget = Budget()
    for name in ("a", "b", "c"):
        acquire(budget, name, size=30)
    release(budget, "a", sent=30, retry_after=5)
    again = Budget.model_validate(budget.model_dump(mode="json"))
    assert getattr(again, kind) == getattr(budget, kind)
    assert again == budget


def test_a_state_that_version_1_0_kept_is_read() -> None:
    """Entities live longer than a version of the app: the keys of their states stay."""
    moment = NOW.isoformat()
    kept = {
        "held": {"a": {"until": moment, "size": 1, "is_awaited": True}},
        "line": [{"since": moment, "transfer_id": "b", "size": 2, "asks_at": moment}],
        "spent": [{"at": moment, "size": 3}],
        "closed_until": moment,
    }
    budget = Budget.model_validate(kept)
    assert (budget.held["a"].size, budget.queue[0].retry_at) == (1, NOW)
    assert (budget.sent[0].size, budget.retry_after_until) == (3, NOW)
    again = budget.model_dump(mode="json", by_alias=True)
    assert again.keys() == kept.keys()
    assert again["line"][0].keys() == {"since", "transfer_id", "size", "asks_at"}
    assert Budget.model_validate(again) == budget


@pytest.mark.parametrize(
    ("waiting", "seconds"),
    [(0, 60), (1, 60), (2, 120), (3, 120), (4, 180), (58, 1_800), (99, 1_800)],
)
def test_a_place_far_behind_polls_seldom(waiting: int, seconds: float) -> None:
    """A minute for each round of locks before its own, but never longer than a lease."""
    budget = Budget()
    for name in ("a", "b"):
        acquire(budget, name)
    for place in range(waiting):
        assert not acquire(budget, f"{place}", began=place + 1).granted
    for name in ("a", "b"):
        acquire(budget, name)
    held = [each.is_awaited for each in budget.held.values()]
    own = acquire(budget, "own", began=1_000)
    assert held == [waiting > 0] * 2
    assert own.retry_after == (seconds if waiting else 5)


def test_a_lock_and_a_wait_end_with_their_last_second() -> None:
    """Not before it."""
    budget = Budget()
    lease = LOCK_LEASE.total_seconds()
    acquire(budget, "a", limits=ONE_WRITER)
    acquire(budget, "b", began=1, limits=ONE_WRITER)
    budget.expire(ONE_WRITER, NOW + timedelta(seconds=304.9))
    assert [each.transfer_id for each in budget.queue] == ["b"]
    budget.expire(ONE_WRITER, NOW + timedelta(seconds=305))
    assert budget.queue == []
    budget.expire(ONE_WRITER, NOW + timedelta(seconds=lease - 0.1))
    assert list(budget.held) == ["a"]
    budget.expire(ONE_WRITER, NOW + timedelta(seconds=lease))
    assert budget.held == {}


def test_the_longest_retry_after_counts() -> None:
    """A shorter one that comes later does not end it."""
    budget = Budget()
    for name, seconds in (("a", 30), ("b", 10), ("c", 40)):
        release(budget, name, retry_after=seconds)
    assert acquire(budget, "d").retry_after == 40
    assert acquire(budget, "d", at=39.9).retry_after == pytest.approx(0.1)
    assert acquire(budget, "d", at=40).granted


def test_a_release_without_a_lock_counts_no_bytes() -> None:
    """Of a transfer that waited only, or whose lease is over."""
    budget = Budget()
    release(budget, "a", sent=100)
    assert acquire(budget, "b", size=100).granted


def test_bytes_of_all_who_hold_a_lock_or_wait_before_count() -> None:
    """As if they were sent already; the wait is a window at most, or a poll while it is empty."""
    budget = Budget()
    acquire(budget, "a", size=60)
    assert acquire(budget, "b", size=50, began=1).retry_after == 60
    release(budget, "a", sent=60)
    assert acquire(budget, "b", size=50, began=1, at=100).retry_after == 200
    assert acquire(budget, "c", size=40, began=2, at=100).retry_after == 200
    wide = Limits(at_once=9, window_bytes=100, window=timedelta(seconds=300))
    assert acquire(budget, "d", size=90, began=3, at=100, limits=wide).retry_after == 300


def test_the_first_of_the_queue_that_can_be_sooner_is_woken() -> None:
    """The bytes that were reserved were not sent: the window has room earlier than expected."""
    budget = Budget()
    acquire(budget, "z", size=40)
    release(budget, "z", sent=40)
    acquire(budget, "a", size=60, at=100)
    assert acquire(budget, "b", size=50, began=1, at=100).retry_after == 300
    assert release(budget, "a", sent=20, at=101) == ("b",)
    assert acquire(budget, "b", size=50, began=1, at=101).retry_after == 199
