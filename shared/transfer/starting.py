"""How every door starts a transfer: settle the address, derive the instance id, start once."""

import asyncio
import logging
from dataclasses import dataclass

import azure.durable_functions as df
import grpc

from shared.errors import Permanent
from shared.storage.blob_source import BlobSource, SourceBlob
from shared.transfer.addressing import read_address
from shared.transfer.instance_id import instance_id
from shared.transfer.payloads import Failure, TransferRequest

ORCHESTRATOR = "attach_blob"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """The transfer's id, and whether this start began it or met it already there."""

    id: str
    joined: bool


async def start_transfer(
    client: df.DurableFunctionsClient, source: BlobSource, blob_name: str
) -> Started:
    """Start the transfer that a blob's own metadata or path asks for, or join it.

    Raises :class:`BlobDeleted` when there is no such blob, and :class:`StorageUnavailable`.
    """
    blob = await asyncio.to_thread(source.look, blob_name)
    request = _request(blob)
    id_ = instance_id(source, blob, str(request.item or ""))
    try:
        await client.schedule_new_orchestration(
            ORCHESTRATOR, input=request.to_json(), instance_id=id_
        )
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        return Started(id_, joined=True)
    _LOG.info("transfer %s of blob %r to %s started", id_, blob_name, request.item or "no item")
    return Started(id_, joined=False)


def _request(blob: SourceBlob) -> TransferRequest:
    try:
        address = read_address(blob.name, blob.metadata)
    except Permanent as error:
        # The orchestration says so in the blob's metadata: nothing that failed is silent.
        return TransferRequest(blob=blob.name, refused=Failure.of(error))
    return TransferRequest(
        blob=blob.name,
        mailbox=address.item.mailbox,
        item_type=address.item.type,
        item_id=address.item.id,
        file_name=address.file_name,
        content_id=address.content_id,
    )
