"""Slices of one content of a blob: pinned to its ETag, and the next ones read ahead."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Self

from shared.errors import StorageUnavailable, Superseded, UnsupportedBlob
from shared.outlook.byte_ranges import ByteRange
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged
from shared.transfer.activity_payloads import Job
from shared.transfer.payloads import BlobVersion
from shared.transfer.retry_policy import MAX_ETAG_CHANGES

MD5_CHANGED = (
    "The blob's MD5 was set or cleared before the file was attached, so it cannot be told whether "
    "its content is still the same. Upload it again, and leave its properties alone."
)
# One is being read while the other waits: a slow read is made up for by the quick ones before it.
MAX_READ_AHEAD = 2


class StartOver(Exception):
    """Raised when the blob may hold other bytes now, and nothing can prove that it does not."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class BlobReader:
    """Slices of one content of a blob, the next ones read ahead in a thread of its own.

    At most three are held at a time, the one handed out and two read ahead, each in the one piece
    of memory that it came in: 3 x RANGE_BYTES per transfer.
    """

    def __init__(self, source: SourceContainer, job: Job) -> None:
        self.etag = job.etag
        self._source = source
        self._job = job
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead: deque[tuple[ByteRange, Future[bytes]]] = deque()

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
    def is_ahead(self) -> bool:
        """Whether a slice has been read, or is being read, that nobody has asked for."""
        return bool(self._ahead)

    @property
    def has_failed(self) -> bool:
        """Whether a slice could not be read ahead."""
        done = [content for _, content in self._ahead if content.done()]
        return any(content.exception() for content in done)

    def close(self, *, wait: bool = True) -> None:
        """Read no more; ``wait`` for what is being read."""
        self._reader.shutdown(wait=wait, cancel_futures=True)
        self._ahead.clear()

    def read(self, part: ByteRange) -> bytes:
        """The slice; from the read-ahead if that is the one.

        Raises what :meth:`SourceContainer.read` and :func:`recognise` do.
        """
        while self._ahead:
            expected, content = self._ahead.popleft()
            if expected == part:
                return content.result()
            content.cancel()
        # In the one thread that reads, after what it may be reading: never more at a time.
        return self._reader.submit(self._read, part).result()

    def read_ahead(self, parts: Iterable[ByteRange]) -> None:
        """Begin to read the first of these slices, which are to be asked for next, in order."""
        for part in islice(parts, len(self._ahead), MAX_READ_AHEAD):
            self._ahead.append((part, self._reader.submit(self._read, part)))

    def _read(self, part: ByteRange) -> bytes:
        job = self._job
        for _ in range(MAX_ETAG_CHANGES):
            try:
                return self._source.read(job.blob, self.etag, part.start, part.length)
            except BlobChanged:
                self.etag = recognise(job, self._source.look(job.blob))
        raise StorageUnavailable(f"The metadata of {job.blob} changes all the time.")


def recognise(job: Job, now: SourceBlob) -> str:
    """The ETag to go on with, after the blob's ETag changed.

    A metadata write changes the ETag but not the content. Raises :class:`Superseded` when the
    content is another, :class:`StartOver` when it may be the same but has no MD5 to prove it, and
    :class:`UnsupportedBlob` when that MD5 has come or gone meanwhile: the blob may have got
    another transfer's id by it, so this one must not go on as if it were alone.
    """
    if job.content.is_replaced_by(BlobVersion.of(now)):
        raise Superseded(job.blob)
    if job.md5 != now.md5:
        raise UnsupportedBlob(MD5_CHANGED)
    if not now.md5:
        raise StartOver(now.etag)
    return now.etag
