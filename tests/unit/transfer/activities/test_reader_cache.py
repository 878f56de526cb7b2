"""Reading in advance: how much at most, for which transfer, and for how long it is cached."""

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
    """Records the ranges that are read."""

    def __init__(self) -> None:
        self.requested: list[int] = []

    def read(self, _name: str, _etag: str, start: int, length: int) -> bytes:
        self.requested.append(start)
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
def reader_of(cache: ReaderCache, source: CountingSource, of: Job) -> Iterator[BlobReader]:
    with cache.reader(cast("SourceContainer", source), of) as reader:
        yield reader


def test_at_most_two_ranges_are_read_ahead() -> None:
    """With the one that was returned, a transfer has three in memory."""
    source = CountingSource()
    with reader_of(ReaderCache(), source, job()) as reader:
        for place, part in enumerate(PARTS):
            assert reader.read(part) == bytes([part.start]) * 10
            reader.read_ahead(iter(PARTS[place + 1 :]))
            queued = len(reader._queue)
            assert queued == min(2, len(PARTS) - place - 1)
    assert source.requested == [part.start for part in PARTS]


def test_the_next_activity_gets_what_was_read_ahead() -> None:
    """Every range is read once, in any number of activities."""
    source, cache = CountingSource(), ReaderCache()
    for place, part in enumerate(PARTS):
        with reader_of(cache, source, job()) as reader:
            reader.read(part)
            reader.read_ahead(iter(PARTS[place + 1 :]))
    assert source.requested == [part.start for part in PARTS]


class FailingSource(CountingSource):
    """Cannot be read while it is away."""

    away = False

    def read(self, name: str, etag: str, start: int, length: int) -> bytes:
        content = super().read(name, etag, start, length)
        if self.away:
            raise StorageUnavailable("away")
        return content


def test_a_failed_read_ahead_is_repeated() -> None:
    """Storage was unavailable between two activities: the next one does not fail."""
    source, cache = FailingSource(), ReaderCache()
    with reader_of(cache, source, job()) as reader:
        reader.read(PARTS[0])
        source.away = True
        reader.read_ahead(iter(PARTS[1:]))
        wait([content for _, content in reader._queue])
    source.away = False
    with reader_of(cache, source, job()) as reader:
        assert reader.read(PARTS[1]) == bytes([10]) * 10


class HangingSource(CountingSource):
    """Hangs at every range of the first version but the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.came_back = threading.Event(), False

    def read(self, name: str, etag: str, start: int, length: int) -> bytes:
        if etag == "1" and start:
            self.gate.wait(10)
            self.came_back = True
        return super().read(name, etag, start, length)


def test_a_read_that_hangs_does_not_delay_others() -> None:
    """A read ahead of an outdated version is not waited for."""
    source, cache = HangingSource(), ReaderCache()
    with reader_of(cache, source, job()) as reader:
        reader.read(PARTS[0])
        reader.read_ahead(iter(PARTS[1:]))
    with reader_of(cache, source, job(etag="2")) as reader:
        assert reader.read(PARTS[1]) == bytes([10]) * 10
    assert not source.came_back
    source.gate.set()


def test_ranges_at_another_offset_are_read_again() -> None:
    """If the server is at another position, what was read ahead is dropped."""
    source = CountingSource()
    with reader_of(ReaderCache(), source, job()) as reader:
        reader.read(PARTS[0])
        reader.read_ahead(iter(PARTS[1:]))
        assert reader.read(PARTS[4]) == bytes([40]) * 10
        assert not reader.has_read_ahead


@pytest.mark.parametrize(
    ("next_job", "seconds"),
    [(job(etag="2"), 0.0), (job("another"), 0.0), (job(), 31.0)],
    ids=["another ETag", "another transfer", "after a long pause"],
)
def test_a_reader_is_used_for_the_same_version_only(
    next_job: Job, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other job gets a new reader, and so does one after a long pause."""
    cache, now = ReaderCache(), 0.0
    monkeypatch.setattr(reader_cache, "monotonic", lambda: now)
    with reader_of(cache, CountingSource(), job()) as reader:
        reader.read_ahead(iter(PARTS))
    now = seconds
    with reader_of(cache, CountingSource(), next_job) as reader:
        assert not reader.has_read_ahead


def test_the_reader_of_an_ended_transfer_is_dropped() -> None:
    """And so it is after an exception, which is a bug."""
    cache = ReaderCache()
    with reader_of(cache, CountingSource(), job()) as reader:
        reader.read_ahead(iter(PARTS))
    cache.drop("t")
    with reader_of(cache, CountingSource(), job()) as reader:
        assert not reader.has_read_ahead
        reader.read_ahead(iter(PARTS))
    with pytest.raises(ZeroDivisionError), reader_of(cache, CountingSource(), job()):
        _ = 1 / 0
    with reader_of(cache, CountingSource(), job()) as reader:
        assert not reader.has_read_ahead


def test_the_number_of_readers_is_bounded() -> None:
    """The oldest one is dropped."""
    source, cache = CountingSource(), ReaderCache()
    for number in range(17):
        with reader_of(cache, source, job(str(number))) as reader:
            reader.read_ahead(iter(PARTS))
    with reader_of(cache, source, job("0")) as reader:
        assert not reader.has_read_ahead
    with reader_of(cache, source, job("16")) as reader:
        assert reader.has_read_ahead


def test_an_unused_reader_is_dropped_by_later_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transfer continues in another worker; any later upload here frees its memory."""
    cache, now = ReaderCache(), 0.0
    monkeypatch.setattr(reader_cache, "monotonic", lambda: now)
    with reader_of(cache, CountingSource(), job("elsewhere")) as unused:
        unused.read_ahead(iter(PARTS))
    now = 31.0
    with reader_of(cache, CountingSource(), job()):
        assert not unused.has_read_ahead
