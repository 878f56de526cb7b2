"""What a request is for, from its method, path and `Content-Range` alone.

A path has two forms, in which case does not matter:
`/v1.0/users/{mailbox}/messages/{id}/attachments/{id}` and
`/v1.0/Users('mailbox')/Messages('id')/Attachments('id')`. Microsoft's examples use both, the second
one also after `/api`.
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
Resource = Literal[
    "token", "items", "item", "attachments", "create", "attachment", "value", "session", "unknown"
]

ITEM_KINDS: dict[str, ItemKind] = {"messages": "message", "events": "event"}
GRAPH_VERSIONS = frozenset({"v1.0", "beta"})

_KINDS: dict[tuple[Resource, str], Kind] = {
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
    """The target and the purpose of a request; ids are decoded and in their immutable form.

    `resource` is what the path names, for any method; `kind` is `other` when the service does not
    support the method or the path.
    """

    kind: Kind
    resource: Resource
    version: str = ""
    mailbox: str | None = None
    item_kind: ItemKind | None = None
    item: str | None = None
    attachment: str | None = None


def parse_address(method: str, target: str, content_range: str | None) -> Address:
    """The address of a request; the resource of an unsupported path is `unknown`."""
    path = urlsplit(target).path
    if path == IDENTITY_PATH:
        return Address(kind=_KINDS.get(("token", method), "other"), resource="token")
    segments = _KEY_IN_BRACKETS.sub(r"/\1", path).strip("/").split("/")
    if segments[0].lower() == "api":
        del segments[0]
    match [unquote(segment) for segment in segments]:
        case [version, users, mailbox, items, *rest] if (
            users.lower() == "users" and items.lower() in ITEM_KINDS
        ):
            resource = _resource(rest)
            return Address(
                kind=_kind(resource, method, content_range),
                resource=resource,
                version=version,
                mailbox=mailbox,
                item_kind=ITEM_KINDS[items.lower()],
                item=canonical(rest[0]) if rest else None,
                attachment=canonical(rest[2]) if resource in {"attachment", "value"} else None,
            )
    return Address(kind="other", resource="unknown")


def _resource(rest: list[str]) -> Resource:
    """The resource that the segments after `messages` or `events` name."""
    resource: Resource = "unknown"
    match [segment.lower() for segment in rest]:
        case []:
            resource = "items"
        case [_]:
            resource = "item"
        case [_, "attachments"]:
            resource = "attachments"
        case [_, "attachments", "createuploadsession"]:
            resource = "create"
        case [_, "attachments", _]:
            resource = "attachment"
        case [_, "attachments", _, "$value"]:
            resource = "value"
        case [_, "attachmentsessions", _]:
            resource = "session"
    return resource


def _kind(resource: Resource, method: str, content_range: str | None) -> Kind:
    kind = _KINDS.get((resource, method), "other")
    if kind == "range":
        sent = ByteRange.parse(content_range)
        return "last_range" if sent is not None and sent.end + 1 == sent.total else "range"
    return kind
