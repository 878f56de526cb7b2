"""Requests for an item, as the HTTP API and events receive them."""

import mimetypes
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.alias_generators import to_camel

from shared.errors import FieldFault, InvalidRequest
from shared.outlook.item import ITEM_KINDS, OutlookItem
from shared.path_segments import has_dot_segments
from shared.transfer.addressing import (
    ID_LENGTH,
    MAILBOX_LENGTH,
    MAILBOX_PATTERN,
    item_id_fault,
    item_of,
    mailbox_fault,
    safe_content_id,
)
from shared.validation import field_faults

MAX_BLOBS = 100
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DOT_SEGMENTS = r"(^|\/)\.\.?(\/|$)"
# Narrower than what is accepted: values that a client generates from it are always valid.
_ID_PATTERN = r"^[A-Za-z0-9_+/=-]+$"
_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_ANY_TYPE = "application/octet-stream"
_CONTENT_TYPE = rf'^{_WORD}/{_WORD}( *; *{_WORD}=({_WORD}|"[ !#-~]*"))*$'
_ID_FIELDS = tuple(kind.request_field for kind in ITEM_KINDS.values())


def _one_required(*fields: str) -> dict[str, Any]:
    """In JSON schema: exactly one of these fields."""
    return {"oneOf": [{"required": [field]} for field in fields]}


_ONE_ITEM = _one_required(*_ID_FIELDS)
_ONE_OF_EACH: dict[str, Any] = {"allOf": [_one_required("blob", "blobs"), _ONE_ITEM]}


def _blob_name(name: str) -> str:
    if _SCHEME.match(name):
        raise ValueError("should be the name of a blob in the source container, not a URL")
    if has_dot_segments(name):
        raise ValueError("should be a blob's name: no . or .. as a folder in it")
    if any(unicodedata.category(character) == "Cs" for character in name):
        raise ValueError("should be valid Unicode")
    return name


def _mailbox(mailbox: str) -> str:
    if fault := mailbox_fault(mailbox):
        raise ValueError(fault)
    return mailbox


def _item_id(item_id: str) -> str:
    if fault := item_id_fault(item_id):
        raise ValueError(fault)
    return item_id


def _content_id(content_id: str) -> str:
    if not safe_content_id(content_id):
        raise ValueError("should hold a character that a mail header can carry")
    return content_id


BlobName = Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_blob_name)]
ItemId = Annotated[
    str,
    Field(min_length=1, max_length=ID_LENGTH, json_schema_extra={"pattern": _ID_PATTERN}),
    AfterValidator(_item_id),
]
Mailbox = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAILBOX_LENGTH,
        json_schema_extra={"pattern": MAILBOX_PATTERN, "not": {"pattern": _DOT_SEGMENTS}},
    ),
    AfterValidator(_mailbox),
]
ShortText = Annotated[str, Field(min_length=1, max_length=1_024)]
ContentType = Annotated[str, Field(pattern=_CONTENT_TYPE, max_length=255)]


class _MailboxRequest(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)

    mailbox: Mailbox


if TYPE_CHECKING:
    _WithItemIds = _MailboxRequest
else:
    # One optional id for each kind of item.
    _WithItemIds = create_model(
        "_WithItemIds",
        __base__=_MailboxRequest,
        **dict.fromkeys(_ID_FIELDS, (ItemId | None, None)),
    )


class ItemRequest(_WithItemIds):
    """A request for one item: a mailbox, and the id of one kind (``messageId`` or ``eventId``)."""

    model_config = ConfigDict(json_schema_extra=_ONE_ITEM)

    @classmethod
    def read(cls, value: object) -> Self:
        """The request that this parsed JSON holds.

        Raises :class:`InvalidRequest`, with every fault at once.
        """
        faults = list(cls._contradictions(value)) if isinstance(value, Mapping) else []
        try:
            request = cls.model_validate(value)
        except ValidationError as error:
            faults = [*field_faults(error), *faults]
        if faults:
            raise InvalidRequest(faults)
        return request

    @property
    def item(self) -> OutlookItem:
        """The item that receives the files."""
        ids = {kind: getattr(self, kind.request_field) for kind in ITEM_KINDS.values()}
        ((kind, item_id),) = [(kind, id_) for kind, id_ in ids.items() if id_]
        return item_of(self.mailbox, kind, item_id)

    @classmethod
    def _contradictions(cls, body: Mapping[str, object]) -> Iterator[FieldFault]:
        """Faults in the combination of fields."""
        yield from _exactly_one(body, *_ID_FIELDS)


class AttachRequest(ItemRequest):
    """The body of ``POST /api/transfers``, and the data of an event that requests the same.

    Either ``blob`` or ``blobs``, which are attached one after the other in this order.
    ``force`` attaches a blob again that is attached already.
    """

    model_config = ConfigDict(json_schema_extra=_ONE_OF_EACH)

    blob: BlobName | None = None
    blobs: Annotated[list[BlobName], Field(min_length=1, max_length=MAX_BLOBS)] | None = None
    file_name: ShortText | None = None
    content_type: ContentType | None = None
    is_inline: bool | None = None
    content_id: Annotated[ShortText, AfterValidator(_content_id)] | None = None
    force: bool = False

    @property
    def names(self) -> list[str]:
        """The blobs, in order."""
        return self.blobs or [self.blob or ""]

    @classmethod
    def _contradictions(cls, body: Mapping[str, object]) -> Iterator[FieldFault]:
        yield from _exactly_one(body, "blob", "blobs")
        yield from super()._contradictions(body)
        given = _given(body)
        if "blobs" in given:
            for name in sorted(given & {"fileName", "contentId", "contentType", "isInline"}):
                yield FieldFault(name, "cannot be combined with blobs: each file keeps its own")
        if body.get("isInline") is True and "contentId" not in given:
            text = "is missing; an inline picture is shown by its content id"
            yield FieldFault("contentId", text)
        if body.get("isInline") is False and "contentId" in given:
            text = "cannot be false together with contentId, which makes the file inline"
            yield FieldFault("isInline", text)


class UploadLinkRequest(ItemRequest):
    """The body of ``POST /api/uploads``: a file of ``size`` bytes that is about to be uploaded."""

    file_name: ShortText
    size: Annotated[int, Field(ge=0)]
    content_type: ContentType | None = None

    @property
    def type(self) -> str:
        """The content type: the one given, or what the file's name says."""
        guessed, encoding = mimetypes.guess_type(self.file_name)
        return self.content_type or (None if encoding else guessed) or _ANY_TYPE


def _given(body: Mapping[str, object]) -> set[str]:
    return {name for name, value in body.items() if value is not None}


def _exactly_one(body: Mapping[str, object], *fields: str) -> Iterator[FieldFault]:
    given = [field for field in fields if field in _given(body)]
    if not given:
        yield FieldFault(fields[0], f"is missing; give {' or '.join(fields)}")
    for extra in given[1:]:
        yield FieldFault(extra, f"cannot be combined with {given[0]}; keep one of them")
