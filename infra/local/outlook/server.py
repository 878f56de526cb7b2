"""Serves HTTP: reads requests, sends responses, and breaks connections on demand."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable
from http.client import responses

from aiohttp import web

from infra.local.outlook.faults.schedule import Break
from infra.local.outlook.protocol.messages import Request, Response
from infra.local.outlook.service import Exchange, Service

# SO_LINGER with a time of 0: closing sends RST in place of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# A closed connection is read for so long, because unread bytes would turn the FIN into a RST.
_DRAIN_SECONDS = 5.0


class Server:
    """Handles every request; `stopping` releases the connections that hang."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.stopping = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to a request, or break its connection."""
        exchange = self._service.arrive(_without_body(request))
        try:
            return await self._serve(request, exchange)
        finally:
            # Before the response is sent: the client may send its next request at once.
            self._service.leave(exchange)

    async def _serve(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        breakage = exchange.misbehaviour.breakage
        arrived = asyncio.get_running_loop().time()
        body = await _read(request, breakage)
        await self._delay(exchange, len(body), arrived)
        response = self._service.answer(exchange, body)
        if breakage is None:
            return web.Response(
                status=response.status, headers=response.headers, body=response.body
            )
        transport = request.transport
        if transport is not None:
            if breakage.sent == "part":
                transport.write(_first_half(response))
            await self._break(request, transport, breakage)
        # The connection is broken: aiohttp notices when it tries to send this response.
        return web.Response()

    async def _delay(self, exchange: Exchange, size: int, arrived: float) -> None:
        """Delay a range as the rules say; other requests are processed meanwhile."""
        if exchange.record.kind in {"range", "last_range"}:
            now = asyncio.get_running_loop().time()
            rules = self._service.tenant.rules
            due = rules.response_due(size, arrived=arrived, whole=now)
            if (remaining := due - now) > 0:
                await _at_most(remaining, self.stopping.wait())

    async def _break(
        self, request: web.BaseRequest, transport: asyncio.Transport, breakage: Break
    ) -> None:
        if breakage.end == "close":
            if transport.can_write_eof():
                transport.write_eof()
            await _at_most(_DRAIN_SECONDS, _drain(request))
            transport.close()
            return
        if breakage.end == "hang":
            await _at_most(breakage.hang_seconds, self.stopping.wait())
        if not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            transport.abort()


def _without_body(request: web.BaseRequest) -> Request:
    host, port = request.transport.get_extra_info("peername") if request.transport else ("", 0)
    return Request(request.method, request.raw_path, request.headers, client=f"{host}:{port}")


async def _read(request: web.BaseRequest, breakage: Break | None) -> bytes:
    """The body, or the part of it that is read before the connection breaks."""
    if breakage is not None and breakage.read == "nothing":
        return b""
    wanted = request.content_length or 0
    halfway = breakage is not None and breakage.read == "part"
    chunks, length = [], 0
    while not (halfway and length * 2 >= wanted):
        chunk = await request.content.readany()
        if not chunk:
            break
        chunks.append(chunk)
        length += len(chunk)
    return b"".join(chunks)


async def _drain(request: web.BaseRequest) -> None:
    while await request.content.readany():
        pass


async def _at_most(seconds: float, awaitable: Awaitable[object]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(awaitable, seconds)


def _first_half(response: Response) -> bytes:
    """The headers and half the body; half the headers when there is no body."""
    lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, '')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += [f"Content-Length: {len(response.body)}", "", ""]
    head = "\r\n".join(lines).encode()
    if response.body:
        return head + response.body[: len(response.body) // 2]
    return head[: len(head) // 2]
