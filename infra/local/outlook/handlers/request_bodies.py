"""Validates the JSON bodies of Graph requests: no unknown property, no value of another type."""

import base64
import binascii
import json
from typing import Any

from infra.local.outlook.protocol.errors import (
    GraphError,
    bad_request,
    not_convertible,
    unknown_property,
)
from infra.local.outlook.protocol.messages import Request
from infra.local.outlook.state.upload_session import FileDescription

_EDM = {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int64"}
_OPTIONAL: dict[str, type] = {"contentType": str, "isInline": bool, "contentId": str}
_ITEM: dict[str, type] = {
    "@odata.type": str,
    "attachmentType": str,
    "name": str,
    "size": int,
} | _OPTIONAL
_ITEM_TYPE = "microsoft.graph.attachmentItem"
_FILE: dict[str, type] = {"@odata.type": str, "name": str, "contentBytes": str} | _OPTIONAL


def read_object(request: Request, maximum_bytes: int) -> dict[str, Any]:
    """The body as a JSON object.

    Raises 413 above `maximum_bytes`, 415 for another media type, 400 for anything but an object.
    """
    if len(request.body) > maximum_bytes:
        message = "The maximum request length supported is 4MB."
        raise GraphError(413, "BadRequest", message)
    if request.media_type != "application/json":
        message = "A write must have the Content-Type 'application/json'."
        raise GraphError(415, "UnsupportedMediaType", message)
    try:
        value = json.loads(request.body)
    except ValueError as error:
        message = "Unable to read JSON request payload."
        raise bad_request(message, "BadRequest") from error
    if not isinstance(value, dict):
        raise bad_request("The request payload must be a JSON object.", "BadRequest")
    return value


def read_attachment_item(body: dict[str, Any]) -> tuple[FileDescription, int]:
    """The body of `createUploadSession`: the file's description and its size in bytes.

    Raises 405 for another `attachmentType` than `file`, and 400 for a property that is missing,
    unknown or of another type.
    """
    for name in body:
        if name != "AttachmentItem":
            raise unknown_property(name, "microsoft.graph.createUploadSession")
    item = body.get("AttachmentItem")
    if not isinstance(item, dict):
        raise bad_request("The parameter 'AttachmentItem' is missing or not an object.")
    _check(item, _ITEM, _ITEM_TYPE)
    # The Office365-REST client annotates every object with its type, in a case of its own.
    odata_type = item.get("@odata.type") or _ITEM_TYPE
    if odata_type.removeprefix("#").lower() != _ITEM_TYPE.lower():
        raise bad_request(f"AttachmentItem cannot be of the type '{odata_type}'.")
    kind = item.get("attachmentType")
    if kind != "file":
        code = "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments"
        raise GraphError(405, code, f"Upload sessions support only files, not '{kind}'.")
    size = item.get("size")
    if size is None or size < 0:
        raise bad_request("AttachmentItem.size is missing or negative.")
    return _description(item), int(size)


def read_file_attachment(body: dict[str, Any]) -> tuple[FileDescription, bytes]:
    """The body of a small POST: the file's description and its bytes.

    Raises 400 for another type of attachment, and for a property that is missing, unknown or
    malformed.
    """
    if body.get("@odata.type") != "#microsoft.graph.fileAttachment":
        raise bad_request("'@odata.type' must be '#microsoft.graph.fileAttachment'.")
    _check(body, _FILE, "microsoft.graph.fileAttachment")
    text = body.get("contentBytes")
    if text is None:
        raise bad_request("contentBytes is missing.")
    try:
        return _description(body), base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_convertible("contentBytes", "Edm.Binary") from error


def _check(body: dict[str, Any], allowed: dict[str, type], of_type: str) -> None:
    for name, value in body.items():
        if name not in allowed:
            raise unknown_property(name, of_type)
        # A bool is an int in Python, but not in OData.
        wrong = isinstance(value, bool) and allowed[name] is not bool
        if value is not None and (wrong or not isinstance(value, allowed[name])):
            raise not_convertible(name, _EDM[allowed[name]])


def _description(body: dict[str, Any]) -> FileDescription:
    if not body.get("name"):
        raise bad_request("The attachment's name is missing.")
    return FileDescription(
        name=body["name"],
        content_type=body.get("contentType"),
        is_inline=bool(body.get("isInline")),
        content_id=body.get("contentId"),
    )
