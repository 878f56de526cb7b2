"""Upload links: a client uploads a file to the watched container by a pre-signed URL.

The app returns the URL and the headers to send, and the blob trigger starts the transfer. The
content never passes through the app.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pydantic import Field

from shared.settings import Settings
from shared.storage.presigned_urls import PresignedUrls
from shared.transfer.addressing import safe_file_name
from shared.transfer.admission import EXPECTED_SIZE, check_mailbox, check_size
from shared.transfer.payloads import Payload
from shared.transfer.service.requests import UploadLinkRequest

# Files from upload links have a folder of their own, and each file its own folder in it.
_FOLDER = "by-hand"


class UploadLink(Payload):
    """How to upload the file: one ``PUT`` of its bytes to ``url``, with all of ``headers``.

    ``url`` is a credential for ``blob`` alone, until ``expires_at``.
    """

    url: str = Field(repr=False)
    blob: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UploadLinks:
    """Creates upload links, after the checks that are possible before the upload."""

    settings: Settings
    presigned_urls: PresignedUrls

    def create(self, request: UploadLinkRequest) -> UploadLink:
        """An upload link for this file. The uploaded blob is checked again, like any other.

        Raises :class:`MailboxNotAllowed` before anything else is checked,
        :class:`AttachmentTooLarge`, :class:`PermissionMissing` and :class:`StorageUnavailable`.
        """
        check_mailbox(self.settings, request.mailbox)
        check_size(self.settings, request.size)
        file_name = safe_file_name(request.file_name)
        name = f"{_FOLDER}/{uuid.uuid4().hex}/{file_name}"
        presigned = self.presigned_urls.create(name)
        return UploadLink(
            url=presigned.url,
            blob=name,
            headers=_headers(request, file_name),
            expires_at=presigned.expires_at,
        )


def _headers(request: UploadLinkRequest, file_name: str) -> dict[str, str]:
    """The blob's type, and its address and size as metadata, which allow ASCII only."""
    item = request.item
    address = {
        "mailbox": item.mailbox,
        item.kind.metadata_key: item.id,
        "filename": file_name,
        EXPECTED_SIZE: str(request.size),
    }
    return {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-type": request.type,
        **{f"x-ms-meta-{key}": quote(value, safe="@") for key, value in address.items()},
    }
