"""The instance id of a transfer: the same for the same content, item and attempt key."""

import hashlib
import json

from shared.storage.attachment_record import FINGERPRINT_DIGITS, fingerprint
from shared.storage.source_container import SourceBlob, SourceContainer
from shared.transfer.payloads import BlobVersion


def instance_id(source: SourceContainer, blob: SourceBlob, item: str, attempt_key: str = "") -> str:
    """The fingerprint of content and item, then a digest with what else makes a transfer.

    A duplicate of an event, however late, gets the id of the transfer it duplicates: the ETag is
    left out, since anybody's metadata write changes it while the content stays. The record in a
    blob's metadata names its transfer, and so says which content it is about.

    ``item`` is empty for a blob that names none; ``attempt_key`` is empty for triggers.
    """
    own = fingerprint(source.container, blob, item)
    parts = [source.account, own, blob.name, item, attempt_key]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:FINGERPRINT_DIGITS]
    return f"{own}-{digest}"


def may_be_of(
    transfer_id: str,
    source: SourceContainer,
    blob: SourceBlob,
    item: str,
    content: BlobVersion | None,
) -> bool:
    """Whether the transfer, asked for this content, may still be about what the blob has now."""
    if is_of(transfer_id, source, blob, item):
        return True
    return content is not None and not content.is_replaced_by(BlobVersion.of(blob))


def is_of(transfer_id: str, source: SourceContainer, blob: SourceBlob, item: str) -> bool:
    """Whether the transfer is about this content of the blob, going to this item."""
    return transfer_id.startswith(fingerprint(source.container, blob, item))
