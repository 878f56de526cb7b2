"""The input of the orchestrator, from a blob's own address or from a request."""

from shared.errors import Permanent, Unaddressed
from shared.storage.source_blob import SourceBlob
from shared.transfer.addressing import (
    Address,
    read_address,
    read_file_name,
    safe_content_id,
    safe_file_name,
)
from shared.transfer.payloads import BlobVersion, Failure, TransferRequest
from shared.transfer.service.requests import AttachRequest


def request_of_blob(blob: SourceBlob) -> TransferRequest:
    """The transfer to the item that the blob's metadata or path names."""
    try:
        address = read_address(blob.name, blob.metadata)
    except Permanent as error:
        # The transfer still runs: it writes the reason to the blob's metadata, and is logged.
        return TransferRequest(
            blob=blob.name,
            content=BlobVersion.of(blob),
            refused=Failure.of(error),
            unaddressed=isinstance(error, Unaddressed),
        )
    return _addressed(blob, address)


def explicit_request(attach: AttachRequest, blob: SourceBlob) -> TransferRequest:
    """The requested transfer. The blob's metadata supplies what the request does not name."""
    try:
        file_name, content_id = read_file_name(blob.name, blob.metadata)
    except Permanent:
        file_name, content_id = read_file_name(blob.name, {})
    if attach.file_name:
        file_name = safe_file_name(attach.file_name)
    if attach.content_id or attach.is_inline is False:
        content_id = safe_content_id(attach.content_id)
    update = {"content_type": attach.content_type, "explicit": True, "force": attach.force}
    address = Address(attach.item, file_name, content_id)
    return _addressed(blob, address).model_copy(update=update)


def _addressed(blob: SourceBlob, address: Address) -> TransferRequest:
    return TransferRequest(
        blob=blob.name,
        content=BlobVersion.of(blob),
        file_name=address.file_name,
        content_id=address.content_id,
        **TransferRequest.fields_of(address.item),
    )
