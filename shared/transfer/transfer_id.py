"""The instance id of a transfer, derived from content, item and attempt key."""

import hashlib
import json

from shared.storage.attachment_record import FINGERPRINT_DIGITS, fingerprint
from shared.storage.source_blob import SourceBlob
from shared.transfer.payloads import BlobVersion


def instance_id(blob: SourceBlob, item: str, attempt_key: str = "") -> str:
    """The fingerprint of content and item, followed by a digest of all that identifies a transfer.

    A repeated event gets the same id, however late it is. The ETag is not part of it: a metadata
    write changes it, while the content stays the same. A record holds the id of its transfer, and
    thereby the fingerprint of its content.

    ``item`` is empty for a blob that names none. ``attempt_key`` is empty unless a request forces
    another attempt.
    """
    own = fingerprint(blob, item)
    parts = [blob.account, own, blob.name, item, attempt_key]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:FINGERPRINT_DIGITS]
    return f"{own}-{digest}"


def may_match(transfer_id: str, blob: SourceBlob, item: str, content: BlobVersion | None) -> bool:
    """Whether the transfer, started for this ``content``, may be about the blob's present one."""
    if matches(transfer_id, blob, item):
        return True
    return content is not None and not content.is_replaced_by(BlobVersion.of(blob))


def matches(transfer_id: str, blob: SourceBlob, item: str) -> bool:
    """Whether the transfer is about the blob's present content, going to this item."""
    return transfer_id.startswith(fingerprint(blob, item))
