"""The attachment after its transfer: describe, download and remove it, for a caller who waits.

One try each and no long waits: when Graph is not available, the error says when to try again.
"""

import logging
from dataclasses import dataclass, replace

from pydantic import ValidationError

from shared.errors import (
    AttachmentNotFound,
    BlobDeleted,
    DownloadTooLarge,
    Permanent,
    StorageUnavailable,
    TransferError,
)
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_http import ResponseTooLarge
from shared.outlook.graph_response import GraphResponse
from shared.outlook.item import OutlookItem
from shared.settings import Settings
from shared.storage.attachment_record import (
    FINGERPRINT_DIGITS,
    AttachmentRecord,
    Removed,
    fingerprint,
    write_record,
)
from shared.storage.ledger import Ledger
from shared.storage.listing import Listing
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged
from shared.transfer.activities.find_attachment import max_reported_size
from shared.transfer.admission import check_mailbox
from shared.transfer.messages import error_of_response, unusable_response
from shared.transfer.payloads import Payload, TransferStatus
from shared.transfer.retry_policy import decide
from shared.transfer.retry_table import Action, Call
from shared.transfer.run_token import run_at
from shared.transfer.same_path import SamePath
from shared.transfer.storage_policy import RECORD_WRITES
from shared.transfer.summaries import as_removed
from shared.transfer.transfer_id import matches

_LOG = logging.getLogger(__name__)


class AttachmentInfo(Payload):
    """Graph's description of an attachment. Its ``size`` is larger than the file's."""

    id: str
    name: str = ""
    content_type: str | None = None
    size: int | None = None
    is_inline: bool = False
    last_modified_date_time: str | None = None
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class AttachmentContent:
    """An attachment's bytes, with Graph's type and name for it, which are not verified."""

    data: bytes
    content_type: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Attachments:
    """The attachments that transfers made.

    Besides the errors that a method names, each of them raises :class:`AttachmentNotFound`,
    :class:`MailboxNotAllowed`, :class:`ItemNotFound`, :class:`PermissionMissing`,
    :class:`GraphRefused` and :class:`GraphUnavailable`.
    """

    settings: Settings
    source: SourceContainer
    ledger: Ledger
    graph: GraphClient
    listing: Listing

    def describe(self, status: TransferStatus) -> AttachmentInfo:
        """Graph's description of the transfer's attachment."""
        item, attachment_id = self._target(status)
        response = self.graph.describe_attachment(item, attachment_id)
        self._check(Call.DESCRIBE, response, item)
        try:
            return AttachmentInfo.from_json(response.body)
        except ValidationError:
            raise unusable_response() from None

    def content(self, status: TransferStatus) -> AttachmentContent:
        """The attachment's bytes, at most MAX_DOWNLOAD_BYTES of them.

        Raises :class:`DownloadTooLarge`.
        """
        item, attachment_id = self._target(status)
        limit = self.settings.max_download_bytes
        info = self.describe(status)
        # Before the download, which can take Graph very long.
        if (status.size or 0) > limit or (info.size or 0) > max_reported_size(limit):
            raise DownloadTooLarge(limit)
        try:
            response, data = self.graph.attachment_content(item, attachment_id, limit)
        except ResponseTooLarge:
            raise DownloadTooLarge(limit) from None
        self._check(Call.CONTENT, response, item)
        if data is None:
            raise unusable_response()
        return AttachmentContent(data, info.content_type or "", info.name or status.file_name or "")

    def remove(self, transfer_id: str, status: TransferStatus) -> None:
        """Remove the attachment from its item, and note that in the blob's record.

        An attachment that is gone already counts as removed while the record still names it. What
        only the blob's record says counts for nothing: others can write it.
        Raises :class:`StorageUnavailable` when the record could not be written: the same call
        again completes the removal.
        """
        item, attachment_id = self._named(status)
        if status.recorded:
            self._check_own(transfer_id, attachment_id)
        gone: TransferError | None = None
        try:
            self._check(Call.REMOVE, self.graph.remove_attachment(item, attachment_id), item)
        except AttachmentNotFound as error:
            gone = error
        self._note_removal(transfer_id, status.blob, item, attachment_id)
        recorded = self._record_removal(transfer_id, status, str(item))
        if gone and not recorded:
            raise gone
        self._list_removal(transfer_id)
        named = {"transfer_id": transfer_id}
        _LOG.info("transfer %s: its attachment was removed from %s", transfer_id, item, extra=named)

    def _list_removal(self, transfer_id: str) -> None:
        try:
            row = self.listing.find(transfer_id)
            if row and not row.is_running:
                self.listing.correct(as_removed(row, self.listing.clock()))
        except StorageUnavailable as error:
            named = {"transfer_id": transfer_id}
            _LOG.warning("transfer %s: removal not listed: %s", transfer_id, error, extra=named)

    def _target(self, status: TransferStatus) -> tuple[OutlookItem, str]:
        item, attachment_id = self._named(status)
        if status.recorded:
            self._prove(status, item, attachment_id)
        return item, attachment_id

    def _named(self, status: TransferStatus) -> tuple[OutlookItem, str]:
        item, attachment_id = status.item, status.attachment_id or ""
        # The id may come from a blob's metadata, which others can write.
        if not (item and attachment_id.strip(".")):
            raise AttachmentNotFound(
                f"The transfer has no attachment: it is {status.state}. "
                "GET the transfer to see how it ended."
            )
        check_mailbox(self.settings, item.mailbox)
        return item, attachment_id

    def _check_own(self, transfer_id: str, attachment_id: str) -> None:
        """Check that the ledger has the attachment: the app has made it, and removes no other."""
        entry = self.ledger.get(transfer_id)
        if entry is None or entry.attachment_id != attachment_id:
            raise _not_own()

    def _prove(self, status: TransferStatus, item: OutlookItem, attachment_id: str) -> None:
        """Check that the attachment has the blob's content: metadata can name any other one."""
        response, md5 = self.graph.attachment_md5(item, attachment_id)
        self._check(Call.CONTENT, response, item)
        try:
            own = self.source.md5_of(self.source.look(status.blob))
        except (BlobChanged, BlobDeleted):
            own = None
        if own is None or md5 != own:
            raise _not_own()

    def _check(self, call: Call, response: GraphResponse, item: OutlookItem) -> None:
        row = decide(call, response)
        if row.action is Action.PROCEED:
            return
        error = error_of_response(row, response, item)
        if isinstance(error, AttachmentNotFound):
            self._check_item(item)
        raise error

    def _check_item(self, item: OutlookItem) -> None:
        """Distinguish a missing item from a missing attachment: Graph's responses are the same."""
        response, _ = self.graph.list_attachments(item, brief=True)
        row = decide(Call.FIND_ITEM, response)
        if row.action is not Action.PROCEED:
            raise error_of_response(row, response, item)

    def _note_removal(self, id_: str, blob: str, item: OutlookItem, attachment_id: str) -> None:
        """Note in the ledger, for all transfers that share it, that it is not attached any more.

        Deliveries of runs that began before the removal are late from then on.
        """
        own, path = self.ledger.get(id_), SamePath(self.ledger, self.listing)
        for entry in (own, *path.others(id_, blob, item)):
            if entry and (entry.state, entry.attachment_id) == ("attached", attachment_id):
                run = max(entry.run, run_at(self.listing.clock()))
                self.ledger.put(replace(entry, run=run, state="removed"))

    def _record_removal(self, transfer_id: str, status: TransferStatus, item: str) -> bool:
        """Record the removal; return whether the blob's record named this attachment."""

        def removed(blob: SourceBlob, record: AttachmentRecord) -> AttachmentRecord | None:
            if record.attachment_id != status.attachment_id:
                return None
            now, reason = fingerprint(blob, item), Removed()
            if not (matches(transfer_id, blob, item) or now in record.sources):
                return None
            # Both are in the record if the blob's MD5 was set or cleared in between.
            own = {now, transfer_id[:FINGERPRINT_DIGITS]}
            return replace(
                record,
                status="cancelled",
                attachment_id="",
                sources=tuple(source for source in record.sources if source not in own),
                # It identifies the content. A record that was too large lacks it.
                transfer_id=record.transfer_id or transfer_id,
                attached_at="",
                error_code=reason.code,
                error_message=reason.sentence,
            )

        try:
            return write_record(self.source, status.blob, removed, RECORD_WRITES) is not None
        except Permanent as error:
            _LOG.warning(
                "transfer %s: its removal is not recorded: %s",
                transfer_id,
                error.sentence,
                extra={"transfer_id": transfer_id},
            )
            return False


def _not_own() -> AttachmentNotFound:
    return AttachmentNotFound(
        "The blob's record names an attachment that is not of the blob's content, or that the "
        "app's ledger does not know. Look at the item in Outlook."
    )
