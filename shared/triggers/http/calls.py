"""The calls of the HTTP API, as a table from which its routes and its description are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from shared.transfer.service.attachments import AttachmentInfo
from shared.transfer.service.list_transfers import Transfers
from shared.transfer.service.requests import AttachRequest, UploadLinkRequest
from shared.transfer.service.transfers import Transfer
from shared.transfer.service.upload_link import UploadLink
from shared.triggers.http.models import BatchResult, Health, ListQuery, ReadinessReport

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A repeated key is the same attempt: it joins the transfer of the first one",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: its input, and the model of each successful response (None: no JSON).

    ``keyed``: it needs a function key. ``raw``: its body is not JSON.
    """

    name: str
    method: str
    route: str
    summary: str
    responses: Mapping[int, type[BaseModel] | None]
    errors: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: tuple[Mapping[str, Any], ...] = ()
    keyed: bool = True
    raw: bool = False


_GRAPH = (403, 404, 502, 503)
CALLS = (
    Call(
        name="create_transfer",
        method="POST",
        route="transfers",
        summary="Attach a blob, or several one after the other, to an item of a mailbox",
        body=AttachRequest,
        headers=(_IDEMPOTENCY_KEY,),
        responses={200: Transfer, 202: BatchResult},
        errors=(400, 403, 404, 413, 503),
    ),
    Call(
        name="list_transfers",
        method="GET",
        route="transfers",
        summary="A page of the transfers since a time, newest first",
        query=ListQuery,
        responses={200: Transfers},
        errors=(400, 503),
    ),
    Call(
        name="get_transfer",
        method="GET",
        route="transfers/{id}",
        summary="The present status of one transfer",
        responses={200: Transfer},
        errors=(404, 503),
    ),
    Call(
        name="cancel_transfer",
        method="DELETE",
        route="transfers/{id}",
        summary="Cancel a transfer",
        responses={202: Transfer},
        errors=(404, 409, 503),
    ),
    Call(
        name="get_attachment",
        method="GET",
        route="transfers/{id}/attachment",
        summary="Outlook's description of the attachment",
        responses={200: AttachmentInfo},
        errors=_GRAPH,
    ),
    Call(
        name="get_attachment_content",
        method="GET",
        route="transfers/{id}/attachment/content",
        summary="The attachment's bytes, up to MAX_DOWNLOAD_BYTES",
        responses={200: None},
        errors=(*_GRAPH, 413),
        raw=True,
    ),
    Call(
        name="remove_attachment",
        method="DELETE",
        route="transfers/{id}/attachment",
        summary="Remove the attachment from its item",
        responses={204: None},
        errors=_GRAPH,
    ),
    Call(
        name="create_upload",
        method="POST",
        route="uploads",
        summary="Create a pre-signed upload URL for one new file in the watched container",
        body=UploadLinkRequest,
        responses={200: UploadLink},
        errors=(400, 403, 413, 503),
    ),
    Call(
        name="get_health",
        method="GET",
        route="health",
        summary="Whether the app is running",
        responses={200: Health},
        keyed=False,
    ),
    Call(
        name="get_readiness",
        method="GET",
        route="health/ready",
        summary="Whether the app can use its identity, the container, the ledger and Graph",
        responses={200: ReadinessReport, 503: ReadinessReport},
    ),
    Call(
        name="get_openapi",
        method="GET",
        route="openapi.json",
        summary="This description",
        responses={200: None},
    ),
    Call(
        name="get_monitor",
        method="GET",
        route="monitor",
        summary="The monitor page, which needs the key for its data",
        responses={200: None, 304: None},
        keyed=False,
        raw=True,
    ),
    Call(
        name="get_monitor_asset",
        method="GET",
        route="monitor/{asset}",
        summary="A style, script or picture of the monitor page",
        responses={200: None, 304: None},
        errors=(404,),
        keyed=False,
        raw=True,
    ),
)
