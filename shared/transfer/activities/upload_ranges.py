"""Uploads some ranges of a blob; the next ones are read while this one is being sent."""

from dataclasses import dataclass
from math import ceil

from shared.errors import (
    BlobDeleted,
    GraphRefused,
    StorageUnavailable,
    Superseded,
)
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import GraphResponse
from shared.outlook.upload_session import Position, UploadSession
from shared.outlook.upload_url import UploadUrl
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import (
    BlobReader,
    ContentUncertain,
    RestartRequired,
)
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activities.results import result_of_error
from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.messages import failure_of_response
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import (
    MAX_STATE_QUERIES,
    POSITION_MISSING,
    decide,
    effective_retry_after,
)
from shared.transfer.retry_table import Action, Call, Row


@dataclass(frozen=True, slots=True)
class RangeUploader:
    """Uploads the ranges of one activity, of at most ``range_bytes`` each, to a session."""

    graph: GraphClient
    source: SourceContainer
    readers: ReaderCache
    range_bytes: int

    def upload(self, job: Job, url: UploadUrl, offset: int) -> ActivityResult:
        """Upload from ``offset`` on, until this run's ranges are sent or something else decides."""
        # As the job says, and so the state machine decides: settings may have changed since.
        stop = offset + job.activity_bytes
        session = UploadSession(job.size, self.range_bytes, offset=offset, stop=stop)
        with self.readers.reader(self.source, job) as reader:
            run = _Run(self.graph, job, url, session, reader)
            result: ActivityResult | None = None
            try:
                for _ in range(ceil(job.activity_bytes / self.range_bytes)):
                    result = run.put_next()
                    if result is not None or session.is_done:
                        break
            except StorageUnavailable as error:
                result = result_of_error(error)
            except (BlobDeleted, ContentUncertain, RestartRequired, Superseded) as error:
                return run.without_content(result_of_error(error))
            return run.at_position(result or ActivityResult(outcome="progress"))


@dataclass(slots=True)
class _Run:
    """One run: its methods return the activity's result, or None to go on with the next range.

    Results are without the position, which :meth:`at_position` adds.
    """

    graph: GraphClient
    job: Job
    url: UploadUrl
    session: UploadSession
    reader: BlobReader
    sent: int = 0
    has_resent: bool = False

    @property
    def may_be_attached(self) -> bool:
        """Whether another delivery of this activity may have sent the last byte of the file.

        Even if this one's ranges were accepted: a delivery that counts as dead may still run.
        """
        return self.session.may_be_complete

    def at_position(self, result: ActivityResult) -> ActivityResult:
        """The result with the session's position and the blob's new ETag."""
        etag = self.reader.etag if self.reader.etag != self.job.etag else None
        update = {"offset": self.session.offset, "sent": self.sent, "etag": etag}
        return result.model_copy(update=update)

    def without_content(self, end: ActivityResult) -> ActivityResult:
        """The result if the content cannot be read any more: ``end``, if nothing is attached.

        If another delivery may have sent the last byte, only a session that still expects more
        bytes proves that nothing is attached.
        """
        if self.may_be_attached:
            state = self.graph.session_state(self.url)
            if self._position(state) is not Position.KNOWN:
                return self.at_position(self._reconcile(end.failure, state.retry_after, end))
        return end.model_copy(update={"offset": self.session.offset, "sent": self.sent})

    def put_next(self) -> ActivityResult | None:
        """Send the next range."""
        part = self.session.next_range()
        content = self.reader.read(part)
        self.reader.read_ahead(self.session.following(part))
        self.sent += part.length
        response = self.graph.put_range(self.url, part, self.job.size, content)
        row = decide(Call.LAST_RANGE if self.session.is_last(part) else Call.RANGE, response)
        if row.action is Action.ATTACHED:
            return ActivityResult(outcome="attached", attachment_id=response.attachment_id)
        failure = failure_of_response(row, response, self.job)
        if row.action is Action.PROCEED:
            return self._accepted(response, failure)
        return self._failed(row, response, failure)

    def _accepted(self, response: GraphResponse, failure: Failure) -> ActivityResult | None:
        position = self.session.update(response.body)
        if position is Position.UNINTELLIGIBLE:
            return self._resynchronise(POSITION_MISSING, failure)
        self.has_resent = False
        return self._at(position, failure)

    def _failed(self, row: Row, response: GraphResponse, failure: Failure) -> ActivityResult | None:
        match row.action:
            case Action.RESYNCHRONISE:
                return self._resynchronise(row, failure)
            case Action.RETRY:
                return self._wait(row, response)
            case Action.NEW_SESSION:
                return self._session_gone(failure, response.retry_after)
            case Action.RECONCILE:
                return self._reconcile(failure, response.retry_after)
            case _:
                return self._refused(row, response, failure)

    def _refused(self, row: Row, response: GraphResponse, failure: Failure) -> ActivityResult:
        end = ActivityResult(outcome="failed", failure=failure)
        if row.error is not GraphRefused or not self.may_be_attached:
            return end
        # It may be refused because it is attached. A second refusal is final.
        otherwise = end if self.job.unsure else None
        return self._reconcile(failure, response.retry_after, otherwise)

    def _reconcile(
        self,
        failure: Failure | None,
        retry_after: float | None = None,
        otherwise: ActivityResult | None = None,
    ) -> ActivityResult:
        return ActivityResult(
            outcome="reconcile", retry_after=retry_after, failure=failure, otherwise=otherwise
        )

    def _at(self, position: Position, failure: Failure) -> ActivityResult | None:
        match position:
            case Position.KNOWN:
                return None
            case Position.COMPLETE:
                return self._reconcile(failure)
            case Position.FOREIGN | Position.UNINTELLIGIBLE:
                return self._session_gone(failure)

    def _resynchronise(self, row: Row, failure: Failure) -> ActivityResult | None:
        """Get the session's position; where Outlook does not say, send the range once more."""
        if self.has_resent:
            return self._session_gone(failure)
        before = self.session.offset
        for _ in range(MAX_STATE_QUERIES):
            state = self.graph.session_state(self.url)
            position = self._position(state)
            if position is not Position.UNINTELLIGIBLE:
                break
        if position is Position.KNOWN and self.session.offset <= before:
            # Nothing was gained, so not again at once.
            return ActivityResult(outcome="retry", failure=failure, tries=row.tries)
        if position is not None:
            return self._at(position, failure)
        state_row = decide(Call.STATE, state)
        if state_row.action is Action.RETRY:
            return self._wait(state_row, state)
        if row.resend:
            self.has_resent = True
            return None
        return self._session_gone(failure)

    def _position(self, state: GraphResponse) -> Position | None:
        return self.session.update(state.body) if state.succeeded else None

    def _session_gone(self, failure: Failure, retry_after: float | None = None) -> ActivityResult:
        """The session is of no more use; the file may be attached if all bytes may be sent."""
        if self.may_be_attached:
            return self._reconcile(failure, retry_after)
        return ActivityResult(outcome="new_session", retry_after=retry_after, failure=failure)

    def _wait(self, row: Row, response: GraphResponse) -> ActivityResult:
        return ActivityResult(
            outcome="retry",
            retry_after=effective_retry_after(row, response),
            tries=row.tries,
            failure=failure_of_response(row, response, self.job),
        )
