"""Events are repeated, late and out of order: one attachment per content and item."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from shared.storage.ledger import TABLE
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.workflow import activity_calls
from tests.support.figures import ReportLine
from tests.support.in_memory.app import FinishedIds, InMemoryApp
from tests.support.in_memory.tables import MemoryTable, MemoryTables
from tests.support.virtual_app import MAILBOX

SEED = 20_261_122
SHUFFLES, BATCH = 1_000, 250
THREADS = 8
R = 4_000
BOTH: list[FinishedIds] = ["refused", "replaced"]

type Action = Callable[[], object]


@contextmanager
def running(
    finished: FinishedIds,
    *,
    range_bytes: int = R,
    ranges_per_activity: int = 2,
    inspector: type[Inspector] = Inspector,
    tables: MemoryTables | None = None,
) -> Iterator[InMemoryApp]:
    app = InMemoryApp(
        finished,
        inspector=inspector,
        tables=tables,
        range_bytes=range_bytes,
        ranges_per_activity=ranges_per_activity,
    )
    try:
        yield app
    finally:
        app.close()


def md5_of(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def draw_content(draw: random.Random) -> bytes:
    """Small, or of several ranges; never the same twice."""
    return draw.randbytes(draw.choice([1, 40, R - 1, R, R + 1, 2 * R + 1, 4 * R]))


@dataclass
class Shuffle:
    """One seeded run: some blobs, and actions on them in random order.

    ``expected`` are the contents that must be attached, by message; ``allowed`` those that may
    be, since they were overwritten before or during their transfer.
    """

    app: InMemoryApp
    draw: random.Random
    expected: dict[str, list[bytes]] = field(default_factory=dict)
    allowed: dict[str, list[bytes]] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)

    def plan(self) -> None:
        """Draw blobs, deliveries, and what other clients do."""
        for number in range(self.draw.randint(1, 2)):
            name = f"in/{number}.pdf"
            item = self.put(name)
            self.deliver_later(name)
            match self.draw.randrange(5):
                case 0:
                    self.actions += [partial(self.app.blobs.annotate, name, seen="yes")] * 2
                case 1:
                    content = draw_content(self.draw)
                    md5 = md5_of(content) if self.draw.random() < 0.5 else None
                    self.allowed[item] += self.expected[item]
                    self.expected[item] = [content]
                    address = {"mailbox": MAILBOX, "messageid": item}
                    self.actions.append(partial(self.overwrite, name, content, md5, address))
                case 2:
                    self.expected[item] *= 2
                    self.actions.append(partial(self.copy, name))
                case _:
                    pass
        self.draw.shuffle(self.actions)

    def put(self, name: str) -> str:
        """Upload a blob for a new message, with or without an MD5; the message's id."""
        item, content = self.app.add_message(), draw_content(self.draw)
        md5 = md5_of(content) if self.draw.random() < 0.5 else None
        self.app.blobs.put(name, content, md5, {"mailbox": MAILBOX, "messageid": item})
        self.expected[item], self.allowed[item] = [content], []
        return item

    def deliver_later(self, name: str) -> None:
        self.actions += [lambda: self.app.deliver(name)] * self.draw.randint(1, 10)

    def overwrite(
        self, name: str, content: bytes, md5: bytes | None, address: dict[str, str]
    ) -> None:
        """Overwrite a blob a second later; events of the old content still follow."""
        self.app.clock.advance(1)
        self.app.blobs.put(name, content, md5, address)
        self.app.deliver(name)

    def copy(self, name: str) -> None:
        """Copy a blob with its record, and deliver the event of the copy."""
        self.app.clock.advance(1)
        self.app.blobs.copy(name, f"{name}.copy")
        self.app.deliver(f"{name}.copy")

    def run(self) -> None:
        """Run the actions and the transfers from eight threads, then deliver everything again."""
        lock, remaining = threading.Lock(), list(self.actions)
        seeds = [self.draw.random() for _ in range(THREADS)]

        def work(seed: float) -> None:
            draw = random.Random(seed)
            while True:
                with lock:
                    action = remaining.pop() if remaining else None
                if action is None:
                    return
                action()
                for _ in range(draw.randrange(4)):
                    self.app.step(draw)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(work, seeds))
        self.app.finish()
        # A polling trigger also fires for the record; an event may be a day late.
        for name in self.app.blobs.names():
            self.app.deliver(name)
        self.app.finish()

    def finding(self) -> str | None:
        """What is wrong with the attachments and notes now, if anything."""
        for item, expected in self.expected.items():
            attached = sorted(each.content for each in self.app.attachments(item))
            extra = [content for content in attached if content not in expected]
            if sorted(content for content in attached if content in expected) != sorted(expected):
                return f"{len(attached)} attachments, expected {len(expected)}"
            if len(extra) > len(set(extra)) or not set(extra) <= set(self.allowed[item]):
                return "an overwritten content twice, or an unknown one"
        if names := self.app.notes.names():
            return f"notes left behind: {names}"
        return None


def run_shuffle(
    seed: int, inspector: type[Inspector] = Inspector, tables: MemoryTables | None = None
) -> tuple[str | None, int]:
    """Run the shuffle of this seed: the finding, if any, and the number of actions."""
    draw = random.Random(seed)
    with running(BOTH[seed % 2], inspector=inspector, tables=tables) as app:
        shuffle = Shuffle(app, draw)
        shuffle.plan()
        shuffle.run()
        return shuffle.finding(), len(shuffle.actions)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(SEED, SEED + SHUFFLES, BATCH))
def test_a_thousand_shuffles_attach_once(report_line: ReportLine, first: int) -> None:
    """Duplicates, overwrites, copies and metadata writes, from eight threads."""
    findings: dict[int, str] = {}
    total = 0
    for seed in range(first, first + BATCH):
        finding, actions = run_shuffle(seed)
        total += actions
        if finding:
            findings[seed] = finding
    report_line(
        f"figure 5: shuffles {BATCH}, actions {total}, wrong {len(findings)} (seed {first})"
    )
    assert not findings


class WithoutRecord(Inspector):
    """Ignores the record."""

    def _is_done(self, *_: object) -> bool:
        return False


class WithoutMemory(MemoryTable):
    """Drops the row of a transfer at its end, as the fence of version 1.0 was dropped."""

    def update_entity(self, row: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        written = super().update_entity(row, **options)
        if row.get("state") in {"attached", "ended"}:
            del self.rows[row["PartitionKey"], row["RowKey"]]
        return written


def test_the_shuffles_detect_a_broken_product() -> None:
    """A product that ignores the record, and whose ledger does not last, attaches twice."""

    def tables() -> MemoryTables:
        service = MemoryTables()
        service.tables[TABLE] = WithoutMemory()
        return service

    seeds = range(SEED, SEED + 20)
    assert any(run_shuffle(seed, WithoutRecord, tables())[0] for seed in seeds)


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("size", [100, 3 * R])
def test_a_duplicate_at_any_step_does_not_double(finished: FinishedIds, size: int) -> None:
    """Delivered after every step, during the transfer and after it."""
    content = random.Random(size).randbytes(size)
    with running(finished, ranges_per_activity=1) as app:
        item = app.add_message()
        app.blobs.put("a", content, md5_of(content), {"mailbox": MAILBOX, "messageid": item})
        app.deliver("a")
        while app.step(random.Random(0)):
            app.deliver("a") if not all(e.is_over for e in app.engines.values()) else None
        for _ in range(3):
            app.deliver("a")
            app.finish()
        assert [each.content for each in app.attachments(item)] == [content]


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("size", [100, 3 * R])
@pytest.mark.parametrize("steps", range(7))
def test_a_metadata_write_midway_does_not_double(
    finished: FinishedIds, size: int, steps: int
) -> None:
    """The ETag of content without MD5 changes, and its event is repeated."""
    content = random.Random(size).randbytes(size)
    with running(finished, ranges_per_activity=1) as app:
        item = app.add_message()
        app.blobs.put("a", content, None, {"mailbox": MAILBOX, "messageid": item})
        app.deliver("a")
        for _ in range(steps):
            app.step(random.Random(0))
        app.blobs.annotate("a", seen="yes")
        app.deliver("a")
        app.finish()
        assert [each.content for each in app.attachments(item)] == [content]
        assert app.blobs.blob("a").metadata["seen"] == "yes"


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("size", [100, 3 * R])
def test_a_copy_with_a_record_is_transferred_on_its_own(finished: FinishedIds, size: int) -> None:
    """The record in the metadata of a copy is the original's: the copy is attached, too."""
    content = random.Random(size).randbytes(size)
    with running(finished) as app:
        item = app.add_message()
        app.blobs.put("a", content, md5_of(content), {"mailbox": MAILBOX, "messageid": item})
        app.deliver("a")
        app.finish()
        app.blobs.copy("a", "b")
        for name in "abab":
            app.deliver(name)
            app.finish()
        assert [each.content for each in app.attachments(item)] == [content, content]
        assert {each.name for each in app.attachments(item)} == {"a", "b"}


class Writer:
    """Writes metadata between the app's read and its write."""

    def __init__(self, app: InMemoryApp, times: int) -> None:
        self.app, self.times = app, times
        self._write = app.blobs.set_metadata

    def set_metadata(self, name: str, metadata: dict[str, str], etag: str) -> None:
        if self.times:
            self.times -= 1
            self.app.blobs.annotate(name, seen=str(self.times))
        self._write(name, metadata, etag)


@pytest.mark.parametrize("finished", BOTH)
@pytest.mark.parametrize("times", [1, 4, 12])
def test_another_writer_between_read_and_write_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, finished: FinishedIds, times: int
) -> None:
    """Both the other client's key and the record are there at the end."""
    with running(finished) as app:
        item = app.add_message()
        app.blobs.put("a", b"hello", None, {"mailbox": MAILBOX, "messageid": item})
        monkeypatch.setattr(app.blobs, "set_metadata", Writer(app, times).set_metadata)
        app.deliver("a")
        app.finish()
        app.deliver("a")
        app.finish()
        metadata = app.blobs.blob("a").metadata
        assert (metadata["seen"], metadata["attachmentstatus"]) == ("0", "attached")
        assert len(app.attachments(item)) == 1


@pytest.mark.parametrize("size", [100, 3 * R, 3_000_001])
def test_a_record_that_could_not_be_written_does_not_double(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A lease is too long: the transfer ends without a record, and its event is repeated."""

    def leased(*_: object) -> None:
        error = HttpResponseError("There is currently a lease on the blob.")
        error.status_code = 412
        error.error_code = "LeaseIdMissing"  # type: ignore[attr-defined]
        raise error

    content = random.Random(size).randbytes(size)
    with running("replaced", range_bytes=1_000_000) as app:
        item = app.add_message()
        app.blobs.put("a", content, md5_of(content), {"mailbox": MAILBOX, "messageid": item})
        with monkeypatch.context() as patch:
            patch.setattr(app.blobs, "set_metadata", leased)
            patch.setattr(activity_calls, "STORAGE_PATIENCE", timedelta(minutes=10))
            app.deliver("a")
            app.finish()
        app.deliver("a")
        app.finish()
        assert [each.content for each in app.attachments(item)] == [content]
        assert app.blobs.blob("a").metadata["attachmentstatus"] == "attached"


@pytest.mark.parametrize("free_bytes", [0, 30, 100, 200, 250, 300, 350, 400])
@pytest.mark.parametrize("size", [100, 3_000_001])
def test_a_record_that_does_not_fit_does_not_double(size: int, free_bytes: int) -> None:
    """The user's metadata leaves so many of the 8,192 bytes; the event is repeated."""
    content = random.Random(size).randbytes(size)
    with running("replaced", range_bytes=1_000_000) as app:
        item = app.add_message()
        own = {"mailbox": MAILBOX, "messageid": item}
        used = sum(len(key) + len(value) for key, value in own.items())
        own["notes"] = "x" * (8_192 - used - len("notes") - free_bytes)
        app.blobs.put("a", content, md5_of(content), own)
        for _ in range(3):
            app.deliver("a")
            app.finish()
        assert [each.content for each in app.attachments(item)] == [content]
        assert own.items() <= app.blobs.blob("a").metadata.items()


@pytest.mark.parametrize(
    ("size", "steps"),
    [(size, steps) for size in (100, 3 * R) for steps in range(1, 7)],
)
def test_an_overwrite_within_the_same_second_is_not_lost(size: int, steps: int) -> None:
    """Same name, size and second, no MD5, other bytes: they are attached, at any step.

    Only where a finished id is replaced: where it is refused, such content has no id of its own.
    """
    draw = random.Random(size)
    contents = [draw.randbytes(size), draw.randbytes(size)]
    with running("replaced", ranges_per_activity=1) as app:
        item = app.add_message()
        address = {"mailbox": MAILBOX, "messageid": item}
        app.blobs.put("a", contents[0], None, address)
        app.deliver("a")
        for _ in range(steps):
            app.step(random.Random(0))
        app.blobs.put("a", contents[1], None, address)
        app.deliver("a")
        app.finish()
        app.deliver("a")
        app.finish()
        attached = [each.content for each in app.attachments(item)]
        assert attached.count(contents[1]) == 1
        assert attached.count(contents[0]) <= 1
        record = app.blobs.blob("a").metadata
        assert record["attachmentstatus"] == "attached"
        ids = {each.id: each.content for each in app.attachments(item)}
        assert ids[record["attachmentid"]] == contents[1]
