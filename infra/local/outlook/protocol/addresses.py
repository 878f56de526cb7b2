"""What a request is about, read from its method, path and `Content-Range` alone.

Two spellings lead to one place, the nouns without regard to case:
`/v1.0/users/{mailbox}/messages/{id}/attachments/{id}` and
`/v1.0/Users('mailbox')/Messages('id')/Attachments('id')` (S0's examples use both, one of them with
`/api` in front).
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import unquote, urlsplit

from infra.local.outlook.protocol.byte_range import ByteRange
from infra.local.outlook.protocol.ids import canonical

IDENTITY_PATH = "/msi/token"

Kind = Literal[
    "token",
    "create",
    "range",
    "last_range",
    "small_post",
    "list",
    "get_attachment",
    "raw_content",
    "delete_attachment",
    "session_state",
    "cancel",
    "create_item",
    "get_item",
    "other",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
ItemKind = Literal["message", "event"]
Shape = Literal[
    "token", "items", "item", "attachments", "create", "attachment", "value", "session", "unknown"
]

ITEM_KINDS: dict[str, ItemKind] = {"messages": "message", "events": "event"}
GRAPH_VERSIONS = frozenset({"v1.0", "beta"})

_KINDS: dict[tuple[Shape, str], Kind] = {
    ("token", "GET"): "token",
    ("items", "POST"): "create_item",
    ("item", "GET"): "get_item",
    ("attachments", "GET"): "list",
    ("attachments", "POST"): "small_post",
    ("create", "POST"): "create",
    ("attachment", "GET"): "get_attachment",
    ("attachment", "DELETE"): "delete_attachment",
    ("value", "GET"): "raw_content",
    ("session", "GET"): "session_state",
    ("session", "PUT"): "range",
    ("session", "DELETE"): "cancel",
}
_KEY_IN_BRACKETS = re.compile(r"\('([^/]*?)'\)")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a request goes and what it wants there; ids decoded, in their immutable spelling.

    `shape` says what the path leads to whatever the method; `kind` is `other` when the method (or
    the path) is not one the service knows.
    """

    kind: Kind
    shape: Shape
    version: str = ""
    mailbox: str | None = None
    item_kind: ItemKind | None = None
    item: str | None = None
    attachment: str | None = None


def locate(method: str, target: str, content_range: str | None) -> Address:
    """The address of a request; never fails, a path that leads nowhere is `unknown`."""
    path = urlsplit(target).path
    if path == IDENTITY_PATH:
        return Address(kind=_KINDS.get(("token", method), "other"), shape="token")
    segments = _KEY_IN_BRACKETS.sub(r"/\1", path).strip("/").split("/")
    if segments[0].lower() == "api":
        del segments[0]
    match [unquote(segment) for segment in segments]:
        case [version, users, mailbox, items, *rest] if (
            users.lower() == "users" and items.lower() in ITEM_KINDS
        ):
            shape = _shape(rest)
            return Address(
                kind=_kind(shape, method, content_range),
                shape=shape,
                version=version,
                mailbox=mailbox,
                item_kind=ITEM_KINDS[items.lower()],
                item=canonical(rest[0]) if rest else None,
                attachment=canonical(rest[2]) if shape in {"attachment", "value"} else None,
            )
    return Address(kind="other", shape="unknown")


def _shape(rest: list[str]) -> Shape:
    """What stands after `messages` or `events`: an id, and where one goes from there."""
    shape: Shape = "unknown"
    match [segment.lower() for segment in rest]:
        case []:
            shape = "items"
        case [_]:
            shape = "item"
        case [_, "attachments"]:
            shape = "attachments"
        case [_, "attachments", "createuploadsession"]:
            shape = "create"
        case [_, "attachments", _]:
            shape = "attachment"
        case [_, "attachments", _, "$value"]:
            shape = "value"
        case [_, "attachmentsessions", _]:
            shape = "session"
    return shape


def _kind(shape: Shape, method: str, content_range: str | None) -> Kind:
    kind = _KINDS.get((shape, method), "other")
    if kind == "range":
        sent = ByteRange.parse(content_range)
        return "last_range" if sent is not None and sent.end + 1 == sent.total else "range"
    return kind
