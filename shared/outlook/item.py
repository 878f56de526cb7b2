"""The Outlook item that receives a file, and the file as Graph's requests describe it."""

import base64
import json
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, Field


@dataclass(frozen=True, slots=True)
class ItemKind:
    """A kind of Outlook item that can hold files. A new kind is a new row of ``ITEM_KINDS``.

    ``collection`` is its part of Graph's paths and of an addressed blob's path. ``permission`` is
    the Graph application permission that writing to it needs. Its id is ``metadata_key`` in a
    blob's metadata and ``request_field`` in the JSON of a request. ``has_drafts``: it is only for
    its writer to change until it is sent.
    """

    type: str
    collection: str
    permission: str
    metadata_key: str
    request_field: str
    has_drafts: bool = False


ITEM_KINDS = {
    kind.type: kind
    for kind in (
        ItemKind(
            "message", "messages", "Mail.ReadWrite", "messageid", "messageId", has_drafts=True
        ),
        ItemKind("event", "events", "Calendars.ReadWrite", "eventid", "eventId"),
    )
}


def _known_type(type_: str) -> str:
    if type_ not in ITEM_KINDS:
        raise ValueError(f"should be one of {', '.join(ITEM_KINDS)}")
    return type_


ItemType = Annotated[
    str, Field(json_schema_extra={"enum": [*ITEM_KINDS]}), AfterValidator(_known_type)
]


@dataclass(frozen=True, slots=True)
class OutlookItem:
    """An item of a mailbox, which is an address or an object id."""

    mailbox: str
    type: ItemType
    id: str

    @property
    def kind(self) -> ItemKind:
        """The row of ``ITEM_KINDS`` for its type."""
        return ITEM_KINDS[self.type]

    @property
    def path(self) -> str:
        """The item's path below Graph's root; ids can hold ``/`` and ``+`` and are encoded."""
        mailbox, item = quote(self.mailbox, safe="@"), quote(self.id, safe="")
        return f"/users/{mailbox}/{self.kind.collection}/{item}"

    @property
    def permission(self) -> str:
        """The Graph application permission that writing to this item needs."""
        return self.kind.permission

    def __str__(self) -> str:
        return f"{self.mailbox}/{self.kind.collection}/{self.id}"


@dataclass(frozen=True, slots=True)
class OutlookFile:
    """A file to attach. A ``content_id`` makes it an inline picture."""

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
        """The body of the small POST, as JSON; the bytes are encoded once and copied once."""
        described = {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": self.name,
            "contentType": self.content_type,
        } | self._inline()
        head = json.dumps(described)[:-1].encode()
        return b"".join((head, b', "contentBytes": "', base64.b64encode(content), b'"}'))

    def _inline(self) -> dict[str, object]:
        return {"isInline": True, "contentId": self.content_id} if self.content_id else {}
