"""What the doors and the orchestrator hand each other: a request goes in, a status comes out.

All of it is kept in Durable's history, readable by whoever reads the task hub: no upload URL,
no token and no content is ever a field here. One payload in, one out, so that fields can be
added later. The JSON is in camel case, since a status is also what the HTTP API answers.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from shared.errors import TransferError
from shared.outlook.item import ItemType, OutlookItem
from shared.storage.source_container import SourceBlob

State = Literal[
    "queued",
    "waiting",
    "uploading",
    "recording",
    "attached",
    "failed",
    "cancelled",
    "superseded",
]


RecordedStatus = Literal["attached", "failed", "cancelled", "unaddressed"]


class Payload(BaseModel):
    """A frozen value that travels as JSON."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore"
    )

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The payload out of parsed JSON."""
        return cls.model_validate(value)

    def to_json(self) -> dict[str, object]:
        """The payload as JSON-ready values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Failure(Payload):
    """Why a transfer ended: a code and a sentence."""

    code: str
    message: str

    @classmethod
    def of(cls, error: TransferError) -> Self:
        """The failure that an error stands for."""
        return cls(code=error.code, message=error.sentence)


class BlobVersion(Payload):
    """One content of a blob, as its properties tell it; its metadata and ETag may change."""

    created: str
    size: int
    md5: str

    @classmethod
    def of(cls, blob: SourceBlob) -> Self:
        """The content that a blob has."""
        return cls(created=blob.created, size=blob.size, md5=blob.md5)

    def is_replaced_by(self, now: Self) -> bool:
        """Whether the blob has surely been overwritten: an event of its own tells that.

        Setting a blob's properties sets or clears its MD5 without any event, so that one MD5
        alone proves nothing.
        """
        if (self.created, self.size) != (now.created, now.size):
            return True
        return bool(self.md5 and now.md5) and self.md5 != now.md5


class TransferRequest(Payload):
    """A blob of the source container and the item it goes to, as a door found them.

    The address is settled at the door, once: what somebody writes to the metadata afterwards
    does not change where a running transfer goes, nor which ``content`` it is about. ``refused``
    says why there is no address; ``unaddressed``: the blob names none. ``ordered``: somebody asked
    for it, so that an earlier failure does not end it; ``force``: nor does an earlier success. One
    that ``follows`` another transfer begins at the end of that one, or after a day; ``next`` are
    those that follow this one. ``announced``: its end is told by an event.
    """

    blob: str
    content: BlobVersion | None = None
    mailbox: str | None = None
    item_type: ItemType | None = None
    item_id: str | None = None
    file_name: str = ""
    content_type: str | None = None
    content_id: str | None = None
    refused: Failure | None = None
    unaddressed: bool = False
    ordered: bool = False
    force: bool = False
    follows: str | None = None
    next: tuple[str, ...] = ()
    announced: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read_1_0(cls, value: Any) -> Any:
        """Histories of version 1.0 have no ``unaddressed``: the refusal's code implies it."""
        if not isinstance(value, Mapping) or "unaddressed" in value:
            return value
        refused = value.get("refused")
        code = refused.get("code") if isinstance(refused, Mapping) else None
        return {**value, "unaddressed": code == "Unaddressed"}

    @property
    def item(self) -> OutlookItem | None:
        """The item that is to receive the file."""
        if not (self.mailbox and self.item_type and self.item_id):
            return None
        return OutlookItem(self.mailbox, self.item_type, self.item_id)

    @property
    def status(self) -> "TransferStatus":
        """The status of a transfer that has only been asked for."""
        return TransferStatus(
            blob=self.blob,
            mailbox=self.mailbox,
            item_type=self.item_type,
            item_id=self.item_id,
            file_name=self.file_name or None,
        )


class TransferStatus(Payload):
    """A transfer as its watchers see it: custom status while it runs, output at its end.

    ``recorded``: told by the blob's record, which is its writer's word, and not seen to happen.
    """

    state: State = "queued"
    blob: str
    size: int | None = None
    bytes_sent: int = 0
    mailbox: str | None = None
    item_type: ItemType | None = None
    item_id: str | None = None
    file_name: str | None = None
    attachment_id: str | None = None
    error: Failure | None = None
    recorded: Literal[True] | None = None
