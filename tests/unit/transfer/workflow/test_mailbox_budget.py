"""Turns at a mailbox and at an item: how many at once, how many bytes, in which order."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.settings import Settings
from shared.transfer.workflow.mailbox_budget import (
    LEASE,
    ONE_WRITER,
    AskForTurn,
    Budget,
    GiveTurnBack,
    Limits,
    Turn,
    mailbox_limits,
)
from tests.virtual_engine import EPOCH as NOW

LIMITS = Limits(at_once=2, window_bytes=100, window=timedelta(seconds=300))


def ask(
    budget: Budget,
    name: str,
    *,
    size: int = 0,
    came: int = 0,
    at: float = 0,
    limits: Limits = LIMITS,
) -> Turn:
    """The transfer of this name, which came at second ``came``, asks at second ``at``."""
    since = NOW + timedelta(seconds=came)
    question = AskForTurn(transfer_id=name, since=since, size=size)
    return budget.ask(question, limits, NOW + timedelta(seconds=at))


def give_back(
    budget: Budget, name: str, *, sent: int = 0, rest: float = 0, at: float = 0
) -> tuple[str, ...]:
    """Give the turn back; who is woken by it."""
    back = GiveTurnBack(transfer_id=name, sent=sent, rest_seconds=rest)
    return budget.give_back(back, LIMITS, NOW + timedelta(seconds=at)).wake


def test_no_more_than_so_many_at_once() -> None:
    """The third waits until one gives its turn back."""
    budget = Budget()
    assert ask(budget, "a").granted
    assert ask(budget, "b", came=1).granted
    third = ask(budget, "c", came=2)
    assert not third.granted
    assert third.wait_seconds > 0
    give_back(budget, "a")
    assert ask(budget, "c", came=2).granted


def test_an_item_has_one_writer() -> None:
    """And who asks again for the turn it has, still has it."""
    budget = Budget()
    assert ask(budget, "a", limits=ONE_WRITER).granted
    assert not ask(budget, "b", came=1, limits=ONE_WRITER).granted
    assert ask(budget, "a", limits=ONE_WRITER).granted


def test_who_came_first_goes_first() -> None:
    """A turn that is free is kept for the older transfer that waits, whoever asks meanwhile."""
    budget = Budget()
    for name in ("a", "b"):
        assert ask(budget, name).granted
    assert not ask(budget, "old", came=1).granted
    assert not ask(budget, "young", came=2).granted
    give_back(budget, "a")
    assert not ask(budget, "young", came=2).granted
    assert ask(budget, "old", came=1).granted
    give_back(budget, "b")
    assert ask(budget, "young", came=2).granted


def test_who_waits_is_woken_when_its_turn_is_free() -> None:
    """The oldest first, and nobody for whom there is no room yet."""
    budget = Budget()
    for name in ("a", "b"):
        ask(budget, name)
    for place, name in enumerate(("first", "second", "third")):
        assert not ask(budget, name, came=place + 1).granted
    assert give_back(budget, "a") == ("first",)
    assert give_back(budget, "b") == ("second",)
    assert ask(budget, "first", came=1).granted


def test_nobody_is_woken_only_to_wait_again() -> None:
    """Those who have their turns know that somebody waits, and will wake the first in line."""
    budget = Budget()
    for name in ("a", "b"):
        ask(budget, name)
    for place, name in enumerate(("first", "second", "third")):
        assert not ask(budget, name, came=place + 1).granted
    for name in ("a", "b"):
        assert ask(budget, name, at=1).awaited
    assert give_back(budget, "a", at=2) == ("first",)
    turn = ask(budget, "first", came=1, at=2)
    assert turn.granted
    assert turn.awaited
    assert not turn.wake
    assert give_back(budget, "b", at=3) == ("second",)


def test_the_first_in_line_asks_soon_if_a_holder_does_not_know_of_it() -> None:
    """Who got its turn when nobody waited wakes nobody at its end."""
    budget = Budget()
    for name in ("a", "b"):
        ask(budget, name)
    for place, name in enumerate(("first", "second")):
        assert not ask(budget, name, came=place + 1).granted
    assert ask(budget, "a", at=1).awaited
    assert give_back(budget, "a", at=2) == ("first",)
    turn = ask(budget, "first", came=1, at=2)
    assert turn.wake == ("second",)
    assert ask(budget, "second", came=2, at=2).wait_seconds == 5


def test_the_next_in_line_learns_how_long_its_bytes_must_wait() -> None:
    """Once it is the first that waits, not only when it was told to ask again."""
    budget = Budget()
    ask(budget, "a", size=60)
    give_back(budget, "a", sent=60)
    ask(budget, "b", size=40)
    give_back(budget, "b", sent=40, at=100)
    assert ask(budget, "first", size=60, came=1, at=100).wait_seconds == 200
    second = ask(budget, "second", size=30, came=2, at=100)
    assert second.wait_seconds == 300
    turn = ask(budget, "first", size=60, came=1, at=300)
    assert turn.granted
    assert give_back(budget, "first", sent=5, at=301) == ("second",)


def test_who_waits_no_more_stands_in_nobodys_way() -> None:
    """A dead transfer in the line is forgotten some minutes after it should have asked again."""
    budget = Budget()
    for name in ("a", "b"):
        ask(budget, name)
    assert not ask(budget, "dead", came=1).granted
    give_back(budget, "a")
    assert not ask(budget, "young", came=2, at=1).granted
    assert ask(budget, "young", came=2, at=1_000).granted


def test_the_turn_of_a_dead_transfer_runs_out() -> None:
    """After its lease, and its bytes count as sent."""
    budget = Budget()
    ask(budget, "dead", size=80)
    ask(budget, "b", size=20)
    later = LEASE.total_seconds() + 1
    give_back(budget, "b", sent=20, at=later)
    assert not ask(budget, "c", size=30, came=1, at=later).granted
    assert ask(budget, "c", size=30, came=1, at=later + 300).granted


def test_no_more_bytes_than_the_window_holds() -> None:
    """Bytes count from the moment they were sent; the wait ends when enough have left."""
    budget = Budget()
    ask(budget, "a", size=60)
    give_back(budget, "a", sent=60, at=10)
    ask(budget, "b", size=40, at=20)
    give_back(budget, "b", sent=40, at=30)
    waiting = ask(budget, "c", size=50, at=40)
    assert not waiting.granted
    assert waiting.wait_seconds == 270
    assert ask(budget, "c", size=50, at=310).granted


def test_bytes_that_were_not_sent_do_not_count() -> None:
    """A refused range costs nothing but itself."""
    budget = Budget()
    ask(budget, "a", size=100)
    give_back(budget, "a", sent=10)
    assert ask(budget, "b", size=90).granted


def test_what_needs_no_room_is_not_kept_waiting_for_it() -> None:
    """Listing and deleting go while the window is full."""
    budget = Budget()
    ask(budget, "a", size=100)
    give_back(budget, "a", sent=100)
    assert ask(budget, "b", size=0).granted


def test_more_than_the_window_goes_when_it_is_empty() -> None:
    """Or it would wait for ever."""
    budget = Budget()
    assert ask(budget, "a", size=1_000).granted
    give_back(budget, "a", sent=1_000)
    assert not ask(budget, "a", size=1_000, at=299).granted
    assert ask(budget, "a", size=1_000, at=300).granted


def test_a_mailbox_that_asks_for_a_rest_is_left_alone_by_all() -> None:
    """A 429 that comes anyway slows the whole mailbox down."""
    budget = Budget()
    ask(budget, "a")
    give_back(budget, "a", rest=30)
    waiting = ask(budget, "b", came=1, at=10)
    assert (waiting.granted, waiting.wait_seconds) == (False, 20)
    assert ask(budget, "b", came=1, at=30).granted


def test_nothing_is_kept_of_a_mailbox_at_rest() -> None:
    """An empty state is what lets an entity be deleted."""
    budget = Budget()
    ask(budget, "a", size=10)
    give_back(budget, "a", sent=10)
    assert not budget.is_empty
    budget.tidy(LIMITS, NOW + timedelta(seconds=301))
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
            give_back(budget, name, sent=sent[-1][1], at=now)
        elif ask(budget, name, size=size, came=who, at=now).granted:
            held[name] = size
        live = [size for at, size in sent if at > now - 300]
        assert len(held) <= 2
        if len(live) + len(held) > 1 and max([*live, *held.values()]) <= 100:
            assert sum(live) + sum(held.values()) <= 100


def test_the_oldest_is_never_passed_by() -> None:
    """However many younger ones ask, the oldest that waits gets the next free turn."""
    budget = Budget()
    ask(budget, "a", size=90)
    give_back(budget, "a", sent=90)
    assert not ask(budget, "old", size=50, came=1).granted
    for young in range(20):
        assert not ask(budget, f"young {young}", size=5, came=2 + young, at=young).granted
    assert ask(budget, "old", size=50, came=1, at=300).granted


@pytest.mark.parametrize("kind", ["held", "line", "spent"])
def test_the_state_travels_as_json(kind: str) -> None:
    """What an entity keeps between its operations is the same when read again."""
    budget = Budget()
    for name in ("a", "b", "c"):
        ask(budget, name, size=30)
    give_back(budget, "a", sent=30, rest=5)
    again = Budget.model_validate(budget.model_dump(mode="json"))
    assert getattr(again, kind) == getattr(budget, kind)
    assert again == budget
