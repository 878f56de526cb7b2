"""The HTTP trigger: start, list and cancel transfers, and work with their attachments."""

import asyncio
import re
from dataclasses import dataclass

import azure.durable_functions as df
import azure.functions as func

from shared.errors import FieldFault, InvalidRequest, TransferError
from shared.storage.listing import Listing
from shared.transfer.payloads import Failure
from shared.transfer.service.attachments import Attachments
from shared.transfer.service.list_transfers import list_transfers, with_removal
from shared.transfer.service.readiness import Readiness
from shared.transfer.service.requests import AttachRequest, UploadLinkRequest
from shared.transfer.service.start import Starter, StartResult
from shared.transfer.service.transfers import (
    Transfer,
    cancel_transfer,
    get_transfer,
)
from shared.transfer.service.upload_link import UploadLinks
from shared.triggers.callers import Callers
from shared.triggers.http.calls import CALLS, Call
from shared.triggers.http.download_headers import download_headers
from shared.triggers.http.models import (
    BatchItem,
    BatchResult,
    Health,
    ListQuery,
    ReadinessReport,
)
from shared.triggers.http.monitor_page import MonitorPage
from shared.triggers.http.openapi import openapi_document
from shared.triggers.http.request_json import read_json
from shared.triggers.http.responses import Handler, error_boundary, json_response

_KEY = re.compile(r"[!-~]{1,255}")
_POLL = {"Retry_After": "2"}


@dataclass(frozen=True, slots=True)
class TransferApi:
    """The calls of the API, each from a request to its response."""

    starter: Starter
    listing: Listing
    attachments: Attachments
    upload_links: UploadLinks
    readiness: Readiness
    monitor: MonitorPage

    async def create_transfer(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Attach a blob, or several one after the other, to an item."""
        attach = AttachRequest.read(read_json(req.get_body()))
        results = await self.starter.from_request(client, attach, _attempt_key(req))
        if attach.blobs is not None:
            batch = BatchResult(items=[_batch_item(each) for each in results])
            return json_response(202, batch.model_dump(exclude_none=True), **_POLL)
        return _single_response(results[0])

    async def list_transfers(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """A page of the transfers since a time, newest first. The default is the last 24 hours."""
        query = ListQuery.read(req.url).wanted
        found = await list_transfers(client, self.listing, query)
        return json_response(200, found.to_json())

    async def get_transfer(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """The present status of one transfer."""
        transfer = await self._transfer(req, client)
        shown = await with_removal(self.listing, transfer)
        return json_response(200, shown.to_json())

    async def cancel_transfer(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Request the end of a transfer. A file that is attached by then stays attached."""
        transfer = await cancel_transfer(client, req.route_params["id"])
        return json_response(202, transfer.to_json(), **_POLL)

    async def get_attachment(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Graph's description of the attachment."""
        transfer = await self._transfer(req, client)
        found = await asyncio.to_thread(self.attachments.describe, transfer)
        return json_response(200, found.to_json())

    async def get_attachment_content(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """The attachment's bytes, as a download."""
        transfer = await self._transfer(req, client)
        content = await asyncio.to_thread(self.attachments.content, transfer)
        headers = download_headers(content.file_name, content.content_type)
        return func.HttpResponse(
            content.data, status_code=200, headers=headers, mimetype=headers["Content-Type"]
        )

    async def remove_attachment(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Remove the attachment from its item."""
        transfer = await self._transfer(req, client)
        await asyncio.to_thread(self.attachments.remove, transfer.id, transfer)
        return json_response(204)

    async def create_upload(self, req: func.HttpRequest) -> func.HttpResponse:
        """A pre-signed upload URL for one new file in the watched container."""
        request = UploadLinkRequest.read(read_json(req.get_body()))
        link = await asyncio.to_thread(self.upload_links.create, request)
        return json_response(200, link.to_json())

    async def get_health(self, _: func.HttpRequest) -> func.HttpResponse:
        """Whether the app is running."""
        return json_response(200, Health().model_dump())

    async def get_readiness(self, _: func.HttpRequest) -> func.HttpResponse:
        """Whether the app can use its identity, the container, the ledger and Graph."""
        checks = await asyncio.to_thread(self.readiness.check)
        found = ReadinessReport(ready=all(each.ok for each in checks), checks=list(checks))
        return json_response(200 if found.ready else 503, found.model_dump())

    async def get_openapi(self, _: func.HttpRequest) -> func.HttpResponse:
        """The OpenAPI description of the API."""
        return json_response(200, openapi_document())

    async def get_monitor(self, req: func.HttpRequest) -> func.HttpResponse:
        """The monitor page."""
        return self.monitor.page(req)

    async def get_monitor_asset(self, req: func.HttpRequest) -> func.HttpResponse:
        """A style, script or picture of the monitor page."""
        return self.monitor.asset(req)

    async def _transfer(self, req: func.HttpRequest, client: df.DurableFunctionsClient) -> Transfer:
        return await get_transfer(client, req.route_params["id"])


def _attempt_key(req: func.HttpRequest) -> str:
    key = str(req.headers.get("Idempotency-Key", ""))
    if key and not _KEY.fullmatch(key):
        message = "should be 1 to 255 visible ASCII characters"
        raise InvalidRequest([FieldFault("Idempotency-Key", message)])
    return key


def _single_response(result: StartResult) -> func.HttpResponse:
    transfer = result.outcome
    if isinstance(transfer, TransferError):
        raise transfer
    status = 200 if transfer.state == "attached" else 202
    location = f"/api/transfers/{transfer.id}"
    poll = _POLL if status == 202 else {}
    return json_response(status, transfer.to_json(), Location=location, **poll)


def _batch_item(result: StartResult) -> BatchItem:
    if isinstance(result.outcome, TransferError):
        return BatchItem(blob=result.blob, error=Failure.of(result.outcome))
    return BatchItem(blob=result.blob, id=result.outcome.id)


def http_functions(api: TransferApi, callers: Callers) -> df.Blueprint:
    """A blueprint with every route of the API."""
    blueprint = df.Blueprint()

    for call in CALLS:
        _route(blueprint, call, error_boundary(getattr(api, call.name)), callers)
    return blueprint


def _route(blueprint: df.Blueprint, call: Call, handler: Handler, callers: Callers) -> None:
    async def with_client(
        req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        callers.log(call.name, req)
        return await handler(req, client)

    async def without_client(req: func.HttpRequest) -> func.HttpResponse:
        callers.log(call.name, req)
        return await handler(req)

    level = func.AuthLevel.FUNCTION if call.keyed else func.AuthLevel.ANONYMOUS
    routed = blueprint.route(route=call.route, methods=[call.method], auth_level=level)
    if call.route.startswith("transfers"):
        with_client.__name__ = call.name
        routed(blueprint.durable_client_input(client_name="client")(with_client))
    else:
        without_client.__name__ = call.name
        routed(without_client)
