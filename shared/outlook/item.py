"""The Outlook item that receives a file, and the file as requests describe it."""

import base64
import json
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

ItemType = Literal["message", "event"]

COLLECTIONS: dict[ItemType, str] = {"message": "messages", "event": "events"}
PERMISSIONS: dict[ItemType, str] = {
    "message": "Mail.ReadWrite",
    "event": "Calendars.ReadWrite",
}


@dataclass(frozen=True, slots=True)
class OutlookItem:
    """A message or an event of a mailbox (an address or an object id)."""

    mailbox: str
    type: ItemType
    id: str

    @property
    def path(self) -> str:
        """The item's path below Graph's root; ids can hold ``/`` and ``+`` and are encoded."""
        mailbox, item = quote(self.mailbox, safe="@"), quote(self.id, safe="")
        return f"/users/{mailbox}/{COLLECTIONS[self.type]}/{item}"

    @property
    def permission(self) -> str:
        """The Graph application permission that writing to this item needs."""
        return PERMISSIONS[self.type]

    def __str__(self) -> str:
        return f"{self.mailbox}/{COLLECTIONS[self.type]}/{self.id}"


@dataclass(frozen=True, slots=True)
class OutlookFile:
    """A file as requests describe it. A ``content_id`` makes it an inline picture."""

    name: str
    size: int
    content_type: str
    content_id: str | None = None

    def attachment_item(self) -> bytes:
        """The body of ``createUploadSession``, as JSON."""
        item: dict[str, object] = {
            "attachmentType": "file",
            "name": self.name,
            "size": self.size,
            "contentType": self.content_type,
        }
        return json.dumps({"AttachmentItem": item | self._inline()}).encode()

    def file_attachment(self, content: bytes) -> bytes:
        """The body of the small POST, as JSON; the content is encoded once and copied once."""
        described = {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": self.name,
            "contentType": self.content_type,
        } | self._inline()
        head = json.dumps(described)[:-1].encode()
        return b"".join((head, b', "contentBytes": "', base64.b64encode(content), b'"}'))

    def _inline(self) -> dict[str, object]:
        return {"isInline": True, "contentId": self.content_id} if self.content_id else {}
