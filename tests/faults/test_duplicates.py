"""Events come twice, late and out of order: exactly one attachment per content and item."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest
from azure.core.exceptions import HttpResponseError

from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.workflow import activity_calls
from tests.faults.hub import Finished, Hub
from tests.figures import Say
from tests.harness import MAILBOX

SEED = 20_261_122
SHUFFLES, BATCH = 1_000, 250
THREADS = 8
R = 4_000
BOTH: list[Finished] = ["refused", "replaced"]

type Act = Callable[[], object]


@contextmanager
def running(
    finished: Finished,
    *,
    range_bytes: int = R,
    ranges_per_activity: int = 2,
    inspector: type[Inspector] = Inspector,
) -> Iterator[Hub]:
    hub = Hub(
        finished,
        inspector=inspector,
        range_bytes=range_bytes,
        ranges_per_activity=ranges_per_activity,
    )
    try:
        yield hub
    finally:
        hub.close()


def md5_of(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def draw_content(draw: random.Random) -> bytes:
    """Small, or of several ranges; never twice the same."""
    return draw.randbytes(draw.choice([1, 40, R - 1, R, R + 1, 2 * R + 1, 4 * R]))


@dataclass
class Shuffle:
    """One seeded run: some blobs, and what happens to them in which order.

    ``due`` are the contents that must be attached, by message; ``may`` those that may be, since
    they were overwritten before or while they went.
    """

    hub: Hub
    draw: random.Random
    due: dict[str, list[bytes]] = field(default_factory=dict)
    may: dict[str, list[bytes]] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)

    def plan(self) -> None:
        """Blobs, deliveries, and what other people do meanwhile."""
        for number in range(self.draw.randint(1, 2)):
            name = f"in/{number}.pdf"
            item = self.put(name)
            self.deliver_later(name)
            match self.draw.randrange(5):
                case 0:
                    self.acts += [partial(self.hub.blobs.annotate, name, seen="yes")] * 2
                case 1:
                    content = draw_content(self.draw)
                    md5 = md5_of(content) if self.draw.random() < 0.5 else None
                    self.may[item] += self.due[item]
                    self.due[item] = [content]
                    address = {"mailbox": MAILBOX, "messageid": item}
                    self.acts.append(partial(self.overwrite, name, content, md5, address))
                case 2:
                    self.due[item] *= 2
                    self.acts.append(partial(self.copy, name))
                case _:
                    pass
        self.draw.shuffle(self.acts)

    def put(self, name: str) -> str:
        """A blob of a message of its own, with or without an MD5."""
        item, content = self.hub.add_message(), draw_content(self.draw)
        md5 = md5_of(content) if self.draw.random() < 0.5 else None
        self.hub.blobs.put(name, content, md5, {"mailbox": MAILBOX, "messageid": item})
        self.due[item], self.may[item] = [content], []
        return item

    def deliver_later(self, name: str) -> None:
        self.acts += [lambda: self.hub.deliver(name)] * self.draw.randint(1, 10)

    def overwrite(
        self, name: str, content: bytes, md5: bytes | None, address: dict[str, str]
    ) -> None:
        """Another content a moment later, and its own event; the old one's events go on coming."""
        self.hub.clock.advance(1)
        self.hub.blobs.put(name, content, md5, address)
        self.hub.deliver(name)

    def copy(self, name: str) -> None:
        """A copy is a blob of its own, whatever record of the other's it carries."""
        self.hub.clock.advance(1)
        self.hub.blobs.copy(name, f"{name}.copy")
        self.hub.deliver(f"{name}.copy")

    def run(self) -> None:
        """Eight threads deliver, meddle and let the transfers go on, then all of it comes again."""
        lock, left = threading.Lock(), list(self.acts)
        seeds = [self.draw.random() for _ in range(THREADS)]

        def work(seed: float) -> None:
            draw = random.Random(seed)
            while True:
                with lock:
                    act = left.pop() if left else None
                if act is None:
                    return
                act()
                for _ in range(draw.randrange(4)):
                    self.hub.step(draw)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(work, seeds))
        self.hub.finish()
        # A polling trigger fires for the record, too; an event may be a day late.
        for name in self.hub.blobs.names():
            self.hub.deliver(name)
        self.hub.finish()

    def fault(self) -> str | None:
        """What is wrong with what the messages hold now."""
        for item, due in self.due.items():
            held = sorted(each.content for each in self.hub.attachments(item))
            allowed = self.may[item]
            extra = [content for content in held if content not in due]
            if sorted(content for content in held if content in due) != sorted(due):
                return f"{len(held)} attachments where {len(due)} are due"
            if len(extra) > len(set(extra)) or not set(extra) <= set(allowed):
                return "an overwritten content twice, or one that nobody sent"
        if names := self.hub.notes.names():
            return f"notes are left: {names}"
        return None


def run_shuffle(seed: int, inspector: type[Inspector] = Inspector) -> tuple[str | None, int]:
    """One shuffle with this seed: what is wrong after it, and how many deliveries it had."""
    draw = random.Random(seed)
    with running(BOTH[seed % 2], inspector=inspector) as hub:
        shuffle = Shuffle(hub, draw)
        shuffle.plan()
        shuffle.run()
        return shuffle.fault(), len(shuffle.acts)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(SEED, SEED + SHUFFLES, BATCH))
def test_a_thousand_shuffles_attach_once(say: Say, first: int) -> None:
    """Duplicates, overwrites, copies and other writers of metadata, from eight threads."""
    faults: dict[int, str] = {}
    delivered = 0
    for seed in range(first, first + BATCH):
        fault, deliveries = run_shuffle(seed)
        delivered += deliveries
        if fault:
            faults[seed] = fault
    say(f"figure 5: shuffles {BATCH}, acts {delivered}, wrong {len(faults)} (seed {first})")
    assert not faults


class Forgetful(Inspector):
    """Does not look at the record."""

    def _is_done(self, *_: object) -> bool:
        return False


def test_the_shuffles_find_a_broken_product_out() -> None:
    """A product that forgets what it has attached doubles it in some shuffle."""
    assert any(run_shuffle(seed, Forgetful)[0] for seed in range(SEED, SEED + 20))


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("size", [100, 3 * R])
def test_every_moment_of_a_transfer_takes_a_duplicate(finished: Finished, size: int) -> None:
    """Delivered after every single step, during the transfer and after it."""
    content = random.Random(size).randbytes(size)
    with running(finished, ranges_per_activity=1) as hub:
        item = hub.add_message()
        hub.blobs.put("a", content, md5_of(content), {"mailbox": MAILBOX, "messageid": item})
        hub.deliver("a")
        while hub.step(random.Random(0)):
            hub.deliver("a") if not all(e.is_over for e in hub.engines.values()) else None
        for _ in range(3):
            hub.deliver("a")
            hub.finish()
        assert [each.content for each in hub.attachments(item)] == [content]


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("size", [100, 3 * R])
@pytest.mark.parametrize("steps", range(7))
def test_a_metadata_write_midway_does_not_double(finished: Finished, size: int, steps: int) -> None:
    """A content without MD5 whose ETag somebody changes, and whose event comes again."""
    content = random.Random(size).randbytes(size)
    with running(finished, ranges_per_activity=1) as hub:
        item = hub.add_message()
        hub.blobs.put("a", content, None, {"mailbox": MAILBOX, "messageid": item})
        hub.deliver("a")
        for _ in range(steps):
            hub.step(random.Random(0))
        hub.blobs.annotate("a", seen="yes")
        hub.deliver("a")
        hub.finish()
        assert [each.content for each in hub.attachments(item)] == [content]
        assert hub.blobs.blob("a").metadata["seen"] == "yes"


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("size", [100, 3 * R])
def test_a_copy_with_a_record_goes_on_its_own(finished: Finished, size: int) -> None:
    """The record that a copy carries along is the original's: the copy is attached, too."""
    content = random.Random(size).randbytes(size)
    with running(finished) as hub:
        item = hub.add_message()
        hub.blobs.put("a", content, md5_of(content), {"mailbox": MAILBOX, "messageid": item})
        hub.deliver("a")
        hub.finish()
        hub.blobs.copy("a", "b")
        for name in "abab":
            hub.deliver(name)
            hub.finish()
        assert [each.content for each in hub.attachments(item)] == [content, content]
        assert {each.name for each in hub.attachments(item)} == {"a", "b"}


class Writer:
    """Somebody else who writes metadata between the product's read and its write."""

    def __init__(self, hub: Hub, times: int) -> None:
        self.hub, self.times = hub, times
        self._write = hub.blobs.set_metadata

    def set_metadata(self, name: str, metadata: dict[str, str], etag: str) -> None:
        if self.times:
            self.times -= 1
            self.hub.blobs.annotate(name, seen=str(self.times))
        self._write(name, metadata, etag)


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("times", [1, 4, 12])
def test_another_writer_between_read_and_write_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, finished: Finished, times: int
) -> None:
    """Both the other's key and the record are there at the end."""
    with running(finished) as hub:
        item = hub.add_message()
        hub.blobs.put("a", b"hello", None, {"mailbox": MAILBOX, "messageid": item})
        monkeypatch.setattr(hub.blobs, "set_metadata", Writer(hub, times).set_metadata)
        hub.deliver("a")
        hub.finish()
        hub.deliver("a")
        hub.finish()
        metadata = hub.blobs.blob("a").metadata
        assert (metadata["seen"], metadata["attachmentstatus"]) == ("0", "attached")
        assert len(hub.attachments(item)) == 1


@pytest.mark.parametrize("size", [100, 3 * R, 3_000_001])
def test_a_record_that_could_not_be_written_does_not_double(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A lease held for too long: the transfer ends without a record, its event comes again."""

    def leased(*_: object) -> None:
        error = HttpResponseError("There is currently a lease on the blob.")
        error.status_code = 412
        error.error_code = "LeaseIdMissing"  # type: ignore[attr-defined]
        raise error

    content = random.Random(size).randbytes(size)
    with running("replaced", range_bytes=1_000_000) as hub:
        item = hub.add_message()
        hub.blobs.put("a", content, md5_of(content), {"mailbox": MAILBOX, "messageid": item})
        with monkeypatch.context() as held:
            held.setattr(hub.blobs, "set_metadata", leased)
            held.setattr(activity_calls, "STORAGE_PATIENCE", timedelta(minutes=10))
            hub.deliver("a")
            hub.finish()
        hub.deliver("a")
        hub.finish()
        assert [each.content for each in hub.attachments(item)] == [content]
        assert hub.blobs.blob("a").metadata["attachmentstatus"] == "attached"


@pytest.mark.parametrize("room", [0, 30, 100, 200, 250, 300, 350, 400])
@pytest.mark.parametrize("size", [100, 3_000_001])
def test_a_record_without_room_does_not_double(size: int, room: int) -> None:
    """The user's own metadata leave ``room`` bytes of the 8,192, and the event comes again."""
    content = random.Random(size).randbytes(size)
    with running("replaced", range_bytes=1_000_000) as hub:
        item = hub.add_message()
        own = {"mailbox": MAILBOX, "messageid": item}
        used = sum(len(key) + len(value) for key, value in own.items())
        own["notes"] = "x" * (8_192 - used - len("notes") - room)
        hub.blobs.put("a", content, md5_of(content), own)
        for _ in range(3):
            hub.deliver("a")
            hub.finish()
        assert [each.content for each in hub.attachments(item)] == [content]
        assert own.items() <= hub.blobs.blob("a").metadata.items()


# Read to its end and not yet recorded: without an MD5 nothing tells this overwrite from a metadata
# write (README, limits).
AFTER_THE_LAST_READ = pytest.mark.xfail(strict=True, reason="known limit: no MD5, same second")
# The same, if the rest of it has been read ahead by then.
MAYBE_READ_AHEAD = {(3 * R, 4), (3 * R, 5)}


@pytest.mark.parametrize(
    ("size", "steps"),
    [
        pytest.param(size, steps, marks=AFTER_THE_LAST_READ if (size, steps) in known else ())
        for known in [{(100, 2), (3 * R, 6)}]
        for size in (100, 3 * R)
        for steps in range(1, 7)
    ],
)
def test_an_overwrite_within_the_same_second_is_not_lost(size: int, steps: int) -> None:
    """Same name, size and second, no MD5, other bytes: they arrive, whenever it happens.

    Only where a finished id is replaced: where it is refused, such content has no id of its own.
    """
    draw = random.Random(size)
    contents = [draw.randbytes(size), draw.randbytes(size)]
    with running("replaced", ranges_per_activity=1) as hub:
        item = hub.add_message()
        address = {"mailbox": MAILBOX, "messageid": item}
        hub.blobs.put("a", contents[0], None, address)
        hub.deliver("a")
        for _ in range(steps):
            hub.step(random.Random(0))
        hub.blobs.put("a", contents[1], None, address)
        hub.deliver("a")
        hub.finish()
        hub.deliver("a")
        hub.finish()
        held = [each.content for each in hub.attachments(item)]
        if (size, steps) in MAYBE_READ_AHEAD:
            assert held in ([contents[0]], [contents[1]])
        else:
            assert held.count(contents[1]) == 1
            assert held.count(contents[0]) <= 1
