"""What comes before a file is sent: the item's attachments are noted, an earlier attempt is found.

Each attempt has one delivery that may send the file, or give it up. A delivery that sends nothing
and reports a result therefore claims the attempt as well: no other one sends it afterwards.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.errors import (
    OutcomeUnknown,
    Permanent,
    StorageUnavailable,
    TransferError,
    UploadHostNotAllowed,
)
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.graph_client import GraphClient, ListedAttachment
from shared.outlook.item import OutlookItem
from shared.storage.ledger import LedgerEntry
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader, RestartRequired
from shared.transfer.activities.claims import Claims
from shared.transfer.activities.find_attachment import AttachmentFinder, Throttled
from shared.transfer.activities.results import look_first, result_of_error, result_of_refusal
from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import decide, effective_retry_after
from shared.transfer.retry_table import Action, Call

_LOG = logging.getLogger(__name__)


class NotADraft(Permanent):
    """Raised when the message was sent, or received: nothing is attached to it."""

    def __init__(self, item: OutlookItem) -> None:
        super().__init__(
            f"The message {item.id} of mailbox {item.mailbox} is not a draft: it was sent, or "
            "received by somebody. Request the transfer to a draft, and send it when it has the "
            "file."
        )


@dataclass(frozen=True, slots=True)
class Post:
    """What a POST needs: the row that claims its attempt, and the file."""

    entry: LedgerEntry
    content: bytes


@dataclass(frozen=True, slots=True)
class Attempts:
    """Prepares attempts. ``entry`` is the transfer's row as it was read, None without a row.

    Every method raises :class:`~shared.storage.documents.DocumentConflict` when another delivery
    has written the row meanwhile.
    """

    claims: Claims
    source: SourceContainer
    graph: GraphClient

    def settle_other_run(
        self,
        job: Job,
        entry: LedgerEntry | None,
        *,
        must_wait: bool = False,
        best_effort: bool = False,
    ) -> ActivityResult | None:
        """A result, if another run of the transfer may be sending, or may have sent, the file.

        After this it claims no more, and the item is searched before this run sends. Its session
        is left to expire if no request may be sent, or if it cannot be deleted at ``best_effort``.
        """
        if entry is None or entry.state in {"attached", "removed"}:
            return None
        if entry.run == job.run:
            return ActivityResult(outcome="reconcile") if entry.unsure and not job.unsure else None
        if entry.state == "ended" and not entry.unsure:
            return None
        pending = None if must_wait else self.cancel_session(job.transfer_id, entry)
        if pending and not best_effort:
            return pending
        self.claims.take_over(job, entry)
        return ActivityResult(outcome="reconcile")

    def prepare(
        self, job: Job, entry: LedgerEntry | None, *, after_post: bool = False
    ) -> LedgerEntry | ActivityResult:
        """The row for this attempt, with the item's attachments; a result if that decides.

        The ids of the first attempt stay: an attachment of an earlier attempt that Outlook added
        late is found here, before the file is sent again. ``after_post``: so is that of a POST
        that was refused for its size, in case it was carried out all the same.
        Raises :class:`NotADraft`.
        """
        is_own = entry is not None and entry.run == job.run
        response, attachments = self.graph.list_attachments(job.item)
        if result := result_of_refusal(Call.LIST, response, job):
            return result
        earlier = entry.earlier_attachments if entry and entry.state != "removed" else None
        if earlier is not None and (job.unsure or not is_own or after_post):
            found = AttachmentFinder(self.graph, self.source).find(
                job, earlier, attachments, is_last_attempt=False
            )
            if found.own is not None:
                return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
            if found.unread:
                # Another search, with waits, before anything is sent.
                return ActivityResult(outcome="reconcile", failure=Failure.of(OutcomeUnknown()))
        if earlier is None:
            if (again := self._attached_before(job, attachments)) is not None:
                return ActivityResult(outcome="attached", offset=job.size, attachment_id=again)
            earlier = tuple(each.id for each in attachments)
        if result := self.check_draft(job):
            return result
        return LedgerEntry(
            job.transfer_id,
            job.run,
            job.attempt,
            attachment_id=entry.attachment_id if entry and entry.state != "removed" else "",
            earlier_attachments=earlier,
            etag=entry.etag if entry else "",
        )

    def _attached_before(self, job: Job, listed: Sequence[ListedAttachment]) -> str | None:
        """The attachment that another transfer made of the same bytes of the same blob name.

        A client that repeats an upload creates such a blob. Attachments that were there before
        that transfer began are not the app's. Those whose bytes cannot be read do not count.
        """
        finder = AttachmentFinder(self.graph, self.source)
        for other in map(self.claims.ledger.get, job.same_path):
            if other is None or other.state == "removed":
                continue
            named = [each for each in listed if each.id == other.attachment_id]
            earlier = () if named else other.earlier_attachments
            if earlier is None:
                continue
            found = finder.find(job, earlier, named or listed, is_last_attempt=False)
            if found.own is not None:
                return found.own
        return None

    def check_draft(self, job: Job) -> ActivityResult | None:
        """A result, if it is not known whether the message is a draft.

        Raises :class:`NotADraft`.
        """
        if not job.item.kind.has_drafts:
            return None
        response = self.graph.draft_state(job.item)
        if result := result_of_refusal(Call.DRAFT_STATE, response, job):
            return result
        if response.body.get("isDraft") is False:
            raise NotADraft(job.item)
        return None

    def check_still_draft(self, job: Job) -> ActivityResult | None:
        """The same before the last ranges: a refusal counts after a look at the item only.

        Another delivery of the same ranges may have sent them meanwhile.
        """
        try:
            undecided = self.check_draft(job)
        except NotADraft as error:
            undecided = result_of_error(error)
        failed = undecided is not None and undecided.outcome == "failed"
        return look_first(undecided) if undecided and failed else undecided

    def prepare_post(self, job: Job, entry: LedgerEntry | None) -> Post | ActivityResult:
        """What to send; a result, if nothing is sent.

        Raises :class:`~shared.errors.StorageUnavailable`: the attempt is still open.
        """
        try:
            claimed = self.prepare(job, entry)
            if isinstance(claimed, LedgerEntry):
                with BlobReader(self.source, job) as reader:
                    return Post(claimed, reader.read(ByteRange(0, job.size)))
        except StorageUnavailable:
            raise
        except (RestartRequired, Throttled, TransferError) as error:
            claimed = result_of_error(error)
        if claimed.outcome not in {"attached", "reconcile"}:
            entry = entry or LedgerEntry(job.transfer_id)
            self.claims.claim(replace(entry, run=job.run, attempt=job.attempt, state="open"))
        return claimed

    def cancel_session(self, transfer_id: str, entry: LedgerEntry | None) -> ActivityResult | None:
        """Delete the session in the row, if any; a result if that needs another try."""
        if entry is None or not entry.upload_url:
            return None
        try:
            url = self.graph.upload_url(entry.upload_url.reveal())
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
