"""What comes before a file is sent: the item's attachments are noted, an earlier attempt is found.

Each attempt has one delivery that may send the file, or give it up. A delivery that sends nothing
and reports a result therefore claims the attempt as well: no other one sends it afterwards.
"""

from dataclasses import dataclass, replace

from shared.errors import OutcomeUnknown, StorageUnavailable, TransferError
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.graph_client import GraphClient
from shared.storage.ledger import LedgerEntry
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.blob_reader import BlobReader, RestartRequired
from shared.transfer.activities.claims import Claims
from shared.transfer.activities.find_attachment import AttachmentFinder, Throttled
from shared.transfer.activities.results import result_of_error, result_of_refusal
from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.payloads import Failure
from shared.transfer.retry_table import Call


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

    def prepare(self, job: Job, entry: LedgerEntry | None) -> LedgerEntry | ActivityResult:
        """The row for this attempt, with the item's attachments; a result if that decides.

        The ids of the first attempt stay: an attachment of an earlier attempt that Outlook added
        late is found here, before the file is sent again.
        """
        is_own = entry is not None and entry.run == job.run
        if entry and entry.state == "open" and not (is_own or job.unsure):
            # Another run of the transfer may be sending. After this, it claims no more.
            self.claims.take_over(job, entry)
            return ActivityResult(outcome="reconcile")
        response, attachments = self.graph.list_attachments(job.item)
        if result := result_of_refusal(Call.LIST, response, job):
            return result
        earlier = entry.earlier_attachments if entry and entry.state != "removed" else None
        if earlier is not None and (job.unsure or not is_own):
            found = AttachmentFinder(self.graph, self.source).find(
                job, earlier, attachments, is_last_attempt=False
            )
            if found.own is not None:
                return ActivityResult(outcome="attached", offset=job.size, attachment_id=found.own)
            if found.unread:
                # Another search, with waits, before anything is sent.
                return ActivityResult(outcome="reconcile", failure=Failure.of(OutcomeUnknown()))
        if earlier is None:
            earlier = tuple(each.id for each in attachments)
        return LedgerEntry(
            job.transfer_id,
            job.run,
            job.attempt,
            earlier_attachments=earlier,
            etag=entry.etag if entry else "",
        )

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
