"""The HTTP door: transfers are ordered, watched, cancelled, attachments seen (design §6)."""

import asyncio
import re
from dataclasses import dataclass

import azure.durable_functions as df
import azure.functions as func

from shared.errors import FieldFault, InvalidRequest, TransferError
from shared.transfer.attachments import Attachments
from shared.transfer.orders import AttachOrder, UploadOrder
from shared.transfer.payloads import Failure
from shared.transfer.readiness import Readiness
from shared.transfer.starting import Placed, Starter
from shared.transfer.uploads import Uploads
from shared.transfer.watching import Transfer, cancel, listing, watch
from shared.triggers.api_models import Health, ListQuery, Placement, Placements, ReadyAnswer
from shared.triggers.callers import Callers
from shared.triggers.content_disposition import download_headers
from shared.triggers.http_answers import Handler, answer, answering
from shared.triggers.monitor_page import MonitorPage
from shared.triggers.openapi import CALLS, Call, openapi_document
from shared.triggers.request_body import read_json

_KEY = re.compile(r"[!-~]{1,255}")
_POLL = {"Retry_After": "2"}


@dataclass(frozen=True, slots=True)
class TransferApi:
    """The calls, each from a request to its answer."""

    starter: Starter
    attachments: Attachments
    uploads: Uploads
    readiness: Readiness
    monitor: MonitorPage

    async def create_transfer(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Attach a blob, or several one after the other, to an item."""
        order = AttachOrder.read(read_json(req.get_body()))
        placed = await self.starter.ordered(client, order, _attempt_key(req))
        if order.blobs is not None:
            placements = Placements(items=[_placement(each) for each in placed])
            return answer(202, placements.model_dump(exclude_none=True), **_POLL)
        return _one(placed[0])

    async def list_transfers(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """The transfers of the last day, or since then, newest first."""
        query = ListQuery.read(req.params)
        found = await listing(
            client,
            since=query.since,
            state=query.status,
            mailbox=query.mailbox,
            top=query.top,
        )
        return answer(200, found.to_json())

    async def get_transfer(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """One transfer, as it stands."""
        return answer(200, (await self._named(req, client)).to_json())

    async def cancel_transfer(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Ask a transfer to end; what is attached by then stays attached."""
        return answer(202, (await cancel(client, req.route_params["id"])).to_json(), **_POLL)

    async def get_attachment(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """What Graph says of the attachment."""
        transfer = await self._named(req, client)
        found = await asyncio.to_thread(self.attachments.describe, transfer.status)
        return answer(200, found.to_json())

    async def get_attachment_content(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """The attachment's bytes, as a download."""
        transfer = await self._named(req, client)
        content = await asyncio.to_thread(self.attachments.content, transfer.status)
        headers = download_headers(content.file_name, content.content_type)
        return func.HttpResponse(
            content.data, status_code=200, headers=headers, mimetype=headers["Content-Type"]
        )

    async def remove_attachment(
        self, req: func.HttpRequest, client: df.DurableFunctionsClient
    ) -> func.HttpResponse:
        """Remove the attachment from its item."""
        transfer = await self._named(req, client)
        await asyncio.to_thread(self.attachments.remove, transfer.id, transfer.status)
        return answer(204)

    async def create_upload(self, req: func.HttpRequest) -> func.HttpResponse:
        """Leave to put one new file into the watched container."""
        order = UploadOrder.read(read_json(req.get_body()))
        upload = await asyncio.to_thread(self.uploads.offer, order)
        return answer(200, upload.to_json())

    async def get_health(self, _: func.HttpRequest) -> func.HttpResponse:
        """Whether the app is alive."""
        return answer(200, Health().model_dump())

    async def get_readiness(self, _: func.HttpRequest) -> func.HttpResponse:
        """Whether identity, container and Graph can be reached, each by name."""
        checks = await asyncio.to_thread(self.readiness.check)
        found = ReadyAnswer(ready=all(each.ok for each in checks), checks=list(checks))
        return answer(200 if found.ready else 503, found.model_dump())

    async def get_openapi(self, _: func.HttpRequest) -> func.HttpResponse:
        """This description."""
        return answer(200, openapi_document())

    async def get_monitor(self, req: func.HttpRequest) -> func.HttpResponse:
        """The page that watches transfers."""
        return self.monitor.page(req)

    async def get_monitor_asset(self, req: func.HttpRequest) -> func.HttpResponse:
        """A style, script or picture of that page."""
        return self.monitor.asset(req)

    async def _named(self, req: func.HttpRequest, client: df.DurableFunctionsClient) -> Transfer:
        return await watch(client, req.route_params["id"])


def _attempt_key(req: func.HttpRequest) -> str:
    key = str(req.headers.get("Idempotency-Key", ""))
    if key and not _KEY.fullmatch(key):
        message = "should be 1 to 255 visible ASCII characters"
        raise InvalidRequest([FieldFault("Idempotency-Key", message)])
    return key


def _one(placed: Placed) -> func.HttpResponse:
    transfer = placed.outcome
    if isinstance(transfer, TransferError):
        raise transfer
    status = 200 if transfer.state == "attached" else 202
    location = f"/api/transfers/{transfer.id}"
    poll = _POLL if status == 202 else {}
    return answer(status, transfer.to_json(), Location=location, **poll)


def _placement(placed: Placed) -> Placement:
    if isinstance(placed.outcome, TransferError):
        return Placement(blob=placed.blob, error=Failure.of(placed.outcome))
    return Placement(blob=placed.blob, id=placed.outcome.id)


def http_functions(api: TransferApi, callers: Callers) -> df.Blueprint:
    """A blueprint with every route of the API."""
    blueprint = df.Blueprint()

    for call in CALLS:
        _route(blueprint, call, answering(getattr(api, call.name)), callers)
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
