"""The webhook that Event Grid calls: ``/runtime/webhooks/eventgrid?functionName=…&code=…``.

The responses are those of Azure's Event Grid extension. Event Grid retries a delivery that was not
accepted; here there is no Event Grid, so nothing retries.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from infra.local.functions_host.errors import HostError, InvocationFailedError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

_CLOUD_EVENTS = ("application/cloudevents+json", "application/cloudevents-batch+json")

logger = logging.getLogger(__name__)


class EventGridWebhook:
    """Passes each event of a delivery to the function that the URL names."""

    def __init__(self, functions: Iterable[Function], invoke: Invoker) -> None:
        self._functions = {function.name.lower(): function for function in functions}
        self._invoke = invoke

    async def handle(self, request: web.Request) -> web.Response:
        """Respond to one request.

        404 for an unknown function, 200 for both handshakes, 400 for a body without events, 202
        when every event was accepted, 500 when one was not.
        """
        name = request.query.get("functionName", "")
        function = self._functions.get(name.lower())
        if function is None:
            return web.Response(status=HTTPStatus.NOT_FOUND, text=f"cannot find function: '{name}'")
        if request.method == "OPTIONS":
            return _allow_origin(request)
        return await self._receive(request, function)

    async def _receive(self, request: web.Request, function: Function) -> web.Response:
        try:
            events = _events(await request.read())
        except ValueError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))
        kind = request.headers.get("aeg-event-type", "")
        if kind == "SubscriptionValidation":
            return _validate_subscription(events)
        if kind == "Notification" or request.content_type in _CLOUD_EVENTS:
            return await self._deliver(function, events)
        return web.Response(status=HTTPStatus.BAD_REQUEST)

    async def _deliver(self, function: Function, events: list[dict[str, Any]]) -> web.Response:
        accepted = await asyncio.gather(*(self._invoke_for(function, event) for event in events))
        return web.Response(
            status=HTTPStatus.ACCEPTED if all(accepted) else HTTPStatus.INTERNAL_SERVER_ERROR
        )

    async def _invoke_for(self, function: Function, event: dict[str, Any]) -> bool:
        try:
            await self._invoke(function, Value(kind="json", value=json.dumps(event)))
        except InvocationFailedError as error:
            logger.error("%s failed: %s\n%s", function.name, error, error.stack)  # noqa: TRY400
            return False
        except HostError as error:
            logger.error("%s did not receive an event: %s", function.name, error)  # noqa: TRY400
            return False
        return True


def _events(body: bytes) -> list[dict[str, Any]]:
    """The events of a body, one or an array; raises :class:`ValueError` for anything else."""
    content = json.loads(body)
    events = content if isinstance(content, list) else [content]
    if not all(isinstance(event, dict) for event in events):
        raise ValueError("an event must be a JSON object")
    return events


def _validate_subscription(events: list[dict[str, Any]]) -> web.Response:
    data = events[0].get("data") if events else None
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        return web.Response(status=HTTPStatus.BAD_REQUEST, text="no validationCode")
    return web.json_response({"validationResponse": code})


def _allow_origin(request: web.Request) -> web.Response:
    origin = request.headers.get("WebHook-Request-Origin")
    if not origin:
        return web.Response(status=HTTPStatus.BAD_REQUEST)
    return web.Response(
        headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"},
    )
