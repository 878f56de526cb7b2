"""Many transfers to one mailbox: never more requests at once or more bytes than its limits."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from infra.local.outlook import Fault, catalogue
from infra.local.outlook.rules import Rules
from shared.transfer.activities.mailbox_locks import Lock, MailboxLocks
from shared.transfer.activities.mailbox_queue import Refused, Use, Waiter
from tests.support.figures import ReportLine
from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

SEED = 6
TRANSFERS, ITEMS, THREADS = 200, 20, 8
R = 40_000
WINDOW = 4_000_000
RULES = Rules(
    minimum_session_bytes=1, maximum_post_bytes=150_000, page_size=100, window_bytes=WINDOW
)
NO_LIMIT = 10**12


@dataclass
class LockCounter:
    """Counts the locks of the mailbox, and of each item, that are held at once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: dict[int, str] = field(default_factory=dict)
    most_at_once: int = 0
    most_writers: int = 0

    def watch(self, locks: MailboxLocks) -> None:
        """Count from now on."""
        acquire, release = locks.acquire, locks.release

        def counted_acquire(mailbox: str, asking: Waiter) -> Lock | Refused:
            result = acquire(mailbox, asking)
            if isinstance(result, Lock):
                with self.lock:
                    self.held[result.fence] = asking.item
                    self.most_at_once = max(self.most_at_once, len(self.held))
                    writers = Counter(self.held.values())
                    self.most_writers = max(self.most_writers, *writers.values())
            return result

        def counted_release(lock: Lock, use: Use) -> tuple[str, ...]:
            with self.lock:
                del self.held[use.fence]
            return release(lock, use)

        # The functions of this one instance.
        vars(locks).update(acquire=counted_acquire, release=counted_release)


@contextmanager
def transfers_to_one_mailbox(
    *faults: Fault, transfers: int = TRANSFERS, at_once: int = 4, window: int = WINDOW
) -> Iterator["ManyTransfers"]:
    """Transfers to some items of one mailbox, about to begin."""
    app = InMemoryApp(
        rules=RULES,
        range_bytes=R,
        ranges_per_activity=2,
        mailbox_concurrency=at_once,
        mailbox_window_bytes=window,
    )
    try:
        app.service.faults.add(*faults)
        yield ManyTransfers(app, transfers)
    finally:
        app.close()


class ManyTransfers:
    """Transfers of one mailbox, driven from several threads."""

    def __init__(self, app: InMemoryApp, transfers: int) -> None:
        self.app = app
        self.counter = LockCounter()
        self.counter.watch(app.locks)
        self.expected: dict[str, list[bytes]] = {app.add_message(): [] for _ in range(ITEMS)}
        draw = random.Random(SEED)
        for number in range(transfers):
            item = draw.choice(list(self.expected))
            content = draw.randbytes(draw.choice([100, R, 2 * R, 5 * R]))
            self.expected[item].append(content)
            metadata = {"mailbox": MAILBOX, "messageid": item}
            app.blobs.put(f"{number}.bin", content, None, metadata)
            app.clock.advance(0.001)
            app.deliver(f"{number}.bin")

    def run(self) -> None:
        """Run all of them to their ends."""

        over = threading.Event()

        def work(seed: int) -> None:
            draw = random.Random(seed)
            while not over.is_set():
                # None can advance before a step of another thread ends.
                engines = self.app.engines.values()
                if not self.app.step(draw) and all(each.is_over for each in engines):
                    over.set()
                over.wait(0.0001)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(work, range(THREADS)))

    @property
    def refused(self) -> int:
        """How many requests Outlook refused as too many or too much."""
        return sum(each.status == 429 for each in self.app.service.recorder.requests)

    @property
    def lost_or_doubled(self) -> int:
        """How many items do not have exactly the expected attachments."""
        attached = {
            item: [each.content for each in self.app.attachments(item)] for item in self.expected
        }
        return sum(
            sorted(attached[item]) != sorted(expected) for item, expected in self.expected.items()
        )


def test_the_limits_of_a_mailbox_are_never_exceeded(report_line: ReportLine) -> None:
    """200 transfers from 8 threads: at most 4 at once, one writer per item, nothing refused."""
    with transfers_to_one_mailbox() as transfers:
        began = transfers.app.clock()
        transfers.run()
        minutes = (transfers.app.clock() - began).total_seconds() / 60
        counter = transfers.counter
        report_line(
            f"figure 6: {TRANSFERS} transfers to one mailbox: most at once "
            f"{counter.most_at_once}, writers of an item {counter.most_writers}, refused "
            f"{transfers.refused}, {minutes:.0f} virtual minutes (seed {SEED})"
        )
        assert transfers.lost_or_doubled == 0
        assert counter.most_at_once <= 4
        assert counter.most_writers == 1
        assert transfers.refused == 0
        # The bytes of several windows: some transfers had to wait.
        assert minutes > 10


def test_without_the_budget_outlook_refuses_requests() -> None:
    """The same without the app's limits: the figures above are not zero by themselves."""
    with transfers_to_one_mailbox(transfers=60, at_once=NO_LIMIT, window=NO_LIMIT) as transfers:
        transfers.run()
        assert transfers.refused > 0
        assert transfers.counter.most_at_once > 4
        assert transfers.counter.most_writers == 1
        assert transfers.lost_or_doubled == 0


def test_a_throttled_mailbox_gets_no_requests_of_any_transfer() -> None:
    """After a Retry-After to one transfer, no other transfer sends anything before it is over."""
    throttled = Fault(misbehaviour=catalogue.throttled("90"), kind="range")
    with transfers_to_one_mailbox(throttled, transfers=20) as transfers:
        transfers.app.finish()
        requests = transfers.app.service.recorder.requests
        (refused,) = [each for each in requests if each.status == 429]
        retry_at = refused.at + timedelta(seconds=90)
        meanwhile = [each for each in requests if each.index > refused.index and each.at < retry_at]
        # Only transfers that already had the lock.
        assert len({each.item for each in meanwhile}) <= 3
        assert requests[-1].at >= retry_at
        assert transfers.lost_or_doubled == 0


def test_the_oldest_transfer_ends_first() -> None:
    """Of those that wait for the window, in order of arrival and not all at the end."""
    with transfers_to_one_mailbox() as transfers:
        ended: list[str] = []
        engines = transfers.app.engines
        draw = random.Random(SEED)
        while transfers.app.step(draw):
            ended += [id_ for id_, each in engines.items() if each.is_over and id_ not in ended]
        places = {id_: place for place, id_ in enumerate(engines)}
        # The first window goes to whoever comes first; the others wait, and go by their age.
        waited = [places[id_] for id_ in ended[TRANSFERS // 2 :]]
        older, younger = waited[:50], waited[50:]
        # In order of arrival it would be 50 each; by chance, none.
        assert sum(younger) / 50 - sum(older) / 50 > 15


def test_files_that_send_nothing_cost_the_mailbox_nothing() -> None:
    """Sixty files to items that do not exist, of twice the window's bytes, keep no file waiting."""
    with transfers_to_one_mailbox(transfers=0) as transfers:
        app = transfers.app
        for number in range(60):
            metadata = {"mailbox": MAILBOX, "messageid": f"missing-{number}"}
            app.blobs.put(f"missing-{number}.bin", bytes(100_000), None, metadata)
            app.deliver(f"missing-{number}.bin")
        item = app.add_message()
        app.blobs.put("last.bin", b"last", None, {"mailbox": MAILBOX, "messageid": item})
        began = app.clock()
        last = app.engines[app.deliver("last.bin")]
        while not last.is_over:
            app.advance_in_time()
        assert [each.content for each in app.attachments(item)] == [b"last"]
        # The tries for the missing items take some time; a window takes five minutes.
        assert app.clock() - began < timedelta(minutes=2)
