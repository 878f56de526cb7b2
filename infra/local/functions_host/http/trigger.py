"""HTTP triggers: a request becomes an invocation, and its result a response."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from infra.local.functions_host.errors import (
    InvocationFailedError,
    WorkerDiedError,
    WorkerUnavailableError,
)
from infra.local.functions_host.functions import Function
from infra.local.functions_host.http.routes import route_parameters
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

# Set by the server from the body itself.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})

logger = logging.getLogger(__name__)


class HttpTrigger:
    """Answers the requests for one function."""

    def __init__(self, function: Function, invoke: Invoker) -> None:
        self._function = function
        self._invoke = invoke

    async def handle(self, request: web.Request) -> web.Response:
        """Call the function: 500 when it raises, 503 when its worker dies.

        A request is never delivered twice.
        """
        argument = Value(kind="http", value=await _request_value(request))
        try:
            result = await self._invoke(self._function, argument, redeliver=False)
        except InvocationFailedError as error:
            logger.error("%s failed: %s\n%s", self._function.name, error, error.stack)  # noqa: TRY400
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        except (WorkerDiedError, WorkerUnavailableError) as error:
            logger.error("%s did not respond: %s", self._function.name, error)  # noqa: TRY400
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        return _response(result)


async def _request_value(request: web.Request) -> dict[str, Any]:
    """The request as a function takes it; Azure drops headers and queries without a value."""
    return {
        "method": request.method,
        "url": f"{request.scheme}://{request.host}{request.raw_path}",
        "headers": _joined((name.lower(), value) for name, value in request.headers.items()),
        "query": _joined(request.query.items()),
        "params": route_parameters(request),
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
    return web.Response(status=http["status"], headers=headers, body=http["body"])
