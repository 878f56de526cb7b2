"""What one activity has read ahead, kept in this worker for the transfer's next activity."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader
from shared.transfer.activity_payloads import Job

# Transfers. More than run activities at once in a worker: the others' slices are read again.
MAX_CACHED_READERS = 16
# Seconds. After a longer pause the blob may well be another, and is looked at again.
_KEPT_FOR = 30.0


class ReaderCache:
    """Slices read ahead by transfer, at most two each: an activity's first range need not wait.

    Only a help: the next activity may run in another worker, which reads its slices itself.
    Holds at most 16 x 2 x RANGE_BYTES beside what running activities do, until the next upload
    in this worker, however late that is.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, BlobReader]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def slices(self, source: SourceContainer, job: Job) -> Iterator[BlobReader]:
        """The job's slices, for one activity; of several deliveries, one gets what is kept."""
        slices = self._take(source, job)
        try:
            yield slices
        except BaseException:
            slices.close()
            raise
        if slices.is_ahead:
            self._keep(job.transfer_id, slices)
        else:
            slices.close()

    def drop(self, transfer_id: str) -> None:
        """Keep nothing of a transfer that is over."""
        with self._lock:
            _, slices = self._kept.pop(transfer_id, (0.0, None))
        if slices is not None:
            slices.close()

    def _take(self, source: SourceContainer, job: Job) -> BlobReader:
        with self._lock:
            over = self._pop_outdated()
            _, slices = self._kept.pop(job.transfer_id, (0.0, None))
        # Storage may have come back since a slice could not be read.
        if slices is not None and (slices.etag != job.etag or slices.has_failed):
            over.append(slices)
            slices = None
        _close(over)
        return slices or BlobReader(source, job)

    def _keep(self, transfer_id: str, slices: BlobReader) -> None:
        """Keep them in place of the oldest, if there are too many."""
        with self._lock:
            over = self._pop_outdated()
            if transfer_id in self._kept:
                over.append(self._kept.pop(transfer_id)[1])
            self._kept[transfer_id] = monotonic(), slices
            if len(self._kept) > MAX_CACHED_READERS:
                over.append(self._kept.pop(next(iter(self._kept)))[1])
        _close(over)

    def _pop_outdated(self) -> list[BlobReader]:
        """Those whose next activity has not come here; what was kept first stands first."""
        oldest = monotonic() - _KEPT_FOR
        names = [name for name, (since, _) in self._kept.items() if since < oldest]
        return [self._kept.pop(name)[1] for name in names]


def _close(several: list[BlobReader]) -> None:
    for slices in several:
        # Another transfer's read may hang, and this one does not wait for it.
        slices.close(wait=False)
