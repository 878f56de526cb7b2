"""The instance id of a transfer: the same for the same content, item and attempt key."""

import hashlib
import json

from shared.storage.attachment_record import FINGERPRINT_DIGITS, fingerprint
from shared.storage.source_blob import SourceBlob
from shared.transfer.payloads import BlobVersion


def instance_id(blob: SourceBlob, item: str, attempt_key: str = "") -> str:
    """The fingerprint of content and item, then a digest with what else makes a transfer.

    A duplicate of an event, however late, gets the id of the transfer it duplicates: the ETag is
    left out, since anybody's metadata write changes it while the content stays. The record in a
    blob's metadata names its transfer, and so says which content it is about.

    ``item`` is empty for a blob that names none; ``attempt_key`` is empty for triggers.
    """
    own = fingerprint(blob, item)
    parts = [blob.account, own, blob.name, item, attempt_key]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:FINGERPRINT_DIGITS]
    return f"{own}-{digest}"


def may_match(transfer_id: str, blob: SourceBlob, item: str, content: BlobVersion | None) -> bool:
    """Whether the transfer, requested for this content, may be about the blob's present one."""
    if matches(transfer_id, blob, item):
        return True
    return content is not None and not content.is_replaced_by(BlobVersion.of(blob))


def matches(transfer_id: str, blob: SourceBlob, item: str) -> bool:
    """Whether the transfer is about the blob's present content, going to this item."""
    return transfer_id.startswith(fingerprint(blob, item))
