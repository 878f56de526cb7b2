"""Where a blob's file goes: the item that its metadata names, else the one that its path names."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

from shared.errors import ContradictoryAddress, Unaddressed
from shared.outlook.item import ITEM_KINDS, ItemKind, OutlookItem
from shared.path_segments import has_dot_segments

FILE_NAME_LENGTH = 255

_KINDS = tuple(ITEM_KINDS.values())
_KINDS_BY_COLLECTION = {kind.collection: kind for kind in _KINDS}
_ITEM_KEYS = [kind.metadata_key for kind in _KINDS]
_METADATA_KEYS = frozenset({"mailbox", "filename", "contentid", *_ITEM_KEYS})
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SEPARATORS = re.compile(r'[/\\"]')
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_PATH_PARTS = 4
# An object id, or an address: before its one @ what a UPN and RFC 5321 allow, letters of any script
# included; no blanks, invisible characters or marks of direction. Python, JSON schema and the
# ``pattern`` of HTML read it alike, so the escapes are those that all of them know.
_LETTERS = (
    r"0-9A-Za-z_\u00b5\u00c0-\u061a\u061d-\u167f\u1681-\u180d\u180f-\u1fff\u2c00-\u2dff"
    r"\u3005-\u3007\u3041-\ud7ff\uf900-\ufdff\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a"
    r"\uff41-\uff5a\uff66-\uffdc"
)
_HOST = rf"[{_LETTERS}\-]+(\.[{_LETTERS}\-]+)*"
_OBJECT_ID = rf"[{_LETTERS}.!$'*+=\^\{{\}}~\-]+"
_LOCAL_PART = rf"[{_LETTERS}.!#$%&'*+\/=?\^`\{{\|\}}~\-]+"
MAILBOX_PATTERN = rf"^({_OBJECT_ID}|{_LOCAL_PART}@{_HOST})$"
MAILBOX_LENGTH = 320
ID_LENGTH = 1_024
_MAILBOX = re.compile(MAILBOX_PATTERN)


@dataclass(frozen=True, slots=True)
class Address:
    """The item that receives a blob's file, and the file's name there."""

    item: OutlookItem
    file_name: str
    content_id: str | None = None


def read_address(name: str, metadata: Mapping[str, str]) -> Address:
    """The address of the blob with this name and metadata.

    Raises :class:`Unaddressed` when it names no item, :class:`ContradictoryAddress` when it
    names two, half of one, or a malformed one.
    """
    values = _address_metadata(metadata)
    item = _item_of_metadata(values)
    file_name = values.get("filename")
    if item is None:
        item, path_file = _address_of_path(name)
        file_name = file_name or path_file
    return Address(
        item=item,
        file_name=safe_file_name(file_name or _last_segment(name)),
        content_id=_content_id(values),
    )


def read_file_name(name: str, metadata: Mapping[str, str]) -> tuple[str, str | None]:
    """The name and the content id of the blob's file, whichever item receives it.

    Raises :class:`ContradictoryAddress` when the metadata holds a key twice, or a content id that
    is too long.
    """
    values = _address_metadata(metadata)
    file_name = values.get("filename") or _last_segment(name)
    return safe_file_name(file_name), _content_id(values)


def _content_id(values: Mapping[str, str]) -> str | None:
    content_id = safe_content_id(values.get("contentid"))
    if content_id and len(content_id) > ID_LENGTH:
        raise ContradictoryAddress(
            f"The content id has more than {ID_LENGTH:,} characters. Shorten it."
        )
    return content_id


def _last_segment(name: str) -> str:
    return decode(name.rsplit("/", 1)[-1])


def decode(value: str) -> str:
    """Percent-decode once, as UTF-8. ``+`` and invalid escapes stay as they are."""

    def decoded(match: re.Match[str]) -> str:
        try:
            return unquote_to_bytes(match[0]).decode()
        except UnicodeDecodeError:
            return match[0]

    return _ESCAPES.sub(decoded, value)


def safe_file_name(name: str) -> str:
    """The name in a form that is safe for an attachment.

    NFC, without control characters (they can break a header) and bidirectional marks (they can
    disguise an extension), with ``_`` for separators and double quotes, and at most 255
    characters, of which the extension is kept.
    """
    text = unicodedata.normalize("NFC", name)
    text = "".join(c for c in text if not _is_unsafe(c))
    text = _SEPARATORS.sub("_", text).strip().rstrip(". ")
    suffix = PurePosixPath(text).suffix
    if len(text) > FILE_NAME_LENGTH:
        suffix = suffix[: FILE_NAME_LENGTH - 1]
        text = text[: FILE_NAME_LENGTH - len(suffix)] + suffix
    return text or "attachment"


def safe_content_id(value: str | None) -> str | None:
    """The id without characters that could end a mail header or a part of a URL."""
    kept = (c for c in value or "" if not (_is_unsafe(c) or c.isspace() or c in '<>"'))
    return "".join(kept) or None


def _is_unsafe(character: str) -> bool:
    # Cc: control, Cs: surrogates, Zl and Zp: line and paragraph separators.
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _BIDI


def _address_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in metadata.items():
        name = key.lower()
        if name not in _METADATA_KEYS:
            continue
        if name in values:
            raise ContradictoryAddress(
                f"The blob's metadata holds {name} twice, in different case. Keep one of them."
            )
        values[name] = decode(value).strip()
    return {name: value for name, value in values.items() if value}


def _item_of_metadata(values: Mapping[str, str]) -> OutlookItem | None:
    mailbox = values.get("mailbox")
    named = [kind for kind in _KINDS if kind.metadata_key in values]
    if len(named) > 1:
        keys = " and ".join(kind.metadata_key for kind in named)
        raise ContradictoryAddress(
            f"The blob's metadata names both {keys}. Keep the one that is meant."
        )
    if not (mailbox or named):
        return None
    if not mailbox:
        raise ContradictoryAddress(
            "The blob's metadata names an item but no mailbox. Add the metadata mailbox."
        )
    if not named:
        raise ContradictoryAddress(
            "The blob's metadata names a mailbox but no item. "
            f"Add the metadata {' or '.join(_ITEM_KEYS)}."
        )
    return item_of(mailbox, named[0], values[named[0].metadata_key])


def _address_of_path(name: str) -> tuple[OutlookItem, str]:
    parts = name.split("/")
    kind = _KINDS_BY_COLLECTION.get(parts[1]) if len(parts) > 1 else None
    if kind is None:
        raise Unaddressed(
            f"The blob names no item. Set its metadata mailbox and {_ITEM_KEYS[0]} "
            f"(or {' or '.join(_ITEM_KEYS[1:])}) before uploading, or name it "
            f"{{mailbox}}/{_KINDS[0].collection}/{{id}}/{{file}}."
        )
    decoded = [decode(part).strip() for part in parts]
    if len(parts) != _PATH_PARTS or not all(decoded):
        raise ContradictoryAddress(
            f"The blob's path begins like an address but is not one. Name the blob "
            f"{{mailbox}}/{kind.collection}/{{id}}/{{file}}, with / inside of an id or a file name "
            "written as %2F."
        )
    return item_of(decoded[0], kind, decoded[2]), decoded[3]


def mailbox_fault(mailbox: str) -> str | None:
    """What is wrong with a mailbox, None if nothing is."""
    if len(mailbox) > MAILBOX_LENGTH:
        return f"The mailbox has more than {MAILBOX_LENGTH} characters. Correct it."
    if has_dot_segments(mailbox) or not _MAILBOX.fullmatch(mailbox):
        return "The mailbox is neither an address nor an object id. Correct it."
    return None


def item_id_fault(item_id: str) -> str | None:
    """What is wrong with the id of an item, None if nothing is."""
    if len(item_id) > ID_LENGTH:
        return f"The item id has more than {ID_LENGTH:,} characters. Correct it."
    if any(_is_unsafe(c) or c.isspace() for c in item_id):
        return "The item id holds a blank or an invisible character. Correct it."
    if has_dot_segments(item_id):
        return "The item id is a path, not an id. Correct it."
    return None


def item_of(mailbox: str, kind: ItemKind, item_id: str) -> OutlookItem:
    """The item of this kind and id. Addresses ignore case, and transfer ids must not depend on it.

    Raises :class:`ContradictoryAddress` when one of the two is malformed.
    """
    if fault := mailbox_fault(mailbox) or item_id_fault(item_id):
        raise ContradictoryAddress(fault)
    return OutlookItem(mailbox.lower(), kind.type, item_id)
