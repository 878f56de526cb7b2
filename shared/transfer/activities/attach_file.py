"""The activities that attach a file. They never sleep: waits are the orchestrator's.

Typed errors become results, so that the orchestrator decides by values; an exception that leaves
an activity is a bug of this app. Activities run at least once: each docstring says what a second
delivery of the same work does.
"""

import logging
from dataclasses import dataclass, field, replace

from shared.errors import OutcomeUnknown, StorageUnavailable
from shared.outlook.byte_ranges import next_expected_range
from shared.outlook.graph_client import GraphClient
from shared.secret import Secret
from shared.settings import Settings
from shared.storage.documents import DocumentConflict
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.attempts import Attempts
from shared.transfer.activities.claims import Claims
from shared.transfer.activities.find_attachment import AttachmentFinder
from shared.transfer.activities.locking import with_lock
from shared.transfer.activities.mailbox_locks import MailboxLocks
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activities.results import (
    activity_boundary,
    result_of_refusal,
)
from shared.transfer.activities.upload_ranges import RangeUploader
from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    UploadRanges,
)
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import MAX_SESSION_CANCELS
from shared.transfer.retry_table import Call
from shared.transfer.run_token import run_before

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attacher:
    """The activities for one source container, one ledger and one Graph client."""

    settings: Settings
    source: SourceContainer
    claims: Claims
    locks: MailboxLocks
    graph: GraphClient
    readers: ReaderCache = field(default_factory=ReaderCache)

    @with_lock(lambda job: job.post_bytes)
    @activity_boundary
    def attach_small_file(self, job: Job) -> ActivityResult:
        """Attach by one POST.

        A second delivery finds the claim of its own attempt. The POST may have been sent: it is
        not sent again, but the outcome is reconciled.
        """
        entry = self.claims.entry(job)
        if entry and entry.run == job.run and entry.attempt >= job.attempt:
            return ActivityResult(outcome="reconcile", sent=job.post_bytes)
        if undecided := self._attempts.settle_other_run(job, entry):
            return undecided
        try:
            post = self._attempts.prepare_post(job, entry)
            if isinstance(post, ActivityResult):
                return post
            claim = self.claims.claim(post.entry)
        except DocumentConflict:
            # Another delivery sends it; two POSTs would attach the file twice.
            return ActivityResult(outcome="reconcile")
        if not claim.is_valid:
            return ActivityResult(outcome="reconcile")
        response = self.graph.attach_small_file(job.item, job.file, post.content)
        result = result_of_refusal(Call.SMALL_POST, response, job) or ActivityResult(
            outcome="attached", offset=job.size, attachment_id=str(response.body["id"])
        )
        return result.model_copy(update={"sent": job.post_bytes})

    @with_lock()
    @activity_boundary
    def create_upload_session(self, job: Job) -> ActivityResult:
        """Note the item's attachments, create a session, put its URL into the ledger.

        A second delivery finds the session of the first one, and goes on with it.
        """
        entry = self.claims.entry(job)
        is_second = entry and entry.run == job.run and entry.attempt >= job.attempt
        # In version 1.0, a POST that was refused had the same number.
        if entry and is_second and (entry.upload_url or job.run):
            return self._resume(job, entry.upload_url)
        # The session of an earlier attempt was given its tries before this one: it expires.
        undecided = self._attempts.settle_other_run(job, entry)
        # An attempt without a range was a POST.
        after_post = entry is not None and entry.began is None
        claimed = undecided or self._attempts.prepare(job, entry, after_post=after_post)
        if isinstance(claimed, ActivityResult):
            return claimed
        response = self.graph.create_upload_session(job.item, job.file)
        if result := result_of_refusal(Call.CREATE, response, job):
            return result
        url = self.graph.upload_url(response.body["uploadUrl"])
        try:
            self.claims.put(replace(claimed, upload_url=url))
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

    @with_lock(lambda work: work.most_bytes)
    @activity_boundary
    def upload_ranges(self, work: UploadRanges) -> ActivityResult:
        """PUT the next ranges.

        The ledger says where the last delivery began. Unless it sent all of its ranges, this one
        queries the session's position before it sends anything. One that is late sends nothing.
        Before the last of several, the message is checked again: its owner may have sent it.
        """
        job = work.job
        try:
            url, is_sure = self.claims.begin_ranges(job, work.offset)
        except StorageUnavailable as error:
            # The offset decides what may have been sent, so the result has to have it.
            return ActivityResult(
                outcome="retry",
                offset=work.offset,
                failure=Failure.of(error),
                storage_failed=True,
            )
        if url is None:
            # Only if somebody has deleted the row.
            return ActivityResult(outcome="reconcile")
        if work.is_later_and_last and (undecided := self._attempts.check_still_draft(job)):
            return undecided.model_copy(update={"offset": work.offset})
        uploader = RangeUploader(
            graph=self.graph,
            source=self.source,
            readers=self.readers,
            # Transfers of version 1.0 do not say.
            range_bytes=job.range_bytes or self.settings.range_bytes,
        )
        session = self.graph.upload_url(url.reveal())
        return uploader.upload(job, session, work.offset, query_first=not is_sure)

    @with_lock()
    @activity_boundary
    def find_attachment(self, work: FindAttachment) -> ActivityResult:
        """Search for the attachment of an attempt with unknown outcome.

        Attachments that prove to be others' are noted, so that they are not read again. A second
        delivery searches again.
        """
        job = work.job
        entry = self.claims.entry(job)
        if entry is None and work.noted:
            raise OutcomeUnknown
        if entry is None or entry.earlier_attachments is None:
            # Nothing was sent.
            return ActivityResult(outcome="not_attached")
        response, attachments = self.graph.list_attachments(job.item)
        if result := result_of_refusal(Call.LIST, response, job):
            return result
        found = AttachmentFinder(self.graph, self.source).find(
            job, entry.earlier_attachments, attachments, is_last_attempt=work.is_last_attempt
        )
        if found.own is not None:
            return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
        if found.foreign:
            known = (*entry.earlier_attachments, *found.foreign)
            self.claims.put(replace(entry, earlier_attachments=known))
        unread = Failure.of(OutcomeUnknown()) if found.unread else None
        return ActivityResult(outcome="not_attached", failure=unread)

    @with_lock()
    @activity_boundary
    def cancel_upload_session(self, work: CancelUploadSession) -> ActivityResult:
        """Delete the attempt's upload session, and close its row when the transfer has ended.

        Worth a few tries only: a session expires by itself. A second delivery finds less to do,
        and a late one nothing.
        """
        self.readers.drop(work.transfer_id)
        if work.run:
            return self._cancel_earlier_session(work, work.run)
        job = work.job
        if job and work.delete_notes:
            undecided = self._attempts.settle_other_run(
                job,
                self.claims.latest_entry(job),
                must_wait=work.must_wait,
                best_effort=work.best_effort,
            )
            if undecided:
                return undecided
        entry = self.claims.own_entry(job) if job else None
        if work.must_wait:
            pending = ActivityResult(outcome="retry") if entry and entry.upload_url else None
        else:
            pending = self._attempts.cancel_session(work.transfer_id, entry)
        if pending and not work.best_effort:
            return pending.model_copy(update={"tries": MAX_SESSION_CANCELS})
        unsure = bool(work.is_unknown)
        known = job and self.claims.close(job, at_the_end=work.delete_notes, unsure=unsure)
        if known:
            return ActivityResult(outcome="attached", attachment_id=known)
        return ActivityResult(outcome="progress")

    def _cancel_earlier_session(self, work: CancelUploadSession, run: str) -> ActivityResult:
        """Delete the session of a row that this run's inspection has closed."""
        entry = self.claims.ledger.get(work.transfer_id)
        if entry is None or entry.run != run_before(run) or not entry.upload_url:
            return ActivityResult(outcome="progress")
        pending = None
        if not work.must_wait:
            pending = self._attempts.cancel_session(work.transfer_id, entry)
        if pending and not work.best_effort:
            return pending
        self.claims.put(replace(entry, upload_url=None))
        return ActivityResult(outcome="progress")

    @property
    def _attempts(self) -> Attempts:
        return Attempts(self.claims, self.source, self.graph)

    def _resume(self, job: Job, url: Secret | None) -> ActivityResult:
        """Where the session of this very attempt stands, for a second delivery of its creation.

        Without a session the first delivery has taken over another run's row, or is long over.
        """
        if url is None:
            return ActivityResult(outcome="reconcile")
        state = self.graph.session_state(self.graph.upload_url(url.reveal()))
        expected = next_expected_range(state.body, job.size) if state.succeeded else None
        offset = expected.start if expected else 0
        # Without a position, the ranges find it out, but not before the Retry-After.
        return ActivityResult(outcome="progress", offset=offset, retry_after=state.retry_after)
