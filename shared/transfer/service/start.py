"""Starts transfers, for every trigger: read the address, derive the instance id, start it once."""

import asyncio
import logging
import uuid
from dataclasses import dataclass

import azure.durable_functions as df

from shared.errors import BlobDeleted, BlobNotFound, Permanent, StorageUnavailable, TransferError
from shared.settings import Settings
from shared.storage.attachment_record import AttachmentRecord, fingerprint, read_record
from shared.storage.listing import Listing
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.inspect_blob import as_recorded
from shared.transfer.admission import check_is_file, check_mailbox, check_name, check_size
from shared.transfer.payloads import TransferRequest
from shared.transfer.service.instances import raise_event, restart_instance, start_instance
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.transfer_requests import explicit_request, request_of_blob
from shared.transfer.service.transfers import Transfer, find_by_fingerprint
from shared.transfer.summaries import at_start, list_if_possible
from shared.transfer.transfer_id import instance_id
from shared.transfer.workflow.orchestrator import predecessor_done

# A request starts transfers in these states again, and joins those in any other.
_RESTARTED = frozenset({"failed", "cancelled", "superseded", "unaddressed", "removed"})

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """The transfer's id. ``joined``: it had been started before."""

    id: str
    joined: bool


@dataclass(frozen=True, slots=True)
class StartResult:
    """The result for one blob of a request: its transfer, or the reason why there is none."""

    blob: str
    outcome: Transfer | TransferError

    @property
    def error(self) -> TransferError | None:
        """The reason why there is no transfer, None when there is one."""
        return self.outcome if isinstance(self.outcome, TransferError) else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A transfer to start: its id and input. ``known``: a finished one with the same id."""

    id: str
    request: TransferRequest
    known: Transfer | None


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts transfers of the source container's blobs, each of them once."""

    settings: Settings
    source: SourceContainer
    listing: Listing

    async def from_blob(self, client: df.DurableFunctionsClient, name: str) -> Started:
        """Start the transfer to the item that the blob's metadata or path names, or join it.

        Nothing is started when the blob's record says how it ended: writing the record is an event
        of the blob, too, and its run would hold the id while a user requests the transfer again.
        Raises :class:`BlobDeleted` when there is no such blob, :class:`FolderMarker` when it stands
        for a folder, :class:`UnreadableBlob` and :class:`StorageUnavailable`.
        """
        blob = await self._look(name)
        request = request_of_blob(blob)
        item = str(request.item or "")
        id_ = instance_id(blob, item)
        if self._is_recorded(blob, item):
            return Started(id_, joined=True)
        request = self._pinned(request)
        started = await start_instance(client, id_, request)
        if started:
            await self._note_start(id_, request)
        return Started(id_, joined=not started)

    async def from_request(
        self, client: df.DurableFunctionsClient, attach: AttachRequest, attempt_key: str = ""
    ) -> tuple[StartResult, ...]:
        """Start a transfer for each blob of the request, or join an existing one, in its order.

        A transfer that runs or has attached the blob is joined unless ``force`` is set; one that
        failed, was cancelled or found no address is started again. With ``force``,
        ``attempt_key`` identifies the attempt. Without it, content and item do, for every
        trigger: two keys must not attach twice.
        Raises :class:`MailboxNotAllowed` before anything else is checked.
        """
        check_mailbox(self.settings, attach.mailbox)
        attempt_key = (attempt_key or uuid.uuid4().hex) if attach.force else ""
        drafts: list[StartResult | _Plan] = []
        for name in dict.fromkeys(attach.names):
            try:
                drafts.append(await self._draft(client, attach, name, attempt_key))
            except (Permanent, StorageUnavailable) as error:
                drafts.append(StartResult(name, error))
        results = await self._start_in_order(client, drafts)
        return tuple(results[name] for name in attach.names)

    def _is_recorded(self, blob: SourceBlob, item: str) -> bool:
        return read_record(blob.metadata).holds(fingerprint(blob, item))

    async def _look(self, name: str) -> SourceBlob:
        """The blob as it is now, if it is a file."""
        check_name(name)
        await asyncio.to_thread(self.source.claim)
        blob = await asyncio.to_thread(self.source.look, name)
        check_is_file(blob)
        return blob

    async def _draft(
        self, client: df.DurableFunctionsClient, attach: AttachRequest, name: str, attempt_key: str
    ) -> StartResult | _Plan:
        try:
            blob = await self._look(name)
        except BlobDeleted:
            raise BlobNotFound(name) from None
        check_size(self.settings, blob.size)
        item = str(attach.item)
        id_ = instance_id(blob, item, attempt_key)
        known = await find_by_fingerprint(client, fingerprint(blob, item))
        same_id = next((each for each in known if each.id == id_), None)
        if attempt_key and same_id:
            return StartResult(name, same_id)
        if not attach.force and (joined := _transfer_to_join(id_, blob, attach, known)):
            return StartResult(name, joined)
        return _Plan(id_, explicit_request(attach, blob), same_id)

    async def _start_in_order(
        self, client: df.DurableFunctionsClient, drafts: list[StartResult | _Plan]
    ) -> dict[str, StartResult]:
        """Start the plans so that each but the first waits for the one before it.

        The last is started first: a transfer must exist when its predecessor sends it an event.
        """
        plans = [each for each in drafts if isinstance(each, _Plan)]
        before = dict(zip([each.id for each in plans[1:]], plans, strict=False))
        results: dict[str, StartResult] = {}
        following: list[str] = []
        for each in reversed(drafts):
            if isinstance(each, StartResult):
                results[each.blob] = each
                if isinstance(each.outcome, Transfer) and each.outcome.state == "queued":
                    # It may wait for a predecessor that an interrupted call did not start.
                    # Transfers in other states ignore the event.
                    following.append(each.outcome.id)
                continue
            follows = before[each.id].id if each.id in before else None
            update = {"next": tuple(following), "follows": follows}
            request = each.request.model_copy(update=update)
            await self._start(client, each, request)
            transfer = Transfer(id=each.id, **request.status.model_dump())
            results[request.blob] = StartResult(request.blob, transfer)
            following = [each.id]
        return results

    async def _start(
        self, client: df.DurableFunctionsClient, plan: _Plan, request: TransferRequest
    ) -> None:
        start = start_instance if plan.known is None else restart_instance
        request = self._pinned(request)
        if await start(client, plan.id, request):
            await self._note_start(plan.id, request)
            return
        # Another call started it first, without these followers.
        for following in request.next:
            await raise_event(client, following, predecessor_done(plan.id))

    def _pinned(self, request: TransferRequest) -> TransferRequest:
        announced = self.settings.event_grid_topic_endpoint is not None
        update = {"announced": announced, "created_at": self.listing.clock()}
        return request.model_copy(update=update)

    async def _note_start(self, id_: str, request: TransferRequest) -> None:
        item = request.item or "no item"
        extra = {"transfer_id": id_}
        _LOG.info("transfer %s of blob %r to %s started", id_, request.blob, item, extra=extra)
        row = at_start(id_, request, self.listing.clock())
        await asyncio.to_thread(list_if_possible, self.listing.begin, row)


def _transfer_to_join(
    id_: str, blob: SourceBlob, attach: AttachRequest, known: list[Transfer]
) -> Transfer | None:
    """The existing transfer that a request without ``force`` joins, None to start one."""
    item = str(attach.item)
    for each in known:
        if each.completed_at is None:
            return each
    record = read_record(blob.metadata)
    if record.proves_attached(blob, item):
        recorded = [each for each in known if each.id == record.transfer_id]
        return next(iter(recorded), None) or _from_record(id_, blob, attach, record)
    if record.is_about(blob, item):
        # It failed, or was removed from the item: newer than what Durable's history holds.
        return None
    attached = [each for each in known if each.state not in _RESTARTED]
    return attached[0] if attached else None


def _from_record(
    id_: str, blob: SourceBlob, attach: AttachRequest, record: AttachmentRecord
) -> Transfer:
    """A transfer that is no longer in Durable's history, as the blob's record describes it."""
    status = as_recorded(record, explicit_request(attach, blob).status)
    return Transfer(id=id_, **(status.model_dump() | {"size": blob.size}))
