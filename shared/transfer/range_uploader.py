"""Uploads some ranges of a blob: reads the next slice while this one is being PUT."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from shared.errors import BlobDeleted, GraphRefused, StorageUnavailable, Superseded
from shared.outlook.answers import Answer
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.graph_client import GraphClient
from shared.outlook.upload_session import Position, UploadSession
from shared.outlook.upload_url import UploadUrl
from shared.storage.blob_source import BlobSource, SourceBlob
from shared.storage.storage_errors import BlobChanged
from shared.transfer.decisions import Action, Call, Row, decide
from shared.transfer.payloads import Failure
from shared.transfer.refusals import failure
from shared.transfer.work import Job, Step

_ASKED_AT_MOST = 3
# How often a range that the server refuses is worth another look without progress.
_REFUSED_AT_MOST = 5


class StartOver(Exception):
    """Raised when the blob may hold other bytes now, and nothing can prove that it does not."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class PinnedSlices:
    """Slices of one content of a blob, the next one read ahead in a thread of its own.

    At most two slices are held at a time, the one handed out and the one read ahead, and the
    storage client holds one more while it joins its parts: 3 x RANGE_BYTES per transfer.
    """

    def __init__(self, source: BlobSource, job: Job) -> None:
        self.etag = job.etag
        self._source = source
        self._job = job
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead: tuple[ByteRange, Future[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def read(self, part: ByteRange) -> bytes:
        """The slice; from the read-ahead if that is the one.

        Raises what :meth:`BlobSource.read` does, :class:`Superseded`, or :class:`StartOver`.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == part:
            return ahead[1].result()
        return self._read(part)

    def read_ahead(self, part: ByteRange) -> None:
        """Begin to read this slice, if it has any bytes."""
        if part.length > 0:
            self._ahead = (part, self._reader.submit(self._read, part))

    def _read(self, part: ByteRange) -> bytes:
        job = self._job
        try:
            return self._source.read(job.blob, self.etag, part.start, part.length)
        except BlobChanged:
            self.etag = recognise(job, self._source.look(job.blob))
            return self._source.read(job.blob, self.etag, part.start, part.length)


def recognise(job: Job, now: SourceBlob) -> str:
    """The ETag to go on with, after the blob's ETag changed.

    A metadata write changes the ETag but not the content. Raises :class:`Superseded` when the
    content is another, and :class:`StartOver` when it may be the same but no MD5 proves it.
    """
    if (job.created, job.size) != (now.created, now.size) or now.md5 not in {job.md5, ""}:
        raise Superseded(job.blob)
    if not now.md5:
        # Setting a blob's properties clears its MD5, too, without an event of a new blob.
        raise StartOver(now.etag)
    return now.etag


@dataclass(frozen=True, slots=True)
class RangeUploader:
    """Puts up to ``ranges_per_activity`` ranges of at most ``range_bytes`` into a session."""

    graph: GraphClient
    source: BlobSource
    range_bytes: int
    ranges_per_activity: int

    def upload(self, job: Job, url: UploadUrl, offset: int) -> Step:
        """Go on at ``offset``, until this run's ranges are used up or something else is due.

        Raises :class:`Superseded`, :class:`BlobDeleted` and :class:`StartOver`.
        """
        stop = offset + self.range_bytes * self.ranges_per_activity
        session = UploadSession(job.size, self.range_bytes, offset=offset, stop=stop)
        with ExitStack() as stack:
            slices = stack.enter_context(PinnedSlices(self.source, job))
            run = _Run(self.graph, job, url, session, slices)
            try:
                for _ in range(self.ranges_per_activity):
                    step = run.put_next()
                    if step is not None or session.is_done:
                        return step or run.step("progress")
            except StorageUnavailable as error:
                return run.step("retry", failure=Failure.of(error))
            except (Superseded, BlobDeleted) as error:
                # Once: after a look that found nothing, it is the end that it says.
                if run.may_be_second_delivery and not job.unsure:
                    return run.step("reconcile", failure=Failure.of(error))
                raise
            return run.step("progress")


@dataclass(slots=True)
class _Run:
    """One run over a session's ranges: each method gives the step to return, or None to go on."""

    graph: GraphClient
    job: Job
    url: UploadUrl
    session: UploadSession
    slices: PinnedSlices
    accepted: bool = False
    sent: int = 0
    sent_last: bool = False
    without_state: bool = False

    @property
    def may_be_second_delivery(self) -> bool:
        """Whether an earlier delivery of this work may have attached the file.

        Not once the session has taken a range from this one.
        """
        return self.session.may_be_complete and not self.accepted

    def step(self, outcome: str, **fields: object) -> Step:
        """A step that carries along where the session and the blob stand."""
        etag = self.slices.etag if self.slices.etag != self.job.etag else None
        return Step.model_validate(
            {
                "outcome": outcome,
                "offset": self.session.offset,
                "sent": self.sent,
                "etag": etag,
                **fields,
            }
        )

    def put_next(self) -> Step | None:
        part = self.session.next_range()
        content = self.slices.read(part)
        self.slices.read_ahead(self.session.following(part))
        self.sent += part.length
        self.sent_last = self.session.is_last(part)
        answer = self.graph.put_range(self.url, part, self.job.size, content)
        row = decide(Call.LAST_RANGE if self.sent_last else Call.RANGE, answer)
        if row.action is Action.PROCEED:
            return self._accepted(answer, failure(row, answer, self.job))
        return self._refused(row, answer)

    def _refused(self, row: Row, answer: Answer) -> Step | None:
        reason = failure(row, answer, self.job)
        match row.action:
            case Action.RESYNCHRONISE if not answer.retry_after:
                # A refused range says that the session lives; a lost one may have been taken.
                lost = answer.lost is not None or (answer.status or 0) >= 500
                return self._resynchronise(reason, lost=lost)
            case Action.RESYNCHRONISE | Action.RETRY:
                return self._wait(row, answer)
            case Action.NEW_SESSION:
                return self._gone(reason)
            case Action.RECONCILE:
                pass
            case _ if row.error is not GraphRefused or self.job.unsure:
                return self.step("failed", failure=reason)
            case _ if not self.may_be_second_delivery:
                return self.step("failed", failure=reason)
        return self._reconcile(reason, answer.retry_after)

    def _reconcile(self, reason: Failure, wait: float | None = None) -> Step:
        return self.step("reconcile", wait_seconds=wait, failure=reason)

    def _accepted(self, answer: Answer, reason: Failure) -> Step | None:
        if answer.status == 201:
            # Only 201 with Location proves that the file is attached.
            if answer.attachment_id:
                return self.step("attached", attachment_id=answer.attachment_id)
            return self._reconcile(reason)
        self.accepted = True
        position = self.session.answered(answer.body)
        if position is Position.UNINTELLIGIBLE:
            return self._resynchronise(reason, lost=True)
        self.without_state = False
        return self._at(position, reason)

    def _at(self, position: Position, reason: Failure) -> Step | None:
        match position:
            case Position.KNOWN:
                return None
            case Position.COMPLETE:
                return self._reconcile(reason)
            case Position.FOREIGN | Position.UNINTELLIGIBLE:
                return self._gone(reason)

    def _resynchronise(self, reason: Failure, *, lost: bool) -> Step | None:
        """Ask the session where it stands; where Outlook does not say, PUT once more and see."""
        if self.without_state:
            return self._gone(reason)
        before = self.session.offset
        for _ in range(_ASKED_AT_MOST):
            state = self.graph.session_state(self.url)
            position = self.session.answered(state.body) if state.succeeded else None
            if position is not Position.UNINTELLIGIBLE:
                break
        if position is Position.KNOWN and self.session.offset <= before:
            # Nothing was gained: not again at once.
            return self.step("retry", failure=reason, tries=None if lost else _REFUSED_AT_MOST)
        if position is not None:
            return self._at(position, reason)
        asked = decide(Call.STATE, state)
        if asked.action is Action.RETRY:
            return self._wait(asked, state)
        if lost:
            self.without_state = True
            return None
        return self._gone(reason)

    def _gone(self, reason: Failure) -> Step:
        """The session is of no more use; the file may be attached if every byte may have gone."""
        if self.sent_last or self.may_be_second_delivery:
            return self._reconcile(reason)
        return self.step("new_session", failure=reason)

    def _wait(self, row: Row, answer: Answer) -> Step:
        return self.step(
            "retry",
            wait_seconds=answer.retry_after,
            tries=row.tries,
            failure=failure(row, answer, self.job),
        )
