"""Uploads some ranges of a blob: reads the next slices while this one is being PUT."""

from dataclasses import dataclass

from shared.errors import (
    BlobDeleted,
    GraphRefused,
    StorageUnavailable,
    Superseded,
    UnsupportedBlob,
)
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import GraphResponse
from shared.outlook.upload_session import Position, UploadSession
from shared.outlook.upload_url import UploadUrl
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader, StartOver
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activities.results import end_of
from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.messages import failure
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import (
    MAX_RANGE_REFUSALS,
    MAX_STATE_QUERIES,
    Action,
    Call,
    Row,
    decide,
    effective_retry_after,
)


@dataclass(frozen=True, slots=True)
class RangeUploader:
    """Puts up to ``ranges_per_activity`` ranges of at most ``range_bytes`` into a session."""

    graph: GraphClient
    source: SourceContainer
    kept: ReaderCache
    range_bytes: int
    ranges_per_activity: int

    def upload(self, job: Job, url: UploadUrl, offset: int) -> ActivityResult:
        """Go on at ``offset``, until this run's ranges are used up or something else is due."""
        stop = offset + self.range_bytes * self.ranges_per_activity
        session = UploadSession(job.size, self.range_bytes, offset=offset, stop=stop)
        with self.kept.slices(self.source, job) as slices:
            run = _Run(self.graph, job, url, session, slices)
            try:
                for _ in range(self.ranges_per_activity):
                    result = run.put_next()
                    if result is not None or session.is_done:
                        return result or run.result("progress")
            except StorageUnavailable as error:
                return run.result("retry", failure=Failure.of(error))
            except (Superseded, BlobDeleted, UnsupportedBlob, StartOver) as error:
                return run.without_content(end_of(error))
            return run.result("progress")


@dataclass(slots=True)
class _Run:
    """One run over a session's ranges: each method gives the step to return, or None to go on."""

    graph: GraphClient
    job: Job
    url: UploadUrl
    session: UploadSession
    slices: BlobReader
    sent: int = 0
    without_state: bool = False

    @property
    def may_be_attached(self) -> bool:
        """Whether another delivery of this work may have attached the file: it can send the end.

        Even if this one's ranges are taken: one that is thought dead may still be sending.
        """
        return self.session.may_be_complete

    def result(self, outcome: str, **fields: object) -> ActivityResult:
        """A step that carries along where the session and the blob stand."""
        etag = self.slices.etag if self.slices.etag != self.job.etag else None
        return ActivityResult.model_validate(
            {
                "outcome": outcome,
                "offset": self.session.offset,
                "sent": self.sent,
                "etag": etag,
                **fields,
            }
        )

    def without_content(self, end: ActivityResult) -> ActivityResult:
        """The blob has no bytes, or may have other ones: what is left is to say so.

        Unless another delivery may have attached them. A session that says itself that it waits
        for more has attached nothing.
        """
        if self.may_be_attached:
            state = self.graph.session_state(self.url)
            waits = state.succeeded and self.session.answered(state.body) is Position.KNOWN
            if not waits:
                return self._reconcile(end.failure, state.retry_after, end)
        return end.model_copy(update={"offset": self.session.offset, "sent": self.sent})

    def put_next(self) -> ActivityResult | None:
        part = self.session.next_range()
        content = self.slices.read(part)
        self.slices.read_ahead(self.session.following(part))
        self.sent += part.length
        answer = self.graph.put_range(self.url, part, self.job.size, content)
        row = decide(Call.LAST_RANGE if self.session.is_last(part) else Call.RANGE, answer)
        if row.action is Action.PROCEED:
            return self._accepted(answer, failure(row, answer, self.job))
        return self._refused(row, answer)

    def _refused(self, row: Row, answer: GraphResponse) -> ActivityResult | None:
        reason = failure(row, answer, self.job)
        match row.action:
            case Action.RESYNCHRONISE if not answer.retry_after:
                # A refused range says that the session lives; a lost one may have been taken.
                lost = answer.lost is not None or (answer.status or 0) >= 500
                return self._resynchronise(reason, lost=lost)
            case Action.RESYNCHRONISE | Action.RETRY:
                return self._wait(row, answer)
            case Action.NEW_SESSION:
                return self._gone(reason, answer.retry_after)
            case Action.RECONCILE:
                pass
            case _:
                end = self.result("failed", failure=reason)
                if row.error is not GraphRefused or not self.may_be_attached:
                    return end
                # Refused a second time, it is final.
                again = end if self.job.unsure else None
                return self._reconcile(reason, answer.retry_after, again)
        return self._reconcile(reason, answer.retry_after)

    def _reconcile(
        self,
        reason: Failure | None,
        wait: float | None = None,
        otherwise: ActivityResult | None = None,
    ) -> ActivityResult:
        return self.result("reconcile", retry_after=wait, failure=reason, otherwise=otherwise)

    def _accepted(self, answer: GraphResponse, reason: Failure) -> ActivityResult | None:
        if answer.status == 201:
            # Only 201 with Location proves that the file is attached.
            if answer.attachment_id:
                return self.result("attached", attachment_id=answer.attachment_id)
            return self._reconcile(reason)
        position = self.session.answered(answer.body)
        if position is Position.UNINTELLIGIBLE:
            return self._resynchronise(reason, lost=True)
        self.without_state = False
        return self._at(position, reason)

    def _at(self, position: Position, reason: Failure) -> ActivityResult | None:
        match position:
            case Position.KNOWN:
                return None
            case Position.COMPLETE:
                return self._reconcile(reason)
            case Position.FOREIGN | Position.UNINTELLIGIBLE:
                return self._gone(reason)

    def _resynchronise(self, reason: Failure, *, lost: bool) -> ActivityResult | None:
        """Ask the session where it stands; where Outlook does not say, PUT once more and see."""
        if self.without_state:
            return self._gone(reason)
        before = self.session.offset
        for _ in range(MAX_STATE_QUERIES):
            state = self.graph.session_state(self.url)
            position = self.session.answered(state.body) if state.succeeded else None
            if position is not Position.UNINTELLIGIBLE:
                break
        if position is Position.KNOWN and self.session.offset <= before:
            # Nothing was gained: not again at once.
            return self.result("retry", failure=reason, tries=None if lost else MAX_RANGE_REFUSALS)
        if position is not None:
            return self._at(position, reason)
        asked = decide(Call.STATE, state)
        if asked.action is Action.RETRY:
            return self._wait(asked, state)
        if lost:
            self.without_state = True
            return None
        return self._gone(reason)

    def _gone(self, reason: Failure, wait: float | None = None) -> ActivityResult:
        """The session is of no more use; the file may be attached if every byte may have gone."""
        if self.may_be_attached:
            return self._reconcile(reason, wait)
        return self.result("new_session", retry_after=wait, failure=reason)

    def _wait(self, row: Row, answer: GraphResponse) -> ActivityResult:
        return self.result(
            "retry",
            retry_after=effective_retry_after(row, answer),
            tries=row.tries,
            failure=failure(row, answer, self.job),
        )
