"""The activities that attach a file: each does one thing with the far side, and never sleeps.

Every typed error becomes the step that an activity returns, so that the orchestrator decides by
values; an exception that leaves an activity is a bug of this app. Activities run at least once:
each says in its docstring what a second delivery of the same work does.
"""

import logging
from dataclasses import dataclass, field, replace

from shared.errors import (
    OutcomeUnknown,
    StorageUnavailable,
    UploadHostNotAllowed,
)
from shared.outlook.byte_ranges import ByteRange, next_expected_range
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import GraphResponse
from shared.settings import Settings
from shared.storage.session_store import NotesTaken, SessionNotes, SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader
from shared.transfer.activities.find_attachment import Reconciler
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activities.results import activity_boundary
from shared.transfer.activities.upload_ranges import RangeUploader
from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    UploadRanges,
)
from shared.transfer.messages import CANNOT_TELL, failure
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import (
    MAX_SESSION_CANCELS,
    Action,
    Call,
    decide,
    effective_retry_after,
)

_LOG = logging.getLogger(__name__)

_GONE = frozenset({401, 404, 410})


@dataclass(frozen=True, slots=True)
class Attacher:
    """The activities over one source container, one session store and one Graph."""

    settings: Settings
    source: SourceContainer
    sessions: SessionStore
    graph: GraphClient
    kept: ReaderCache = field(default_factory=ReaderCache)

    @activity_boundary
    def attach_small_file(self, job: Job) -> ActivityResult:
        """Attach by one POST.

        A second delivery finds notes of its own attempt: the POST may have been sent, so the
        outcome is unknown and has to be reconciled; it is never sent blindly again.
        """
        notes = self.sessions.get(job.transfer_id)
        if notes and notes.attempt >= job.attempt:
            return ActivityResult(outcome="reconcile")
        noted = self._note_attachments(job, notes)
        if isinstance(noted, ActivityResult):
            return noted
        with BlobReader(self.source, job) as slices:
            content = slices.read(ByteRange(0, job.size))
        try:
            self.sessions.put(job.transfer_id, noted)
        except NotesTaken:
            # The other delivery sends it; two would attach twice.
            return ActivityResult(outcome="reconcile")
        answer = self.graph.attach_small_file(job.item, job.file, content)
        result = _refusal(Call.SMALL_POST, answer, job)
        return result or ActivityResult(
            outcome="attached", offset=job.size, attachment_id=str(answer.body["id"])
        )

    @activity_boundary
    def create_upload_session(self, job: Job) -> ActivityResult:
        """Note the item's attachments, create a session, keep its URL in the session store.

        A second delivery deletes the session of the first, which has no bytes yet.
        """
        notes = self.sessions.get(job.transfer_id)
        noted = self._note_attachments(job, notes)
        if isinstance(noted, ActivityResult):
            return noted
        if pending := self._cancel(job.transfer_id, notes):
            return pending
        answer = self.graph.create_upload_session(job.item, job.file)
        if result := _refusal(Call.CREATE, answer, job):
            return result
        url = self.graph.upload_url(answer.body["uploadUrl"])
        try:
            self.sessions.put(job.transfer_id, replace(noted, upload_url=url))
        except StorageUnavailable as error:
            # Nobody would know of it. If it cannot be deleted either, it expires.
            rest = self.graph.cancel_upload_session(url).retry_after
            return ActivityResult(outcome="retry", retry_after=rest, failure=Failure.of(error))
        expected = next_expected_range(answer.body, job.size)
        return ActivityResult(outcome="progress", offset=expected.start if expected else 0)

    @activity_boundary
    def upload_ranges(self, work: UploadRanges) -> ActivityResult:
        """PUT the next ranges.

        A second delivery PUTs its first range again, is told that the server is further on, and
        goes on from there.
        """
        try:
            notes = self.sessions.get(work.job.transfer_id)
        except StorageUnavailable as error:
            # What may have been sent hangs on where the session stands.
            return ActivityResult(outcome="retry", offset=work.offset, failure=Failure.of(error))
        if notes is None or not notes.upload_url:
            # Only a store that lost its blob (its lifecycle rule is a day) leads here.
            return ActivityResult(outcome="reconcile")
        uploader = RangeUploader(
            graph=self.graph,
            source=self.source,
            kept=self.kept,
            range_bytes=self.settings.range_bytes,
            ranges_per_activity=self.settings.ranges_per_activity,
        )
        return uploader.upload(
            work.job, self.graph.upload_url(notes.upload_url.reveal()), work.offset
        )

    @activity_boundary
    def find_attachment(self, work: FindAttachment) -> ActivityResult:
        """Look for the attachment of an attempt with unknown outcome.

        What proves to be someone else's is noted, and not read again.
        """
        job = work.job
        notes = self.sessions.get(job.transfer_id)
        if notes is None and work.noted:
            raise OutcomeUnknown(CANNOT_TELL)
        if notes is None:
            return ActivityResult(outcome="not_attached")
        answer, attachments = self.graph.list_attachments(job.item)
        if result := _refusal(Call.LIST, answer, job):
            return result
        found = Reconciler(self.graph, self.source).find(
            job, notes.earlier_attachments, attachments, is_last_attempt=work.is_last_attempt
        )
        if found.own is not None:
            return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
        if found.foreign:
            known = (*notes.earlier_attachments, *found.foreign)
            self.sessions.put(job.transfer_id, replace(notes, earlier_attachments=known))
        unread = Failure.of(OutcomeUnknown(CANNOT_TELL)) if found.unread else None
        return ActivityResult(outcome="not_attached", failure=unread)

    @activity_boundary
    def cancel_upload_session(self, work: CancelUploadSession) -> ActivityResult:
        """Delete the transfer's session at Outlook, and its notes when it is over.

        Worth a few tries and no more: Outlook lets a session expire, and the session store its
        blobs. A rest that the far side asked for is kept. A second delivery finds less to do.
        """
        self.kept.drop(work.transfer_id)
        notes = self.sessions.get(work.transfer_id)
        if work.resting:
            pending = ActivityResult(outcome="retry") if notes and notes.upload_url else None
        else:
            pending = self._cancel(work.transfer_id, notes)
        if pending and not work.best_effort:
            return pending.model_copy(update={"tries": MAX_SESSION_CANCELS})
        if work.delete_notes:
            self.sessions.delete(work.transfer_id)
        elif notes and notes.upload_url:
            self.sessions.put(work.transfer_id, replace(notes, upload_url=None))
        return ActivityResult(outcome="progress")

    def _cancel(self, transfer_id: str, notes: SessionNotes | None) -> ActivityResult | None:
        """Delete the session that is noted, if any; a step, if that needs another try."""
        if notes is None or not notes.upload_url:
            return None
        try:
            url = self.graph.upload_url(notes.upload_url.reveal())
        except UploadHostNotAllowed:
            # The list of hosts was made shorter meanwhile: nothing is sent there any more.
            return None
        answer = self.graph.cancel_upload_session(url)
        if answer.succeeded or answer.status in _GONE:
            return None
        _LOG.warning(
            "transfer %s: its upload session could not be deleted (%s, request-id %s)",
            transfer_id,
            answer.status or answer.lost,
            answer.request_id or "unknown",
        )
        row = decide(Call.CANCEL, answer)
        if row.action is not Action.RETRY:
            # Refused for good: it expires.
            return None
        return ActivityResult(outcome="retry", retry_after=effective_retry_after(row, answer))

    def _note_attachments(
        self, job: Job, notes: SessionNotes | None
    ) -> SessionNotes | ActivityResult:
        """What the item holds before this attempt; a step, if the listing decides already.

        The ids noted first stay the measure: an attachment of an earlier attempt that Outlook
        committed late is seen here, before the file goes up again.
        """
        answer, attachments = self.graph.list_attachments(job.item)
        if result := _refusal(Call.LIST, answer, job):
            return result
        if notes is None:
            return SessionNotes(job.attempt, tuple(each.id for each in attachments))
        # Notes of this attempt, or of a later one: an earlier run of the same transfer left them.
        if job.unsure or notes.attempt >= job.attempt:
            found = Reconciler(self.graph, self.source).find(
                job, notes.earlier_attachments, attachments, is_last_attempt=False
            )
            if found.own is not None:
                return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
            if found.unread:
                # Another look, with its patience, before anything is sent.
                return ActivityResult(
                    outcome="reconcile", failure=Failure.of(OutcomeUnknown(CANNOT_TELL))
                )
        return replace(notes, attempt=job.attempt, upload_url=None)


_OTHER_STEPS = {
    Action.RETRY: "retry",
    Action.RECONCILE: "reconcile",
    Action.SESSION_INSTEAD: "session_instead",
    Action.POST_INSTEAD: "post_instead",
}


def _refusal(call: Call, answer: GraphResponse, job: Job) -> ActivityResult | None:
    """The step for an answer that is not what was asked for."""
    row = decide(call, answer)
    if row.action is Action.PROCEED:
        return None
    return ActivityResult.model_validate(
        {
            "outcome": _OTHER_STEPS.get(row.action, "failed"),
            "retry_after": effective_retry_after(row, answer),
            "tries": row.tries,
            "failure": failure(row, answer, job),
        }
    )
