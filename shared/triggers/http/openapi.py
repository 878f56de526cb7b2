"""The OpenAPI 3.1 description of the HTTP API, generated from its models and its calls.

pydantic writes the schemas. The paths are written here: no framework knows the routes.
"""

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.outlook.item import ITEM_KINDS
from shared.transfer.service.transfers import Transfer
from shared.triggers.http.calls import CALLS, Call
from shared.triggers.http.models import BatchResult
from shared.triggers.http.monitor_page import ASSETS
from shared.triggers.http.responses import ErrorResponse

VERSION = "1.0"
_COLLECTIONS = [kind.collection for kind in ITEM_KINDS.values()]
_REFERENCE = "#/components/schemas/{model}"
_TEXTS = {
    200: "Done",
    202: "Accepted",
    204: "Done",
    304: "Not modified",
    400: "The request is invalid",
    403: "The mailbox is not allowed, or the app may not write there",
    404: "Not found",
    409: "The transfer has ended already",
    413: "Too large",
    502: "Graph refused the call",
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
        "description": "A file of the page",
    },
}


type _Schema = tuple[type[BaseModel], Literal["validation", "serialization"]]

_BODIES: list[_Schema] = [(call.body, "validation") for call in CALLS if call.body]
_RESPONSES: list[_Schema] = [
    (model, "serialization") for call in CALLS for model in call.responses.values() if model
]


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI document."""
    _, definitions = models_json_schema(
        list(dict.fromkeys([*_BODIES, (ErrorResponse, "serialization"), *_RESPONSES])),
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
            "description": f"Attaches blobs to Outlook {' and '.join(_COLLECTIONS)}.",
        },
        "servers": [{"url": "/", "description": "The app that serves this document"}],
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
        operation["requestBody"] = {"required": True, "content": _json(_reference(call.body))}
    return operation


def _query(call: Call) -> list[dict[str, Any]]:
    schema = call.query.model_json_schema() if call.query else {"properties": {}}
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(values)}
        for name, values in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an optional parameter, which can be missing but not null.

    pydantic's ``SkipJsonSchema`` would put the parts of the union into the names of faulty fields.
    """
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    other = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return other | (choices[0] if choices else {})


def _responses(call: Call) -> dict[str, Any]:
    responses = {
        str(status): _success(call, status, model) for status, model in call.responses.items()
    }
    for status in call.errors:
        responses.setdefault(
            str(status),
            {"description": _TEXTS[status], "content": _json(_reference(ErrorResponse))},
        )
    if call.keyed:
        responses["401"] = {"description": "The key is missing or wrong"}
    return responses


def _success(call: Call, status: int, model: type[BaseModel] | None) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _TEXTS[status]}
    if call.raw and status == 200:
        described["content"] = {"*/*": {}}
    elif call.name == "create_transfer" and status == 202:
        described["content"] = _json({"anyOf": [_reference(Transfer), _reference(BatchResult)]})
    elif model is not None:
        described["content"] = _json(_reference(model))
    elif status == 200:
        described["content"] = _json({"type": "object"})
    return described


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
