"""The OpenAPI 3.1 description of the HTTP API, generated from its models and its calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.transfer.service.attachments import AttachmentInfo
from shared.transfer.service.requests import AttachRequest, UploadLinkRequest
from shared.transfer.service.transfers import Transfer, Transfers
from shared.transfer.service.upload_link import UploadLink
from shared.triggers.http.models import Health, ListQuery, Placements, ReadyAnswer
from shared.triggers.http.monitor_page import ASSETS
from shared.triggers.http.responses import ProblemAnswer

VERSION = "1.0"
_REFERENCE = "#/components/schemas/{model}"
_TEXTS = {
    200: "Done",
    202: "Under way",
    204: "Done",
    304: "The same as before",
    400: "The request cannot be understood",
    403: "The mailbox is not allowed, or the app may not write there",
    404: "There is no such thing",
    409: "It has ended already",
    413: "Too large",
    502: "Graph refused it",
    503: "Not available for now; try again after `Retry-After` seconds",
}
_IN_PATH: dict[str, dict[str, Any]] = {
    "id": {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "The transfer's id",
    },
    "asset": {
        "name": "asset",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": list(ASSETS)},
        "description": "A part of the page",
    },
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "The same key again is the same attempt: it joins what the first one began",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: what it takes, and the model of each good answer (None: none, or bytes)."""

    name: str
    method: str
    route: str
    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    errors: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: tuple[Mapping[str, Any], ...] = ()
    keyed: bool = True
    raw: bool = field(default=False)


_GRAPH = (403, 404, 502, 503)
CALLS = (
    Call(
        name="create_transfer",
        method="POST",
        route="transfers",
        summary="Attach a blob, or several one after the other, to a message or an event",
        body=AttachRequest,
        headers=(_IDEMPOTENCY_KEY,),
        answers={200: Transfer, 202: Placements},
        errors=(400, 403, 404, 413, 503),
    ),
    Call(
        name="list_transfers",
        method="GET",
        route="transfers",
        summary="The transfers since a time, newest first",
        query=ListQuery,
        answers={200: Transfers},
        errors=(400, 503),
    ),
    Call(
        name="get_transfer",
        method="GET",
        route="transfers/{id}",
        summary="One transfer, as it stands",
        answers={200: Transfer},
        errors=(404, 503),
    ),
    Call(
        name="cancel_transfer",
        method="DELETE",
        route="transfers/{id}",
        summary="Cancel a transfer",
        answers={202: Transfer},
        errors=(404, 409, 503),
    ),
    Call(
        name="get_attachment",
        method="GET",
        route="transfers/{id}/attachment",
        summary="What Outlook says of the attachment",
        answers={200: AttachmentInfo},
        errors=_GRAPH,
    ),
    Call(
        name="get_attachment_content",
        method="GET",
        route="transfers/{id}/attachment/content",
        summary="The attachment's bytes, up to MAX_DOWNLOAD_BYTES",
        answers={200: None},
        errors=(*_GRAPH, 413),
        raw=True,
    ),
    Call(
        name="remove_attachment",
        method="DELETE",
        route="transfers/{id}/attachment",
        summary="Remove the attachment from its item",
        answers={204: None},
        errors=_GRAPH,
    ),
    Call(
        name="create_upload",
        method="POST",
        route="uploads",
        summary="Leave to put one new file into the watched container, by one PUT",
        body=UploadLinkRequest,
        answers={200: UploadLink},
        errors=(400, 403, 413, 503),
    ),
    Call(
        name="get_health",
        method="GET",
        route="health",
        summary="Whether the app is alive",
        answers={200: Health},
        keyed=False,
    ),
    Call(
        name="get_readiness",
        method="GET",
        route="health/ready",
        summary="Whether identity, container and Graph can be reached, each by name",
        answers={200: ReadyAnswer, 503: ReadyAnswer},
    ),
    Call(
        name="get_openapi",
        method="GET",
        route="openapi.json",
        summary="This description",
        answers={200: None},
        errors=(),
    ),
    Call(
        name="get_monitor",
        method="GET",
        route="monitor",
        summary="The page that watches transfers; it asks for the key",
        answers={200: None, 304: None},
        keyed=False,
        raw=True,
    ),
    Call(
        name="get_monitor_asset",
        method="GET",
        route="monitor/{asset}",
        summary="A style, script or picture of that page",
        answers={200: None, 304: None},
        errors=(404,),
        keyed=False,
        raw=True,
    ),
)


_ANSWERS: tuple[type[BaseModel], ...] = (
    *(ProblemAnswer, Transfer, Transfers, AttachmentInfo),
    *(Placements, UploadLink, Health, ReadyAnswer),
)
_BODIES: tuple[type[BaseModel], ...] = (AttachRequest, UploadLinkRequest)


@cache
def openapi_document() -> dict[str, Any]:
    """The whole description."""
    _, definitions = models_json_schema(
        [
            *((model, "validation") for model in _BODIES),
            *((model, "serialization") for model in _ANSWERS),
        ],
        ref_template=_REFERENCE,
        by_alias=True,
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(f"/api/{call.route}", {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "blob-to-outlook",
            "version": VERSION,
            "description": "Blobs become attachments of Outlook messages and events.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-functions-key"}
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    parameters = [each for name, each in _IN_PATH.items() if f"{{{name}}}" in call.route]
    parameters += [*_query(call), *map(dict, call.headers)]
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": parameters,
        "responses": _responses(call),
        "security": [{"key": []}] if call.keyed else [],
    }
    if call.body:
        content = {"application/json": {"schema": _reference(call.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _query(call: Call) -> list[dict[str, Any]]:
    schema = call.query.model_json_schema() if call.query else {"properties": {}}
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(of)}
        for name, of in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not; it is never null."""
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return kept | (choices[0] if choices else {})


def _responses(call: Call) -> dict[str, Any]:
    responses = {str(status): _good(call, status, model) for status, model in call.answers.items()}
    errors = [*call.errors, *([401] if call.keyed else [])]
    for status in sorted(errors):
        content = (
            {} if status == 401 else {"application/json": {"schema": _reference(ProblemAnswer)}}
        )
        text = _TEXTS.get(status, "The key is missing or wrong")
        responses.setdefault(
            str(status), {"description": text} | ({"content": content} if content else {})
        )
    return responses


def _good(call: Call, status: int, model: type[BaseModel] | None) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _TEXTS[status]}
    if call.raw and status == 200:
        described["content"] = {"*/*": {}}
    elif call.name == "create_transfer" and status == 202:
        schemas = [_reference(Transfer), _reference(Placements)]
        described["content"] = {"application/json": {"schema": {"anyOf": schemas}}}
    elif model is not None:
        described["content"] = {"application/json": {"schema": _reference(model)}}
    elif status == 200:
        described["content"] = {"application/json": {"schema": {"type": "object"}}}
    return described


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
