"""Slices read ahead: how many at most, for whom, and for how long they are kept."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from typing import cast

import pytest

from shared.errors import StorageUnavailable
from shared.outlook.byte_ranges import ByteRange
from shared.storage.source_container import SourceContainer
from shared.transfer.activities import reader_cache
from shared.transfer.activities.blob_reader import BlobReader
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activity_payloads import Job

PARTS = [ByteRange(start, start + 10) for start in range(0, 60, 10)]


class CountingSource:
    """Gives slices, and counts those asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, _name: str, _etag: str, start: int, length: int) -> bytes:
        self.asked.append(start)
        return bytes([start]) * length


def job(transfer_id: str = "t", etag: str = "1") -> Job:
    return Job(
        transfer_id=transfer_id,
        blob="b",
        etag=etag,
        created="",
        md5="",
        size=60,
        mailbox="m",
        item_type="message",
        item_id="i",
        file_name="f",
        content_type="",
        activity_bytes=10,
        queue_seconds=1,
        deadline_seconds=1,
        reconcile_seconds=1,
    )


@contextmanager
def slices_of(kept: ReaderCache, source: CountingSource, of: Job) -> Iterator[BlobReader]:
    with kept.reader(cast("SourceContainer", source), of) as slices:
        yield slices


def test_two_slices_are_read_ahead_and_no_more() -> None:
    """One that is handed out and two ahead are all that a transfer holds."""
    source = CountingSource()
    with slices_of(ReaderCache(), source, job()) as slices:
        for place, part in enumerate(PARTS):
            assert slices.read(part) == bytes([part.start]) * 10
            slices.read_ahead(iter(PARTS[place + 1 :]))
            held = len(slices._queue)
            assert held == min(2, len(PARTS) - place - 1)
    assert source.asked == [part.start for part in PARTS]


def test_the_next_activity_gets_what_was_read_ahead() -> None:
    """Every slice is read once, in however many activities."""
    source, kept = CountingSource(), ReaderCache()
    for place, part in enumerate(PARTS):
        with slices_of(kept, source, job()) as slices:
            slices.read(part)
            slices.read_ahead(iter(PARTS[place + 1 :]))
    assert source.asked == [part.start for part in PARTS]


class FailingSource(CountingSource):
    """Has no slices while it is away."""

    away = False

    def read(self, name: str, etag: str, start: int, length: int) -> bytes:
        content = super().read(name, etag, start, length)
        if self.away:
            raise StorageUnavailable("away")
        return content


def test_what_could_not_be_read_ahead_is_read_again() -> None:
    """Storage was away while nobody needed it: the next activity does not hear of it."""
    source, kept = FailingSource(), ReaderCache()
    with slices_of(kept, source, job()) as slices:
        slices.read(PARTS[0])
        source.away = True
        slices.read_ahead(iter(PARTS[1:]))
        wait([content for _, content in slices._queue])
    source.away = False
    with slices_of(kept, source, job()) as slices:
        assert slices.read(PARTS[1]) == bytes([10]) * 10


class HangingSource(CountingSource):
    """Does not come back with a slice of the first content, but for the first of all."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.came_back = threading.Event(), False

    def read(self, name: str, etag: str, start: int, length: int) -> bytes:
        if etag == "1" and start:
            self.gate.wait(10)
            self.came_back = True
        return super().read(name, etag, start, length)


def test_a_read_that_hangs_holds_up_nobody_else() -> None:
    """What was being read ahead of content that counts no more is not waited for."""
    source, kept = HangingSource(), ReaderCache()
    with slices_of(kept, source, job()) as slices:
        slices.read(PARTS[0])
        slices.read_ahead(iter(PARTS[1:]))
    with slices_of(kept, source, job(etag="2")) as slices:
        assert slices.read(PARTS[1]) == bytes([10]) * 10
    assert not source.came_back
    source.gate.set()


def test_slices_of_another_offset_are_read_anew() -> None:
    """Where the server stands elsewhere, nothing that was read ahead is taken for it."""
    source = CountingSource()
    with slices_of(ReaderCache(), source, job()) as slices:
        slices.read(PARTS[0])
        slices.read_ahead(iter(PARTS[1:]))
        assert slices.read(PARTS[4]) == bytes([40]) * 10
        assert not slices.has_read_ahead


@pytest.mark.parametrize(
    ("next_job", "seconds"),
    [(job(etag="2"), 0.0), (job("another"), 0.0), (job(), 31.0)],
    ids=["another ETag", "another transfer", "after a long pause"],
)
def test_what_is_kept_is_for_the_same_content_soon(
    next_job: Job, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else comes next reads its slices itself."""
    kept, now = ReaderCache(), 0.0
    monkeypatch.setattr(reader_cache, "monotonic", lambda: now)
    with slices_of(kept, CountingSource(), job()) as slices:
        slices.read_ahead(iter(PARTS))
    now = seconds
    with slices_of(kept, CountingSource(), next_job) as slices:
        assert not slices.has_read_ahead


def test_nothing_is_kept_of_a_transfer_that_is_over() -> None:
    """Nor after an exception, which is a bug."""
    kept = ReaderCache()
    with slices_of(kept, CountingSource(), job()) as slices:
        slices.read_ahead(iter(PARTS))
    kept.drop("t")
    with slices_of(kept, CountingSource(), job()) as slices:
        assert not slices.has_read_ahead
        slices.read_ahead(iter(PARTS))
    with pytest.raises(ZeroDivisionError), slices_of(kept, CountingSource(), job()):
        _ = 1 / 0
    with slices_of(kept, CountingSource(), job()) as slices:
        assert not slices.has_read_ahead


def test_only_so_many_transfers_are_kept() -> None:
    """The one that waits longest makes room."""
    source, kept = CountingSource(), ReaderCache()
    for number in range(17):
        with slices_of(kept, source, job(str(number))) as slices:
            slices.read_ahead(iter(PARTS))
    with slices_of(kept, source, job("0")) as slices:
        assert not slices.has_read_ahead
    with slices_of(kept, source, job("16")) as slices:
        assert slices.has_read_ahead


def test_what_nobody_comes_for_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transfer goes on in another worker: any later activity here frees its memory."""
    kept, now = ReaderCache(), 0.0
    monkeypatch.setattr(reader_cache, "monotonic", lambda: now)
    with slices_of(kept, CountingSource(), job("elsewhere")) as forgotten:
        forgotten.read_ahead(iter(PARTS))
    now = 31.0
    with slices_of(kept, CountingSource(), job()):
        assert not forgotten.has_read_ahead
