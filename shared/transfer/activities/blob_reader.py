"""Reads ranges of one version of a blob: pinned to its ETag, the next ones in advance."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Self

from shared.errors import Permanent, StorageUnavailable, Superseded
from shared.outlook.byte_ranges import ByteRange
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged
from shared.transfer.activity_payloads import Job
from shared.transfer.payloads import BlobVersion
from shared.transfer.retry_policy import MAX_ETAG_CHANGES

MD5_CHANGED = (
    "The blob's MD5 was set or cleared before the file was attached, so nothing proves that its "
    "content is still the same. Upload it again, and do not change its properties."
)
# Two, so that one slow read does not delay the upload.
MAX_READ_AHEAD = 2


class ContentUncertain(Permanent, code="UnsupportedBlob"):
    """Raised when nothing proves that the blob still has the content the transfer is about."""


class RestartRequired(Exception):
    """Raised when the blob changed and has no MD5 to prove that its content is the same."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class BlobReader:
    """Reads ranges of one version of a blob, the next ones in advance in a thread of its own.

    At most three ranges are in memory at a time, the last one returned and two read in advance,
    and none of them is copied: 3 x RANGE_BYTES per transfer.
    """

    def __init__(self, source: SourceContainer, job: Job) -> None:
        self.etag = job.etag
        self._source = source
        self._job = job
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._queue: deque[tuple[ByteRange, Future[bytes]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def has_read_ahead(self) -> bool:
        """Whether a range has been read, or is being read, in advance."""
        return bool(self._queue)

    @property
    def has_failed(self) -> bool:
        """Whether a range could not be read in advance."""
        done = [content for _, content in self._queue if content.done()]
        return any(content.exception() for content in done)

    def close(self, *, wait: bool = True) -> None:
        """Read no more; ``wait`` for the read that is going on."""
        self._thread.shutdown(wait=wait, cancel_futures=True)
        self._queue.clear()

    def read(self, part: ByteRange) -> bytes:
        """Read a range, or return it if it has been read in advance.

        Raises what :meth:`SourceContainer.read` and :func:`check_same_content` do.
        """
        while self._queue:
            expected, content = self._queue.popleft()
            if expected == part:
                return content.result()
            content.cancel()
        # In the same thread, so that there is one read at a time.
        return self._thread.submit(self._read, part).result()

    def read_ahead(self, parts: Iterable[ByteRange]) -> None:
        """Start reading the first of these ranges: those that are needed next, in this order."""
        for part in islice(parts, len(self._queue), MAX_READ_AHEAD):
            self._queue.append((part, self._thread.submit(self._read, part)))

    def _read(self, part: ByteRange) -> bytes:
        job = self._job
        for _ in range(MAX_ETAG_CHANGES):
            try:
                return self._read_now(part)
            except BlobChanged:
                self.etag = check_same_content(job, self._source.look(job.blob))
        raise StorageUnavailable(
            f"Other clients write the metadata of {job.blob} all the time. "
            "Try again when they are done."
        )

    def _read_now(self, part: ByteRange) -> bytes:
        if not part.length and self._source.look(self._job.blob).etag != self.etag:
            # Nothing is read that would show that the blob was filled meanwhile.
            raise BlobChanged(self._job.blob)
        return self._source.read(self._job.blob, self.etag, part.start, part.length)


def check_same_content(job: Job, now: SourceBlob) -> str:
    """Check that only the metadata changed, after the ETag did; return the new ETag.

    Raises :class:`Superseded` if the content is another one, :class:`RestartRequired` if it may be
    the same but has no MD5 to prove it, and :class:`ContentUncertain` if the MD5 was set or
    cleared: the blob's transfer may have another id now, so that there may be two transfers.
    """
    if job.content.is_replaced_by(BlobVersion.of(now)):
        raise Superseded(job.blob)
    if job.md5 != now.md5:
        raise ContentUncertain(MD5_CHANGED)
    if not now.md5:
        raise RestartRequired(now.etag)
    return now.etag
