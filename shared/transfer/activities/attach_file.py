"""The activities that attach a file. They never sleep: waits are the orchestrator's.

Typed errors become results, so that the orchestrator decides by values; an exception that leaves
an activity is a bug of this app. Activities run at least once: each docstring says what a second
delivery of the same work does.
"""

import logging
from dataclasses import dataclass, field, replace

from shared.errors import OutcomeUnknown, StorageUnavailable, UploadHostNotAllowed
from shared.outlook.byte_ranges import ByteRange, next_expected_range
from shared.outlook.graph_client import GraphClient
from shared.settings import Settings
from shared.storage.session_store import NotesTaken, SessionNotes, SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader
from shared.transfer.activities.find_attachment import AttachmentFinder
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activities.results import activity_boundary, result_of_refusal
from shared.transfer.activities.upload_ranges import RangeUploader
from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    UploadRanges,
)
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import MAX_SESSION_CANCELS, decide, effective_retry_after
from shared.transfer.retry_table import Action, Call

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attacher:
    """The activities for one source container, one session store and one Graph client."""

    settings: Settings
    source: SourceContainer
    sessions: SessionStore
    graph: GraphClient
    readers: ReaderCache = field(default_factory=ReaderCache)

    @activity_boundary
    def attach_small_file(self, job: Job) -> ActivityResult:
        """Attach by one POST.

        A second delivery finds notes of its own attempt. The POST may have been sent: it is not
        sent again, but the outcome is reconciled.
        """
        notes = self.sessions.get(job.transfer_id)
        if notes and notes.attempt >= job.attempt:
            return ActivityResult(outcome="reconcile")
        noted = self._note_attachments(job, notes)
        if isinstance(noted, ActivityResult):
            return noted
        with BlobReader(self.source, job) as reader:
            content = reader.read(ByteRange(0, job.size))
        try:
            self.sessions.put(job.transfer_id, noted)
        except NotesTaken:
            # Another delivery sends it; two POSTs would attach the file twice.
            return ActivityResult(outcome="reconcile")
        response = self.graph.attach_small_file(job.item, job.file, content)
        result = result_of_refusal(Call.SMALL_POST, response, job)
        return result or ActivityResult(
            outcome="attached", offset=job.size, attachment_id=str(response.body["id"])
        )

    @activity_boundary
    def create_upload_session(self, job: Job) -> ActivityResult:
        """Note the item's attachments, create a session, put its URL into the session store.

        A second delivery deletes the session of the first one, which has no bytes yet.
        """
        notes = self.sessions.get(job.transfer_id)
        noted = self._note_attachments(job, notes)
        if isinstance(noted, ActivityResult):
            return noted
        if pending := self._cancel(job.transfer_id, notes):
            return pending
        response = self.graph.create_upload_session(job.item, job.file)
        if result := result_of_refusal(Call.CREATE, response, job):
            return result
        url = self.graph.upload_url(response.body["uploadUrl"])
        try:
            self.sessions.put(job.transfer_id, replace(noted, upload_url=url))
        except StorageUnavailable as error:
            # No other activity would know the session. If it cannot be deleted, it expires.
            retry_after = self.graph.cancel_upload_session(url).retry_after
            return ActivityResult(
                outcome="retry",
                retry_after=retry_after,
                failure=Failure.of(error),
                storage_failed=True,
            )
        expected = next_expected_range(response.body, job.size)
        return ActivityResult(outcome="progress", offset=expected.start if expected else 0)

    @activity_boundary
    def upload_ranges(self, work: UploadRanges) -> ActivityResult:
        """PUT the next ranges.

        A second delivery PUTs its first range again; the response says that the server is ahead,
        and the delivery goes on from there.
        """
        try:
            notes = self.sessions.get(work.job.transfer_id)
        except StorageUnavailable as error:
            # The offset decides what may have been sent, so the result has to have it.
            return ActivityResult(
                outcome="retry",
                offset=work.offset,
                failure=Failure.of(error),
                storage_failed=True,
            )
        if notes is None or not notes.upload_url:
            # Only if the lifecycle rule has deleted the notes, after a day.
            return ActivityResult(outcome="reconcile")
        uploader = RangeUploader(
            graph=self.graph,
            source=self.source,
            readers=self.readers,
            range_bytes=self.settings.range_bytes,
            ranges_per_activity=self.settings.ranges_per_activity,
        )
        return uploader.upload(
            work.job, self.graph.upload_url(notes.upload_url.reveal()), work.offset
        )

    @activity_boundary
    def find_attachment(self, work: FindAttachment) -> ActivityResult:
        """Search the attachment of an attempt with unknown outcome.

        Attachments that prove to be others' are noted, so that they are not read again. A second
        delivery searches again.
        """
        job = work.job
        notes = self.sessions.get(job.transfer_id)
        if notes is None and work.noted:
            raise OutcomeUnknown
        if notes is None:
            return ActivityResult(outcome="not_attached")
        response, attachments = self.graph.list_attachments(job.item)
        if result := result_of_refusal(Call.LIST, response, job):
            return result
        found = AttachmentFinder(self.graph, self.source).find(
            job, notes.earlier_attachments, attachments, is_last_attempt=work.is_last_attempt
        )
        if found.own is not None:
            return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
        if found.foreign:
            known = (*notes.earlier_attachments, *found.foreign)
            self.sessions.put(job.transfer_id, replace(notes, earlier_attachments=known))
        unread = Failure.of(OutcomeUnknown()) if found.unread else None
        return ActivityResult(outcome="not_attached", failure=unread)

    @activity_boundary
    def cancel_upload_session(self, work: CancelUploadSession) -> ActivityResult:
        """Delete the transfer's upload session, and its notes when the transfer has ended.

        Worth a few tries only: a session expires by itself, and so do the notes. A second delivery
        finds less to do.
        """
        self.readers.drop(work.transfer_id)
        notes = self.sessions.get(work.transfer_id)
        if work.must_wait:
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
        """Delete the session in the notes, if any; a result if that needs another try."""
        if notes is None or not notes.upload_url:
            return None
        try:
            url = self.graph.upload_url(notes.upload_url.reveal())
        except UploadHostNotAllowed:
            # The host was removed from the list meanwhile: nothing more is sent there.
            return None
        response = self.graph.cancel_upload_session(url)
        row = decide(Call.CANCEL, response)
        if row.action is Action.PROCEED:
            return None
        _LOG.warning(
            "transfer %s: its upload session could not be deleted (%s, request-id %s)",
            transfer_id,
            response.status or response.no_response,
            response.request_id or "unknown",
        )
        if row.action is not Action.RETRY:
            # The session expires.
            return None
        return ActivityResult(outcome="retry", retry_after=effective_retry_after(row, response))

    def _note_attachments(
        self, job: Job, notes: SessionNotes | None
    ) -> SessionNotes | ActivityResult:
        """Notes with the item's attachments before this attempt, or a result if that decides.

        The ids of the first attempt stay: an attachment of an earlier attempt that Outlook added
        late is found here, before the file is sent again.
        """
        response, attachments = self.graph.list_attachments(job.item)
        if result := result_of_refusal(Call.LIST, response, job):
            return result
        if notes is None:
            return SessionNotes(job.attempt, tuple(each.id for each in attachments))
        # Notes of this attempt or a later one are of an earlier run of the same transfer.
        if job.unsure or notes.attempt >= job.attempt:
            found = AttachmentFinder(self.graph, self.source).find(
                job, notes.earlier_attachments, attachments, is_last_attempt=False
            )
            if found.own is not None:
                return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
            if found.unread:
                # Another search, with waits, before anything is sent.
                return ActivityResult(outcome="reconcile", failure=Failure.of(OutcomeUnknown()))
        return replace(notes, attempt=job.attempt, upload_url=None)
