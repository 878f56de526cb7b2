"""Bodies in OData's shape: `$select`, attachments as JSON, times with seven digits."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from infra.local.outlook.protocol.errors import bad_request
from infra.local.outlook.protocol.ids import spell
from infra.local.outlook.state.mailboxes import Attachment

_FILE_ATTACHMENT = "microsoft.graph.fileAttachment"
_OF_EVERY_ATTACHMENT = frozenset(
    {"id", "lastModifiedDateTime", "name", "contentType", "size", "isInline"}
)
_OF_FILES_ONLY = frozenset({"contentId", "contentLocation", "contentBytes"})
_KNOWN_OPTIONS = frozenset({"$select", "$top", "$skip", "$filter", "$orderby", "$count", "$expand"})


def seven_digits(moment: datetime) -> str:
    """A time as Exchange writes it: `2019-09-25T01:09:30.7671707Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"


def whole_seconds(moment: datetime) -> str:
    """A time as Graph writes it in attachments: `2019-09-24T23:27:43Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def key(text: str) -> str:
    """A name or id as it stands in the brackets of `@odata.context`."""
    return quote(text, safe="")


def selection(query: Mapping[str, str]) -> frozenset[str]:
    """The properties that `$select` asks for; everything when it is absent.

    Raises 400 for a property that the base type lacks: `contentId`, `contentLocation` and
    `contentBytes` must be cast (`protocol.md` §4). `$filter` is taken and ignored, as Outlook does.
    """
    for option in query:
        if option.startswith("$") and option not in _KNOWN_OPTIONS:
            raise bad_request(f"The query parameter '{option}' is not supported.")
    if "$select" not in query:
        return _OF_EVERY_ATTACHMENT | _OF_FILES_ONLY
    return frozenset(_selected(name.strip()) for name in query["$select"].split(","))


def _selected(name: str) -> str:
    cast, _, last = name.rpartition("/")
    if cast == _FILE_ATTACHMENT and last in _OF_FILES_ONLY | _OF_EVERY_ATTACHMENT:
        return last
    if name in _OF_EVERY_ATTACHMENT:
        return name
    message = f"Could not find a property named '{name}' on type 'microsoft.graph.attachment'."
    raise bad_request(message, "RequestBroker--ParseUri")


def count_option(query: Mapping[str, str], option: str, default: int) -> int:
    """`$top` or `$skip`. Raises 400 when it is not a number."""
    text = query.get(option, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise bad_request(f"Invalid value '{text}' for the query parameter '{option}'.")
    return int(text)


def told_size(attachment: Attachment) -> int:
    """The `size` that Graph tells, which is never the file's own.

    S0's 3,483,322 bytes are told as 3,640,066: about 4.5 % more. The constant keeps even an empty
    file's size from being right.
    """
    return attachment.content_bytes * 1045 // 1000 + 178


def attachment_json(
    attachment: Attachment, selected: frozenset[str], *, immutable: bool
) -> dict[str, Any]:
    """An attachment as Graph answers it; the id is there whether selected or not."""
    values: dict[str, Any] = {
        "lastModifiedDateTime": whole_seconds(attachment.at),
        "name": attachment.name,
        "contentType": attachment.content_type,
        "size": told_size(attachment),
        "isInline": attachment.is_inline,
        "contentId": attachment.content_id,
        "contentLocation": None,
    }
    answer: dict[str, Any] = {
        "@odata.type": f"#{_FILE_ATTACHMENT}",
        "@odata.mediaContentType": attachment.content_type,
        "id": spell(attachment.id, immutable=immutable),
    }
    answer |= {name: value for name, value in values.items() if name in selected}
    if "contentBytes" in selected:
        answer["contentBytes"] = base64.b64encode(attachment.content).decode()
    return answer
