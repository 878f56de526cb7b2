"""The HTTP triggers on a port of the loopback."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from infra.local.functions_host.errors import (
    InvocationFailedError,
    WorkerGivenUpError,
    WorkerLostError,
)
from infra.local.functions_host.functions import Function
from infra.local.functions_host.http.keys import holds_key
from infra.local.functions_host.http.routes import RouteTable
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

# Set by the server from the body itself.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})

logger = logging.getLogger(__name__)


class HttpFront:
    """Answers requests by calling the function whose route they match."""

    def __init__(
        self, functions: Iterable[Function], invoke: Invoker, *, route_prefix: str, key: str
    ) -> None:
        self._routes = RouteTable(functions, route_prefix)
        self._invoke = invoke
        self._key = key

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request.

        404 when nothing matches route and method, 401 without the key, 500 when the function
        raised, 503 when its worker died over it: requests are not delivered twice.
        """
        raw_path = request.raw_path.partition("?")[0]
        if raw_path == "/":
            return web.Response(text="Functions host is running.")
        found = self._routes.find(request.method, raw_path)
        if found is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        function, parameters = found
        if not self._may_call(request, function):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        argument = Value(kind="http", value=await _request_value(request, parameters))
        return await self._answer(function, argument)

    async def _answer(self, function: Function, argument: Value) -> web.Response:
        try:
            result = await self._invoke(function, argument, redeliver=False)
        except InvocationFailedError as error:
            logger.error("%s failed: %s\n%s", function.name, error, error.stack)  # noqa: TRY400
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        except (WorkerLostError, WorkerGivenUpError) as error:
            logger.error("%s was not answered: %s", function.name, error)  # noqa: TRY400
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        return _response(result)

    def _may_call(self, request: web.Request, function: Function) -> bool:
        level = str(function.trigger.get("authLevel", "function")).lower()
        return level == "anonymous" or holds_key(request, self._key)


async def _request_value(request: web.Request, parameters: dict[str, str]) -> dict[str, Any]:
    """The request as a function takes it; Azure leaves out headers and queries without a value."""
    return {
        "method": request.method,
        "url": f"{request.scheme}://{request.host}{request.raw_path}",
        "headers": _joined((name.lower(), value) for name, value in request.headers.items()),
        "query": _joined(request.query.items()),
        "params": parameters,
        "body": await request.read(),
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Pairs as a mapping, the values of a repeated name joined by commas."""
    joined: dict[str, list[str]] = {}
    for name, value in pairs:
        joined.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in joined.items() if any(values)}


def _response(result: Value | None) -> web.Response:
    if result is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    if result["kind"] != "http":
        return web.Response(text=str(result["value"]))
    http = result["value"]
    headers = CIMultiDict[str](
        (name, value)
        for name, value in http["headers"].items()
        if name.lower() not in _FRAMING_HEADERS
    )
    for cookie in http["cookies"]:
        headers.add("Set-Cookie", cookie)
    return web.Response(status=http["status"], headers=headers, body=http["body"])
