"""Locks of a mailbox: how many at once, how many bytes, one writer an item, in which order."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.transfer.activities.mailbox_queue import (
    Granted,
    Limits,
    MailboxQueue,
    Refused,
    Use,
    Waiter,
)
from shared.transfer.retry_policy import LOCK_LEASE, LOCK_POLL_SECONDS, WAITER_PATIENCE
from tests.support.engine.clock import EPOCH

LIMITS = Limits(at_once=2, window_bytes=100, window=timedelta(seconds=300))


@dataclass
class Mailbox:
    """A mailbox's queue at a time that the test sets."""

    queue: MailboxQueue = field(default_factory=MailboxQueue)
    seconds: float = 0.0

    def acquire(
        self, name: str, item: str = "", *, size: int = 0, came: int = 0
    ) -> Granted | Refused:
        """Ask for a lock; kept as it is kept in a row."""
        asking = Waiter(
            transfer_id=name, item=item or name, since=EPOCH + timedelta(seconds=came), size=size
        )
        result = self.queue.acquire(asking, LIMITS, EPOCH + timedelta(seconds=self.seconds))
        self.queue = MailboxQueue.model_validate_json(self.queue.model_dump_json())
        return result

    def fence(self, name: str, item: str = "", *, size: int = 0, came: int = 0) -> int:
        """The fence of a lock that must be granted."""
        granted = self.acquire(name, item, size=size, came=came)
        assert isinstance(granted, Granted)
        return granted.fence

    def release(
        self, name: str, fence: int, *, sent: int = 0, retry_after: float = 0.0
    ) -> tuple[str, ...]:
        """Give a lock back."""
        use = Use(name, fence, sent, retry_after)
        return self.queue.release(use, LIMITS, EPOCH + timedelta(seconds=self.seconds))


def test_only_so_many_at_once() -> None:
    """The third waits, and is woken by the first release."""
    mailbox = Mailbox()
    first = mailbox.fence("a", came=1)
    mailbox.fence("b", came=2)
    assert mailbox.acquire("c", came=3) == Refused(LOCK_POLL_SECONDS)
    assert mailbox.release("a", first) == ("c",)
    mailbox.fence("c", came=3)


def test_an_item_has_one_writer() -> None:
    """Though the mailbox has a lock left, for another item."""
    mailbox = Mailbox()
    first = mailbox.fence("a", "item", came=1)
    assert isinstance(mailbox.acquire("b", "item", came=2), Refused)
    other = mailbox.fence("c", "another", came=3)
    assert mailbox.release("c", other) == ()
    assert mailbox.release("a", first) == ("b",)


def test_the_files_of_an_item_go_in_order_of_arrival() -> None:
    """One that came later does not overtake one that waits."""
    mailbox = Mailbox()
    first = mailbox.fence("a", "item", came=1)
    mailbox.acquire("b", "item", came=2)
    mailbox.release("a", first)
    assert isinstance(mailbox.acquire("c", "item", came=3), Refused)
    mailbox.fence("b", "item", came=2)


def test_an_item_that_is_waited_for_keeps_no_other_waiting() -> None:
    """A hundred files for one item take one place of the mailbox."""
    mailbox = Mailbox()
    mailbox.fence("a", "item", came=1)
    for n in range(100):
        mailbox.acquire(f"b{n}", "item", came=2 + n)
    mailbox.fence("z", "another", came=200)


def test_bytes_wait_for_the_window() -> None:
    """What was sent counts until the window has passed, and nothing else does."""
    mailbox = Mailbox()
    fence = mailbox.fence("a", size=80)
    assert isinstance(mailbox.acquire("b", size=40, came=1), Refused)
    mailbox.seconds = 10
    mailbox.release("a", fence, sent=70)
    mailbox.seconds = 20
    assert mailbox.acquire("b", size=40, came=1) == Refused(290.0)
    mailbox.fence("c", size=0, came=0)
    mailbox.seconds = 310
    mailbox.fence("b", size=40, came=1)


def test_what_was_asked_for_and_not_sent_costs_nothing() -> None:
    """Sixty files to items that do not exist leave the window as it was."""
    mailbox = Mailbox()
    for n in range(60):
        fence = mailbox.fence(f"a{n}", size=90, came=n)
        mailbox.release(f"a{n}", fence, sent=0)
    mailbox.fence("b", size=100, came=100)


def test_more_than_the_window_holds_goes_alone() -> None:
    """When nothing else counts; else it would wait for ever."""
    mailbox = Mailbox()
    fence = mailbox.fence("a", size=1)
    mailbox.release("a", fence, sent=1)
    assert mailbox.acquire("b", size=500, came=1) == Refused(300.0)
    mailbox.seconds = 300
    mailbox.fence("b", size=500, came=1)


def test_a_large_file_is_not_passed_by_small_ones_for_ever() -> None:
    """Its bytes count as soon as it waits."""
    mailbox = Mailbox()
    fence = mailbox.fence("a", size=50)
    mailbox.release("a", fence, sent=50)
    mailbox.acquire("large", size=100, came=1)
    assert isinstance(mailbox.acquire("small", size=10, came=2), Refused)


def test_a_late_or_repeated_release_ends_no_newer_lock() -> None:
    """Each lock has a fence of its own, greater than all before."""
    mailbox = Mailbox()
    first = mailbox.fence("a", "item", came=1)
    mailbox.release("a", first)
    second = mailbox.fence("a", "item", came=1)
    assert second > first
    assert mailbox.release("a", first, sent=99) == ()
    assert isinstance(mailbox.acquire("b", "item", came=2), Refused)
    mailbox.fence("c", size=100, came=3)


def test_a_second_delivery_replaces_the_lock_of_the_first() -> None:
    """The worker that held it may be dead; if it is not, its release is ignored."""
    mailbox = Mailbox()
    dead = mailbox.fence("a", "item")
    alive = mailbox.fence("a", "item")
    assert mailbox.release("a", dead) == ()
    assert [each.fence for each in mailbox.queue.holders] == [alive]


def test_a_lock_expires_and_counts_with_all_that_it_may_have_sent() -> None:
    """Nobody knows what a dead worker sent."""
    mailbox = Mailbox()
    mailbox.fence("dead", "item", size=100)
    mailbox.seconds = LOCK_LEASE.total_seconds() + 1
    mailbox.fence("a", "item", came=1)
    assert isinstance(mailbox.acquire("b", size=1, came=2), Refused)


def test_one_that_never_comes_back_keeps_nobody_waiting() -> None:
    """It is dropped some time after it should have come."""
    mailbox = Mailbox()
    fences = [mailbox.fence(name, came=1) for name in ("a", "b")]
    mailbox.acquire("dead", came=2)
    mailbox.acquire("c", came=3)
    assert mailbox.release("a", fences[0]) == ("dead",)
    assert mailbox.release("b", fences[1]) == ("c",)
    mailbox.seconds = WAITER_PATIENCE.total_seconds() + 1
    mailbox.fence("x", came=4)
    mailbox.fence("y", came=5)


def test_retry_after_holds_for_the_whole_mailbox() -> None:
    """The longest that anybody was asked for; then all goes on."""
    mailbox = Mailbox()
    a, b = mailbox.fence("a"), mailbox.fence("b", came=1)
    mailbox.release("a", a, retry_after=30)
    mailbox.release("b", b, retry_after=10)
    assert mailbox.acquire("c", came=2) == Refused(30.0)
    mailbox.seconds = 30
    mailbox.fence("c", came=2)


def test_nobody_is_woken_twice_for_the_same_lock() -> None:
    """A message costs money."""
    mailbox = Mailbox()
    fences = [mailbox.fence(name, came=1) for name in ("a", "b")]
    mailbox.acquire("c", came=2)
    assert mailbox.release("a", fences[0]) == ("c",)
    mailbox.seconds = 1
    assert mailbox.release("b", fences[1]) == ()


@pytest.mark.parametrize("ahead", [0, 1, 2, 3, 8])
def test_those_far_behind_come_back_less_often(ahead: int) -> None:
    """A thousand waiters do not all ask every minute."""
    mailbox = Mailbox()
    for n in range(2 + ahead):
        mailbox.acquire(f"{n}", came=n)
    refused = mailbox.acquire("last", came=99)
    assert refused == Refused(LOCK_POLL_SECONDS * (1 + ahead // 2))


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.integers(0, 60)), max_size=60))
def test_no_limit_is_ever_broken(steps: list[tuple[int, int, int]]) -> None:
    """Whoever asks, releases or lets time pass, in whatever order."""
    mailbox, fences, sizes = Mailbox(), dict[str, int](), dict[str, int]()
    for transfer, item, size in steps:
        name = f"{transfer}"
        if name in fences:
            mailbox.release(name, fences.pop(name), sent=min(size, sizes[name]))
        else:
            result = mailbox.acquire(name, f"item {item}", size=size, came=transfer)
            if isinstance(result, Granted):
                fences[name], sizes[name] = result.fence, size
        mailbox.seconds += size
        now = EPOCH + timedelta(seconds=mailbox.seconds)
        holders = [each for each in mailbox.queue.holders if each.expires_at > now]
        assert len(holders) <= LIMITS.at_once
        assert len({each.item for each in holders}) == len(holders)
        counted = [each for each in mailbox.queue.sent if each.at + LIMITS.window > now]
        reserved = sum(each.size for each in holders) + sum(each.size for each in counted)
        assert reserved <= LIMITS.window_bytes


@given(st.permutations(range(8)))
def test_the_oldest_goes_first(order: list[int]) -> None:
    """In whatever order they come back after a wait."""
    mailbox = Mailbox()
    fences = [mailbox.fence(name, came=-1) for name in ("x", "y")]
    for n in order:
        mailbox.acquire(f"{n}", came=n)
    woken = [*mailbox.release("x", fences[0]), *mailbox.release("y", fences[1])]
    assert woken == ["0", "1"]


@dataclass
class Sender:
    """A transfer that asks for one lock, holds it for some seconds, and sends its bytes or none."""

    name: str
    item: str
    size: int
    sends: bool
    seconds: int
    due: float = 0.0
    fence: int | None = None

    def act(self, mailbox: Mailbox, came: int) -> tuple[str, ...] | None:
        """Ask, or release at the end; the transfers to wake, None when it waits."""
        if self.fence is not None:
            return mailbox.release(self.name, self.fence, sent=self.size if self.sends else 0)
        result = mailbox.acquire(self.name, self.item, size=self.size, came=came)
        if isinstance(result, Refused):
            self.due = mailbox.seconds + result.retry_after
            return None
        self.fence, self.due = result.fence, mailbox.seconds + self.seconds
        return result.wake


senders = st.lists(
    st.tuples(st.integers(0, 100), st.booleans(), st.integers(1, 60), st.sampled_from("ABCD")),
    max_size=25,
)


@given(senders, st.integers(0, 100))
@example([(13, True, 1, "A"), (88, False, 1, "A"), (1, True, 1, "A")], 100)
def test_nobody_waits_longer_than_the_bytes_before_it_cost(
    older: list[tuple[int, bool, int, str]], size: int
) -> None:
    """The bound in the module's docstring, for any mix of files; wrong items cost no window."""
    all_ = [Sender(f"{n:02}", item, s, sends, t) for n, (s, sends, t, item) in enumerate(older)]
    last = Sender("last", "A", size, sends=True, seconds=1)
    all_.append(last)
    came = {each.name: n for n, each in enumerate(all_)}
    mailbox = Mailbox()
    running = list(all_)
    while last.fence is None:
        each = min(running, key=lambda sender: (sender.due, came[sender.name]))
        mailbox.seconds = max(mailbox.seconds, each.due)
        is_over = each.fence is not None
        for woken in each.act(mailbox, came[each.name]) or ():
            next(other for other in running if other.name == woken).due = mailbox.seconds
        if is_over:
            running.remove(each)
    bytes_before = 0
    if any(each.sends for each in all_[:-1]):
        bytes_before = sum(each.size for each in all_[:-1])
    seconds_before = sum(each.seconds for each in all_[:-1])
    window = LIMITS.window.total_seconds()
    bound = window * (2 * bytes_before / LIMITS.window_bytes + 1) + seconds_before
    assert mailbox.seconds <= bound
