"""Many transfers to one mailbox: never more at once, or more bytes, than Outlook takes."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from infra.local.outlook import Fault, catalogue
from infra.local.outlook.rules import Rules
from shared.transfer.workflow.stages import Stage
from tests.support.engine.virtual_engine import Activity
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
class Watch:
    """Counts the activities that are at work for the mailbox and for each item."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    now: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    most_writers: int = 0

    def watched(self, run: Activity) -> Activity:
        """The activity, counted in and out."""

        def counted(payload: dict[str, Any]) -> dict[str, Any]:
            item = str(payload.get("job", payload).get("itemId", ""))
            with self.lock:
                self.now.update({"all": 1, item: 1})
                self.most_at_once = max(self.most_at_once, self.now["all"])
                if item:
                    self.most_writers = max(self.most_writers, self.now[item])
            try:
                return run(payload)
            finally:
                with self.lock:
                    self.now.subtract({"all": 1, item: 1})

        return counted


@contextmanager
def crowd(
    *faults: Fault, transfers: int = TRANSFERS, at_once: int = 4, window: int = WINDOW
) -> Iterator["Crowd"]:
    """That many transfers to some items of one mailbox, about to begin."""
    app = InMemoryApp(
        rules=RULES,
        range_bytes=R,
        ranges_per_activity=2,
        mailbox_concurrency=at_once,
        mailbox_window_bytes=window,
    )
    try:
        app.service.faults.add(*faults)
        yield Crowd(app, transfers)
    finally:
        app.close()


class Crowd:
    """Transfers of one mailbox, driven from several threads."""

    def __init__(self, app: InMemoryApp, transfers: int) -> None:
        self.app = app
        self.watch = Watch()
        for stage in Stage:
            app.wrap(stage.value, self.watch.watched)
        self.due: dict[str, list[bytes]] = {app.add_message(): [] for _ in range(ITEMS)}
        draw = random.Random(SEED)
        for number in range(transfers):
            item = draw.choice(list(self.due))
            content = draw.randbytes(draw.choice([100, R, 2 * R, 5 * R]))
            self.due[item].append(content)
            metadata = {"mailbox": MAILBOX, "messageid": item}
            app.blobs.put(f"{number}.bin", content, None, metadata)
            app.clock.advance(0.001)
            app.deliver(f"{number}.bin")

    def run(self) -> None:
        """Let all of them come to their ends."""

        over = threading.Event()

        def work(seed: int) -> None:
            draw = random.Random(seed)
            while not over.is_set():
                # None can go on before another thread's step is done.
                engines = self.app.engines.values()
                if not self.app.step(draw) and all(each.is_over for each in engines):
                    over.set()
                over.wait(0.0001)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(work, range(THREADS)))

    @property
    def refused(self) -> int:
        """Requests that Outlook refused as too many or too much."""
        return sum(each.status == 429 for each in self.app.service.recorder.requests)

    @property
    def lost_or_doubled(self) -> int:
        """Items that do not hold exactly what they should."""
        held = {item: [each.content for each in self.app.attachments(item)] for item in self.due}
        return sum(sorted(held[item]) != sorted(due) for item, due in self.due.items())


def test_a_mailbox_is_never_sent_more_than_it_takes(report_line: ReportLine) -> None:
    """200 transfers from 8 threads: at most 4 at once, one writer an item, nothing refused."""
    with crowd() as all_of_them:
        began = all_of_them.app.clock()
        all_of_them.run()
        minutes = (all_of_them.app.clock() - began).total_seconds() / 60
        watch = all_of_them.watch
        report_line(
            f"figure 6: {TRANSFERS} transfers to one mailbox: most at once "
            f"{watch.most_at_once}, writers of an item {watch.most_writers}, refused "
            f"{all_of_them.refused}, {minutes:.0f} virtual minutes (seed {SEED})"
        )
        assert all_of_them.lost_or_doubled == 0
        assert watch.most_at_once <= 4
        assert watch.most_writers == 1
        assert all_of_them.refused == 0
        # Several windows' worth of bytes: somebody had to wait.
        assert minutes > 10


def test_without_the_budget_the_referee_sees_it() -> None:
    """The same crowd with the limits lifted: Outlook refuses, so the figures can be red."""
    with crowd(transfers=60, at_once=NO_LIMIT, window=NO_LIMIT) as all_of_them:
        all_of_them.run()
        assert all_of_them.refused > 0
        assert all_of_them.watch.most_at_once > 4
        assert all_of_them.watch.most_writers == 1
        assert all_of_them.lost_or_doubled == 0


def test_a_throttled_mailbox_is_left_alone_by_everybody() -> None:
    """One transfer is told to wait: none of the others sends anything before that is over."""
    throttled = Fault(misbehaviour=catalogue.throttled("90"), kind="range")
    with crowd(throttled, transfers=20) as all_of_them:
        all_of_them.app.finish()
        requests = all_of_them.app.service.recorder.requests
        (told,) = [each for each in requests if each.status == 429]
        rest = told.at + timedelta(seconds=90)
        meanwhile = [each for each in requests if each.index > told.index and each.at < rest]
        # Only those whose turn it was already.
        assert len({each.item for each in meanwhile}) <= 3
        assert requests[-1].at >= rest
        assert all_of_them.lost_or_doubled == 0


def test_the_oldest_transfer_comes_to_its_end_first() -> None:
    """Files end one after the other and not all at the last moment."""
    with crowd(transfers=40) as all_of_them:
        ended: list[str] = []
        engines = all_of_them.app.engines
        draw = random.Random(SEED)
        while all_of_them.app.step(draw):
            ended += [id_ for id_, each in engines.items() if each.is_over and id_ not in ended]
        places = {id_: place for place, id_ in enumerate(engines)}
        first, last = ended[:20], ended[20:]
        assert len(last) == 20
        # In the order in which they came it would be 20.
        assert sum(places[id_] for id_ in last) - sum(places[id_] for id_ in first) > 20 * 10
