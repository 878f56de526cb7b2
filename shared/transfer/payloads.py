"""The input and the output of a transfer: a request and a status.

Durable's history stores all of it, readable in the task hub: no upload URL, token or content is
ever a field here. Each call takes one payload and returns one, so that fields can be added later.
JSON keys are in camel case, as in the HTTP API, whose responses contain statuses. A renamed field
has its old key as an ``alias``, so that older histories can be read.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from shared.errors import TransferError
from shared.outlook.item import ItemType, OutlookItem
from shared.storage.source_blob import SourceBlob

State = Literal[
    "queued",
    "waiting",
    "uploading",
    "recording",
    "attached",
    "failed",
    "cancelled",
    "superseded",
    "unaddressed",
    "removed",
]
# Those of a transfer that has not ended.
UNDER_WAY: frozenset[State] = frozenset({"queued", "waiting", "uploading", "recording"})


# Durable fails an orchestration whose custom status is longer.
MAX_STATUS_BYTES = 16_384

RecordedStatus = Literal["attached", "failed", "cancelled", "unaddressed"]
# What is recorded of a transfer that ends in a state; nothing in any other one.
RECORDS: Mapping[str, RecordedStatus] = {
    "attached": "attached",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Payload(BaseModel):
    """A frozen value that is exchanged and stored as JSON."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore"
    )

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The payload that this parsed JSON holds."""
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
    """The properties that identify a blob's content. Its metadata and ETag may change."""

    created: str
    size: int
    md5: str

    @classmethod
    def of(cls, blob: SourceBlob) -> Self:
        """The version that a blob has."""
        return cls(created=blob.created, size=blob.size, md5=blob.md5)

    def is_replaced_by(self, now: Self) -> bool:
        """Whether the blob has certainly been overwritten, which causes an event of its own.

        Setting a blob's properties sets or clears its MD5 without any event, so an MD5 on one
        side alone proves nothing.
        """
        if (self.created, self.size) != (now.created, now.size):
            return True
        return bool(self.md5 and now.md5) and self.md5 != now.md5


class ItemAddress(Payload):
    """The item that receives a file, as three fields of a larger payload: all of them, or none."""

    mailbox: str | None = None
    item_type: ItemType | None = None
    item_id: str | None = None

    @property
    def item(self) -> OutlookItem | None:
        """The item, None when the payload names none."""
        if not (self.mailbox and self.item_type and self.item_id):
            return None
        return OutlookItem(self.mailbox, self.item_type, self.item_id)

    @staticmethod
    def fields_of(item: OutlookItem | None) -> dict[str, Any]:
        """The three fields for an item, by name."""
        if item is None:
            return {}
        return {"mailbox": item.mailbox, "item_type": item.type, "item_id": item.id}


class TransferRequest(ItemAddress):
    """The input of the orchestrator: a blob of the source container and the item it goes to.

    Address and ``content`` are fixed when the transfer is started: later writes to the metadata
    change neither. ``refused`` is the reason why there is no address; ``unaddressed``: because the
    blob names none. ``explicit``: a request named the item, so that the record of an earlier
    failure does not end the transfer; with ``force``, that of an earlier success does not either. A
    transfer that ``follows`` another one begins when that has ended, or after a day; ``next`` are
    the transfers that follow this one. ``announced``: an event reports the end. ``created_at``:
    when it was requested, by which it is listed; version 1.0 did not say.
    """

    blob: str
    content: BlobVersion | None = None
    file_name: str = ""
    content_type: str | None = None
    content_id: str | None = None
    refused: Failure | None = None
    unaddressed: bool = False
    explicit: bool = Field(default=False, alias="ordered")
    force: bool = False
    follows: str | None = None
    next: tuple[str, ...] = ()
    announced: bool = False
    created_at: datetime | None = None

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
    def status(self) -> "TransferStatus":
        """The status of a transfer that has not begun."""
        return TransferStatus(
            blob=self.blob,
            file_name=self.file_name or None,
            created_at=self.created_at,
            **self.fields_of(self.item),
        )


class TransferStatus(ItemAddress):
    """The status of a transfer: its custom status while it runs, its output at the end.

    ``recorded``: copied from the blob's record, which every writer of metadata can change.
    """

    state: State = "queued"
    blob: str
    size: int | None = None
    bytes_sent: int = 0
    file_name: str | None = None
    attachment_id: str | None = None
    error: Failure | None = None
    created_at: datetime | None = None
    recorded: Literal[True] | None = None

    def to_custom_status(self) -> dict[str, object]:
        """The status as JSON-ready values, within MAX_STATUS_BYTES.

        A longer one leaves out what the orchestration's input has as well, then the end of the
        error's message.
        """
        if _status_bytes(self.to_json()) <= MAX_STATUS_BYTES:
            return self.to_json()
        named = {"blob": "", "mailbox": None, "item_id": None, "file_name": None}
        brief = self.model_copy(update=named)
        while brief.error and _status_bytes(brief.to_json()) > MAX_STATUS_BYTES:
            kept = brief.error.message[: len(brief.error.message) // 2]
            error = brief.error.model_copy(update={"message": f"{kept.removesuffix(' …')} …"})
            brief = brief.model_copy(update={"error": error})
        return brief.to_json()


def _status_bytes(status: dict[str, object]) -> int:
    # The SDK writes ASCII, Durable counts UTF-16.
    return 2 * len(json.dumps(status))
