"""A file sent by hand: its sender puts it into the watched container, the blob door does the rest.

The app hands out the leave and the blob's metadata; the content never passes through it.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pydantic import Field

from shared.errors import AttachmentTooLarge, MailboxNotAllowed
from shared.settings import Settings
from shared.storage.presigned_urls import PresignedUrls
from shared.transfer.addressing import safe_file_name
from shared.transfer.payloads import Payload
from shared.transfer.service.requests import UploadLinkRequest

# Files sent by hand have a folder of their own, and each one a folder of its own in it.
_FOLDER = "by-hand"


class UploadLink(Payload):
    """How to put the file in: one ``PUT`` of its bytes to ``url``, with all of ``headers``.

    ``url`` is a credential for ``blob`` alone, until ``expires_at``.
    """

    url: str = Field(repr=False)
    blob: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UploadLinks:
    """Gives leave to put files in, once nothing that is known by then speaks against them."""

    settings: Settings
    grants: PresignedUrls

    def offer(self, order: UploadLinkRequest) -> UploadLink:
        """Leave for this file; what is really put in is checked again as any other blob.

        Raises :class:`MailboxNotAllowed` before anything else is looked at,
        :class:`AttachmentTooLarge`, :class:`PermissionMissing` and :class:`StorageUnavailable`.
        """
        if not self.settings.allows(order.mailbox):
            raise MailboxNotAllowed(order.mailbox)
        if order.size > self.settings.max_attachment_bytes:
            raise AttachmentTooLarge(order.size, self.settings.max_attachment_bytes)
        file_name = safe_file_name(order.file_name)
        name = f"{_FOLDER}/{uuid.uuid4().hex}/{file_name}"
        granted = self.grants.grant(name)
        headers = _headers(order, file_name)
        return UploadLink(
            url=granted.url, blob=name, headers=headers, expires_at=granted.expires_at
        )


def _headers(order: UploadLinkRequest, file_name: str) -> dict[str, str]:
    """What makes the blob, and its address as metadata, which takes ASCII alone."""
    item = order.item
    address = {"mailbox": item.mailbox, f"{item.type}id": item.id, "filename": file_name}
    return {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-type": order.content_type,
        **{f"x-ms-meta-{key}": quote(value, safe="@") for key, value in address.items()},
    }
