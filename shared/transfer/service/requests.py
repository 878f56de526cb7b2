"""What somebody asks for by hand or by event: these files, to this item (design §6)."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.errors import FieldFault, InvalidRequest
from shared.outlook.item import OutlookItem
from shared.transfer.addressing import fault_of_item_id, fault_of_mailbox, safe_content_id

MAX_BLOBS = 100
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Told to clients that believe the description; what is really taken is a little more.
_A_MAILBOX = r"^[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"
_AN_ID = r"^[A-Za-z0-9_+/=-]+$"
_ONE_ITEM: Any = {"oneOf": [{"required": ["messageId"]}, {"required": ["eventId"]}]}
_ONE_OF_EACH: Any = {
    "allOf": [{"oneOf": [{"required": ["blob"]}, {"required": ["blobs"]}]}, _ONE_ITEM]
}
_CONTENT_TYPE = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$"


def _blob_name(name: str) -> str:
    if _SCHEME.match(name):
        raise ValueError("should be the name of a blob in the source container, not a URL")
    if name.startswith(("/", "\\")) or not {".", ".."}.isdisjoint(re.split(r"[/\\]", name)):
        raise ValueError("should be a blob's name: no leading slash, no . or .. in its path")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise ValueError("should hold no control characters")
    return name


def _mailbox(mailbox: str) -> str:
    if fault := fault_of_mailbox(mailbox):
        raise ValueError(fault)
    return mailbox


def _item_id(item_id: str) -> str:
    if fault := fault_of_item_id(item_id):
        raise ValueError(fault)
    return item_id


def _content_id(content_id: str) -> str:
    if not safe_content_id(content_id):
        raise ValueError("should hold a character that a mail header can carry")
    return content_id


BlobName = Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_blob_name)]
ItemId = Annotated[
    str,
    Field(min_length=1, max_length=1_024, json_schema_extra={"pattern": _AN_ID}),
    AfterValidator(_item_id),
]
Mailbox = Annotated[
    str,
    Field(min_length=1, max_length=320, json_schema_extra={"pattern": _A_MAILBOX}),
    AfterValidator(_mailbox),
]
Short = Annotated[str, Field(min_length=1, max_length=1_024)]
ContentType = Annotated[str, Field(pattern=_CONTENT_TYPE, max_length=127)]


class ItemRequest(BaseModel):
    """An order for one item: either ``message_id`` or ``event_id`` of the mailbox."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        json_schema_extra=_ONE_ITEM,
    )

    mailbox: Mailbox
    message_id: ItemId | None = None
    event_id: ItemId | None = None

    @classmethod
    def read(cls, value: object) -> Self:
        """The order out of parsed JSON.

        Raises :class:`InvalidRequest`, with every fault at once.
        """
        faults = list(cls._contradictions(value)) if isinstance(value, Mapping) else []
        try:
            order = cls.model_validate(value)
        except ValidationError as error:
            faults = [*map(_fault, error.errors(include_url=False, include_input=False)), *faults]
        if faults:
            raise InvalidRequest(faults)
        return order

    @property
    def item(self) -> OutlookItem:
        """The item that is to receive the files."""
        type_: Any = "message" if self.message_id else "event"
        return OutlookItem(self.mailbox.lower(), type_, self.message_id or self.event_id or "")

    @classmethod
    def _contradictions(cls, body: Mapping[str, object]) -> Iterator[FieldFault]:
        """What no field can see for itself."""
        yield from _one_of(body, "messageId", "eventId")


class AttachRequest(ItemRequest):
    """The body of ``POST /api/transfers`` and the data of an event that asks for the same.

    Either ``blob`` or ``blobs``, which are attached one after the other in this order.
    ``force`` attaches again what is attached already.
    """

    model_config = ConfigDict(json_schema_extra=_ONE_OF_EACH)

    blob: BlobName | None = None
    blobs: Annotated[list[BlobName], Field(min_length=1, max_length=MAX_BLOBS)] | None = None
    file_name: Short | None = None
    content_type: ContentType | None = None
    is_inline: bool | None = None
    content_id: Annotated[Short, AfterValidator(_content_id)] | None = None
    force: bool = False

    @property
    def names(self) -> list[str]:
        """The blobs, in order."""
        return self.blobs or [self.blob or ""]

    @classmethod
    def _contradictions(cls, body: Mapping[str, object]) -> Iterator[FieldFault]:
        yield from _one_of(body, "blob", "blobs")
        yield from super()._contradictions(body)
        given = _given(body)
        if "blobs" in given:
            for name in sorted(given & {"fileName", "contentId", "contentType", "isInline"}):
                yield FieldFault(name, "is for one blob; with blobs each file keeps its own")
        if body.get("isInline") is True and "contentId" not in given:
            text = "is missing; an inline picture is shown by its content id"
            yield FieldFault("contentId", text)
        if body.get("isInline") is False and "contentId" in given:
            text = "should not be false beside contentId, which makes it inline"
            yield FieldFault("isInline", text)


class UploadLinkRequest(ItemRequest):
    """The body of ``POST /api/uploads``: a file of ``size`` bytes that is yet to be put in."""

    file_name: Short
    size: Annotated[int, Field(ge=0)]
    content_type: ContentType = "application/octet-stream"


def _given(body: Mapping[str, object]) -> set[str]:
    return {name for name, value in body.items() if value is not None}


def _one_of(body: Mapping[str, object], one: str, other: str) -> Iterator[FieldFault]:
    given = {one, other} & _given(body)
    if len(given) == 2:
        yield FieldFault(other, f"should not be there beside {one}; keep one of them")
    elif not given:
        yield FieldFault(one, f"is missing; give {one} or {other}")


def _fault(error: Any) -> FieldFault:
    field = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "is no field of this call"
    return FieldFault(field, message)
