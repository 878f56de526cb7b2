"""Where a blob says it goes: its metadata first, then its path (design §5)."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

from shared.errors import ContradictoryAddress, Unaddressed
from shared.outlook.item import COLLECTIONS, ItemType, OutlookItem

FILE_NAME_LENGTH = 255

_ITEM_TYPES: dict[str, ItemType] = {collection: type_ for type_, collection in COLLECTIONS.items()}
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SEPARATORS = re.compile(r'[/\\"]')
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_PATH_PARTS = 4
# An address has one @ and a host after it; an object id has neither. Letters of any script.
_MAILBOX = re.compile(r"[\w.!$'*+=^{}~-]+(@[\w-]+(\.[\w-]+)*)?")


@dataclass(frozen=True, slots=True)
class Address:
    """The item a blob goes to, and what its file is called there."""

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
        file_name=safe_file_name(file_name or decode(name.rsplit("/", 1)[-1])),
        content_id=safe_content_id(values.get("contentid")),
    )


def described_file(name: str, metadata: Mapping[str, str]) -> tuple[str, str | None]:
    """What the blob's file is called, and its content id, wherever it goes.

    Raises :class:`ContradictoryAddress` when a key is there twice.
    """
    values = _address_metadata(metadata)
    file_name = values.get("filename") or decode(name.rsplit("/", 1)[-1])
    return safe_file_name(file_name), safe_content_id(values.get("contentid"))


def decode(value: str) -> str:
    """Percent-decode once as UTF-8. ``+`` stays, and so does what is no valid escape."""

    def decoded(match: re.Match[str]) -> str:
        try:
            return unquote_to_bytes(match[0]).decode()
        except UnicodeDecodeError:
            return match[0]

    return _ESCAPES.sub(decoded, value)


def safe_file_name(name: str) -> str:
    """The name as an attachment can safely carry it.

    NFC, without control characters (they can break a header) and bidirectional marks (they can
    disguise an extension), separators and double quotes as ``_``, at most 255 characters with
    the extension kept.
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
    """The id without what could end a mail header or a part of a URL, both of which it becomes."""
    kept = (c for c in value or "" if not (_is_unsafe(c) or c.isspace() or c in '<>"'))
    return "".join(kept) or None


def _is_unsafe(character: str) -> bool:
    # Cc: control, Cs: surrogates, Zl and Zp: line and paragraph separators.
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _BIDI


def _address_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in metadata.items():
        name = key.lower()
        if name not in {"mailbox", "messageid", "eventid", "filename", "contentid"}:
            continue
        if name in values:
            raise ContradictoryAddress(
                f"The blob's metadata holds {name} twice, in different case. Keep one of them."
            )
        values[name] = decode(value).strip()
    return {name: value for name, value in values.items() if value}


def _item_of_metadata(values: Mapping[str, str]) -> OutlookItem | None:
    mailbox, message, event = (values.get(k) for k in ("mailbox", "messageid", "eventid"))
    if message and event:
        raise ContradictoryAddress(
            "The blob's metadata names both messageid and eventid. Keep the one it goes to."
        )
    if not (mailbox or message or event):
        return None
    if not mailbox:
        raise ContradictoryAddress(
            "The blob's metadata names an item but no mailbox. Add the metadata mailbox."
        )
    if not (message or event):
        raise ContradictoryAddress(
            "The blob's metadata names a mailbox but no item. "
            "Add the metadata messageid or eventid."
        )
    return _item(mailbox, "message" if message else "event", message or event or "")


def _address_of_path(name: str) -> tuple[OutlookItem, str]:
    parts = name.split("/")
    if len(parts) < 2 or parts[1] not in _ITEM_TYPES:
        raise Unaddressed
    decoded = [decode(part).strip() for part in parts]
    if len(parts) != _PATH_PARTS or not all(decoded):
        raise ContradictoryAddress(
            f"The blob's path begins like an address but is not one. Name the blob "
            f"{{mailbox}}/{parts[1]}/{{id}}/{{file}}, with / inside of an id or a file name "
            "written as %2F."
        )
    return _item(decoded[0], _ITEM_TYPES[parts[1]], decoded[2]), decoded[3]


def fault_of_mailbox(mailbox: str) -> str | None:
    """What is wrong with a mailbox, None if nothing is."""
    if mailbox in {".", ".."} or not _MAILBOX.fullmatch(mailbox):
        return "The mailbox is neither an address nor an object id. Correct it."
    return None


def fault_of_item_id(item_id: str) -> str | None:
    """What is wrong with the id of a message or an event, None if nothing is."""
    if any(_is_unsafe(c) or c.isspace() for c in item_id):
        return "The item id holds a blank or an invisible character. Correct it."
    if not {".", ".."}.isdisjoint(re.split(r"[/\\]", item_id)):
        return "The item id is a path, not an id. Correct it."
    return None


def _item(mailbox: str, type_: ItemType, item_id: str) -> OutlookItem:
    if fault := fault_of_mailbox(mailbox) or fault_of_item_id(item_id):
        raise ContradictoryAddress(fault)
    # One address in two cases is one mailbox, and one transfer.
    return OutlookItem(mailbox.lower(), type_, item_id)
