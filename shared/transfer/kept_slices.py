"""What one activity has read ahead, kept in this worker for the transfer's next activity."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from shared.storage.blob_source import BlobSource
from shared.transfer.pinned_slices import PinnedSlices
from shared.transfer.work import Job

# Transfers. More than run activities at once in a worker: the others' slices are read again.
_KEPT_AT_MOST = 16
# Seconds. After a longer pause the blob may well be another, and is looked at again.
_KEPT_FOR = 30.0


class KeptSlices:
    """Slices read ahead by transfer, at most two each: an activity's first range need not wait.

    Only a help: the next activity may run in another worker, which reads its slices itself.
    Holds at most 16 x 2 x RANGE_BYTES beside what running activities do.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, PinnedSlices]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def slices(self, source: BlobSource, job: Job) -> Iterator[PinnedSlices]:
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

    def _take(self, source: BlobSource, job: Job) -> PinnedSlices:
        with self._lock:
            since, slices = self._kept.pop(job.transfer_id, (0.0, None))
        if slices is None:
            return PinnedSlices(source, job)
        if slices.etag == job.etag and monotonic() - since <= _KEPT_FOR:
            return slices
        slices.close()
        return PinnedSlices(source, job)

    def _keep(self, transfer_id: str, slices: PinnedSlices) -> None:
        """Keep them in place of the oldest, if there are too many."""
        with self._lock:
            replaced = [self._kept.pop(transfer_id, None)]
            self._kept[transfer_id] = monotonic(), slices
            if len(self._kept) > _KEPT_AT_MOST:
                replaced.append(self._kept.pop(next(iter(self._kept))))
        for each in replaced:
            if each is not None:
                each[1].close()
