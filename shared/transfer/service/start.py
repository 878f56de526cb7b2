"""How every door starts a transfer: settle the address, derive the instance id, start once."""

import asyncio
import logging
import uuid
from dataclasses import dataclass

import azure.durable_functions as df
import grpc

from shared.errors import (
    AttachmentTooLarge,
    BlobDeleted,
    BlobNotFound,
    MailboxNotAllowed,
    Permanent,
    StorageUnavailable,
    TransferError,
    Unaddressed,
)
from shared.settings import Settings
from shared.storage.attachment_record import AttachmentRecord, fingerprint, read_record
from shared.storage.source_container import SourceBlob, SourceContainer
from shared.transfer.activities.inspect_blob import as_recorded
from shared.transfer.addressing import (
    Address,
    described_file,
    read_address,
    safe_content_id,
    safe_file_name,
)
from shared.transfer.payloads import BlobVersion, Failure, TransferRequest
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.transfers import Transfer, of_content
from shared.transfer.transfer_id import instance_id
from shared.transfer.workflow.orchestrator import predecessor_done

ORCHESTRATOR = "attach_blob"
# States that an order starts anew; whatever else there is, it joins.
_RESTARTED = frozenset({"failed", "cancelled", "superseded"})

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """The transfer's id, and whether this start began it or met it already there."""

    id: str
    joined: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one blob of an order: a transfer, or the reason why there is none."""

    blob: str
    outcome: Transfer | TransferError

    @property
    def error(self) -> TransferError | None:
        """The reason why there is no transfer, None when there is one."""
        return self.outcome if isinstance(self.outcome, TransferError) else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A transfer that is to be started: its id and input; ``known`` is one of that id."""

    id: str
    request: TransferRequest
    known: Transfer | None


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts transfers of the blobs of one source container."""

    settings: Settings
    source: SourceContainer

    async def from_blob(self, client: df.DurableFunctionsClient, name: str) -> Started:
        """Start the transfer that a blob's own metadata or path asks for, or join it.

        Raises :class:`BlobDeleted` when there is no such blob, and :class:`StorageUnavailable`.
        """
        blob = await asyncio.to_thread(self.source.look, name)
        request = _request(blob)
        id_ = instance_id(self.source, blob, str(request.item or ""))
        return Started(id_, joined=not await self._schedule(client, id_, request))

    async def ordered(
        self, client: df.DurableFunctionsClient, order: AttachRequest, attempt_key: str = ""
    ) -> tuple[Placed, ...]:
        """Start a transfer for each blob of the order, or join the one there is, in its order.

        What runs or is attached is joined unless forced; what failed, was cancelled or waits for
        an address is started anew. ``attempt_key`` makes it the same attempt again when forced;
        otherwise content and item do, for whichever door: two keys must not attach twice.
        Raises :class:`MailboxNotAllowed` before anything else is looked at.
        """
        if not self.settings.allows(order.mailbox):
            raise MailboxNotAllowed(order.mailbox)
        attempt_key = (attempt_key or uuid.uuid4().hex) if order.force else ""
        drafts: list[Placed | _Plan] = []
        for name in dict.fromkeys(order.names):
            try:
                drafts.append(await self._draft(client, order, name, attempt_key))
            except (Permanent, StorageUnavailable) as error:
                drafts.append(Placed(name, error))
        placed = await self._start_in_order(client, drafts)
        return tuple(placed[name] for name in order.names)

    async def _draft(
        self, client: df.DurableFunctionsClient, order: AttachRequest, name: str, attempt_key: str
    ) -> Placed | _Plan:
        try:
            blob = await asyncio.to_thread(self.source.look, name)
        except BlobDeleted:
            raise BlobNotFound(name) from None
        if blob.size > self.settings.max_attachment_bytes:
            raise AttachmentTooLarge(blob.size, self.settings.max_attachment_bytes)
        request = _ordered_request(order, blob)
        item = str(order.item)
        id_ = instance_id(self.source, blob, item, attempt_key)
        own = fingerprint(self.source.container, blob, item)
        known = {each.id: each for each in await of_content(client, own)}
        if attempt_key and id_ in known:
            return Placed(name, known[id_])
        if not order.force and (joined := self._joined(id_, blob, order, list(known.values()))):
            return Placed(name, joined)
        return _Plan(id_, request, known.get(id_))

    def _joined(
        self, id_: str, blob: SourceBlob, order: AttachRequest, known: list[Transfer]
    ) -> Transfer | None:
        """The transfer that makes another one needless."""
        item = str(order.item)
        for each in known:
            if each.completed_at is None:
                return each
        record = read_record(blob.metadata)
        if record.proves_attached(self.source.container, blob, item):
            named = [each for each in known if each.id == record.transfer_id]
            return next(iter(named), None) or _recorded(id_, blob, order, record)
        if record.is_about(self.source.container, blob, item):
            # Removed from the item since, or failed: whatever Durable remembers of before.
            return None
        attached = [each for each in known if each.state not in _RESTARTED]
        return attached[0] if attached else None

    async def _start_in_order(
        self, client: df.DurableFunctionsClient, drafts: list[Placed | _Plan]
    ) -> dict[str, Placed]:
        """Start the plans so that each but the first waits for the one before it.

        The last is started first: whoever is told to go on must be there to hear it.
        """
        plans = [each for each in drafts if isinstance(each, _Plan)]
        before = dict(zip([each.id for each in plans[1:]], plans, strict=False))
        started: dict[str, Placed] = {}
        following: list[str] = []
        for each in reversed(drafts):
            if isinstance(each, Placed):
                started[each.blob] = each
                if isinstance(each.outcome, Transfer) and each.outcome.state == "queued":
                    # It may be waiting, since a call that was cut off. Others do not listen.
                    following.append(each.outcome.id)
                continue
            follows = before[each.id].id if each.id in before else None
            update = {"next": tuple(following), "follows": follows}
            request = each.request.model_copy(update=update)
            await self._start(client, each, request)
            status = request.status.model_dump()
            started[request.blob] = Placed(request.blob, Transfer(id=each.id, **status))
            following = [each.id]
        return started

    async def _start(
        self, client: df.DurableFunctionsClient, plan: _Plan, request: TransferRequest
    ) -> None:
        if plan.known is not None:
            # Some task hubs replace a finished instance, others refuse its id.
            await client.purge_orchestration(plan.id)
        if await self._schedule(client, plan.id, request):
            return
        # Another call was faster, and its transfer knows nothing of those that follow here.
        for following in request.next:
            await client.raise_orchestration_event(following, predecessor_done(plan.id))

    async def _schedule(
        self, client: df.DurableFunctionsClient, id_: str, request: TransferRequest
    ) -> bool:
        """Start the transfer; False when there is one of that id already."""
        announced = self.settings.event_grid_topic_endpoint is not None
        request = request.model_copy(update={"announced": announced})
        try:
            await client.schedule_new_orchestration(
                ORCHESTRATOR, input=request.to_json(), instance_id=id_
            )
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
            return False
        item = request.item or "no item"
        named = {"transfer_id": id_}
        _LOG.info("transfer %s of blob %r to %s started", id_, request.blob, item, extra=named)
        return True


def _request(blob: SourceBlob) -> TransferRequest:
    try:
        address = read_address(blob.name, blob.metadata)
    except Permanent as error:
        # The orchestration says so in the blob's metadata: nothing that failed is silent.
        return TransferRequest(
            blob=blob.name,
            content=BlobVersion.of(blob),
            refused=Failure.of(error),
            unaddressed=isinstance(error, Unaddressed),
        )
    return _addressed(blob, address)


def _ordered_request(order: AttachRequest, blob: SourceBlob) -> TransferRequest:
    """The order's address; what it leaves open is the blob's own word."""
    try:
        file_name, content_id = described_file(blob.name, blob.metadata)
    except Permanent:
        file_name, content_id = described_file(blob.name, {})
    if order.file_name:
        file_name = safe_file_name(order.file_name)
    if order.content_id or order.is_inline is False:
        content_id = safe_content_id(order.content_id)
    update = {"content_type": order.content_type, "ordered": True, "force": order.force}
    address = Address(order.item, file_name, content_id)
    return _addressed(blob, address).model_copy(update=update)


def _recorded(
    id_: str, blob: SourceBlob, order: AttachRequest, record: AttachmentRecord
) -> Transfer:
    """A transfer that Durable has forgotten, as the blob's record tells it."""
    status = as_recorded(record, _ordered_request(order, blob).status)
    return Transfer(id=id_, **(status.model_dump() | {"size": blob.size}))


def _addressed(blob: SourceBlob, address: Address) -> TransferRequest:
    return TransferRequest(
        blob=blob.name,
        content=BlobVersion.of(blob),
        mailbox=address.item.mailbox,
        item_type=address.item.type,
        item_id=address.item.id,
        file_name=address.file_name,
        content_id=address.content_id,
    )
