"""Responses in OData's format: `$select`, attachments as JSON, times with seven digits."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from infra.local.outlook.protocol.errors import bad_request
from infra.local.outlook.protocol.ids import format_id
from infra.local.outlook.state.mailboxes import Attachment

_FILE_ATTACHMENT = "microsoft.graph.fileAttachment"
_BASE_PROPERTIES = frozenset(
    {"id", "lastModifiedDateTime", "name", "contentType", "size", "isInline"}
)
_FILE_PROPERTIES = frozenset({"contentId", "contentLocation", "contentBytes"})
_KNOWN_OPTIONS = frozenset({"$select", "$top", "$skip", "$filter", "$orderby", "$count", "$expand"})


def exchange_time(moment: datetime) -> str:
    """A time in Exchange's format: `2019-09-25T01:09:30.7671707Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"


def graph_time(moment: datetime) -> str:
    """A time in the format of Graph's attachments: `2019-09-24T23:27:43Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def quoted_key(text: str) -> str:
    """A name or id for the brackets of `@odata.context`."""
    return quote(text, safe="")


def selected_properties(query: Mapping[str, str]) -> frozenset[str]:
    """The properties of `$select`; all of them when it is absent.

    Raises 400 for a property that the base type does not have: `contentId`, `contentLocation` and
    `contentBytes` need a cast. `$filter` is accepted and ignored, as Outlook does
    (`docs/protocol.md`, "After the upload").
    """
    for option in query:
        if option.startswith("$") and option not in _KNOWN_OPTIONS:
            raise bad_request(f"The query parameter '{option}' is not supported.")
    if "$select" not in query:
        return _BASE_PROPERTIES | _FILE_PROPERTIES
    return frozenset(_selected(name.strip()) for name in query["$select"].split(","))


def _selected(name: str) -> str:
    cast, _, last = name.rpartition("/")
    if cast == _FILE_ATTACHMENT and last in _FILE_PROPERTIES | _BASE_PROPERTIES:
        return last
    if name in _BASE_PROPERTIES:
        return name
    message = f"Could not find a property named '{name}' on type 'microsoft.graph.attachment'."
    raise bad_request(message, "RequestBroker--ParseUri")


def integer_option(query: Mapping[str, str], option: str, default: int) -> int:
    """`$top` or `$skip`. Raises 400 when it is not a number."""
    text = query.get(option, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise bad_request(f"Invalid value '{text}' for the query parameter '{option}'.")
    return int(text)


def reported_size(attachment: Attachment) -> int:
    """The `size` that Graph reports, which is never the file's own.

    In Microsoft's example a file of 3,483,322 bytes has the size 3,640,066: about 4.5 % more. The
    constant makes it differ for an empty file too.
    """
    return attachment.content_bytes * 1045 // 1000 + 178


def attachment_json(
    attachment: Attachment, selected: frozenset[str], *, immutable: bool
) -> dict[str, Any]:
    """An attachment as Graph returns it; it includes the id even when that is not selected."""
    values: dict[str, Any] = {
        "lastModifiedDateTime": graph_time(attachment.at),
        "name": attachment.name,
        "contentType": attachment.content_type,
        "size": reported_size(attachment),
        "isInline": attachment.is_inline,
        "contentId": attachment.content_id,
        "contentLocation": None,
    }
    body: dict[str, Any] = {
        "@odata.type": f"#{_FILE_ATTACHMENT}",
        "@odata.mediaContentType": attachment.content_type,
        "id": format_id(attachment.id, immutable=immutable),
    }
    body |= {name: value for name, value in values.items() if name in selected}
    if "contentBytes" in selected:
        body["contentBytes"] = base64.b64encode(attachment.content).decode()
    return body
