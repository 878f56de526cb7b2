"""Keeps a blob reader, with what it has read in advance, for the transfer's next activity."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader
from shared.transfer.activity_payloads import Job

# More than activities run at once in a worker. A reader that is dropped costs a second read.
MAX_CACHED_READERS = 16
# Seconds. After a longer pause the ranges are read again, since the blob may have changed.
_MAX_AGE = 30.0


class ReaderCache:
    """Blob readers by transfer, so that an activity's first range has been read in advance.

    An optimisation only: the next activity may run in another worker, with a reader of its own.
    Takes at most 16 x 2 x RANGE_BYTES in addition to running activities. Old readers are dropped
    at the next upload in this worker, however late that is.

    Not a TTL cache of a library: a reader that is dropped, for whichever reason, must be closed,
    and outside of the lock.
    """

    def __init__(self) -> None:
        self._readers: dict[str, tuple[float, BlobReader]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def reader(self, source: SourceContainer, job: Job) -> Iterator[BlobReader]:
        """The job's reader, for one activity; of several deliveries, one gets the cached reader."""
        reader = self._pop(source, job)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        if reader.has_read_ahead:
            self._put(job.transfer_id, reader)
        else:
            reader.close()

    def drop(self, transfer_id: str) -> None:
        """Drop the reader of a transfer that has ended."""
        with self._lock:
            _, reader = self._readers.pop(transfer_id, (0.0, None))
        if reader is not None:
            reader.close()

    def _pop(self, source: SourceContainer, job: Job) -> BlobReader:
        with self._lock:
            dropped = self._pop_outdated()
            _, reader = self._readers.pop(job.transfer_id, (0.0, None))
        # After a failed read, storage may be available again.
        if reader is not None and (reader.etag != job.etag or reader.has_failed):
            dropped.append(reader)
            reader = None
        _close(dropped)
        return reader or BlobReader(source, job)

    def _put(self, transfer_id: str, reader: BlobReader) -> None:
        """Add a reader, in place of the oldest one if there are too many."""
        with self._lock:
            dropped = self._pop_outdated()
            if transfer_id in self._readers:
                dropped.append(self._readers.pop(transfer_id)[1])
            self._readers[transfer_id] = monotonic(), reader
            if len(self._readers) > MAX_CACHED_READERS:
                dropped.append(self._readers.pop(next(iter(self._readers)))[1])
        _close(dropped)

    def _pop_outdated(self) -> list[BlobReader]:
        """Remove the readers whose transfer's next activity has not run in this worker."""
        oldest = monotonic() - _MAX_AGE
        names = [name for name, (since, _) in self._readers.items() if since < oldest]
        return [self._readers.pop(name)[1] for name in names]


def _close(readers: list[BlobReader]) -> None:
    for reader in readers:
        # Without waiting: a read of another transfer may hang.
        reader.close(wait=False)
