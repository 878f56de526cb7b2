"""HTTP around the service: reads requests, sends answers, breaks connections when told to."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable
from http.client import responses

from aiohttp import web

from infra.local.outlook.faults.schedule import Break
from infra.local.outlook.protocol.messages import Answer, Call
from infra.local.outlook.service import Service, Visit

# Linger on, for no time: closing then sends RST in place of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# Seconds a closed connection is still read from, lest unread bytes turn the FIN into a RST.
_DRAIN_SECONDS = 5.0


class Server:
    """The handler of every request; `stopping` ends what hangs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.stopping = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, or break its connection."""
        visit = self._service.arrive(_head(request))
        try:
            return await self._serve(request, visit)
        finally:
            # Before the answer is on the wire: its reader may send the next request at once.
            self._service.leave(visit)

    async def _serve(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        breakage = visit.misbehaviour.breakage
        arrived = asyncio.get_running_loop().time()
        body = await _read(request, breakage)
        await self._take_time(visit, len(body), arrived)
        answer = self._service.answer(visit, body)
        if breakage is None:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        transport = request.transport
        if transport is not None:
            if breakage.sent == "part":
                transport.write(_first_half(answer))
            await self._end(request, transport, breakage)
        # The connection is over: aiohttp notices when it tries to send this.
        return web.Response()

    async def _take_time(self, visit: Visit, size: int, arrived: float) -> None:
        """Let a range take the time that the rules say; everybody else is served meanwhile."""
        if visit.record.kind in {"range", "last_range"}:
            now = asyncio.get_running_loop().time()
            rules = self._service.tenant.rules
            due = rules.answer_due(size, arrived=arrived, whole=now)
            if (left := due - now) > 0:
                await _at_most(left, self.stopping.wait())

    async def _end(
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


def _head(request: web.BaseRequest) -> Call:
    host, port = request.transport.get_extra_info("peername") if request.transport else ("", 0)
    return Call(request.method, request.raw_path, request.headers, client=f"{host}:{port}")


async def _read(request: web.BaseRequest, breakage: Break | None) -> bytes:
    """The body, or as much of it as the breakage lets be read."""
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


def _first_half(answer: Answer) -> bytes:
    """The head and half the body; of an answer without a body, half the head."""
    lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Length: {len(answer.body)}", "", ""]
    head = "\r\n".join(lines).encode()
    if answer.body:
        return head + answer.body[: len(answer.body) // 2]
    return head[: len(head) // 2]
