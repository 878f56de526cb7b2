"""The messages between host and worker: JSON, each one after its length in four bytes.

Bytes are sent as ``{"$bytes": base64}``. The worker sends an :class:`AppIndex` first. Then the host
sends :class:`Invocation` and the worker :class:`InvocationResult`, matched by ``id``, in any order.
"""

import asyncio
import base64
import json
import socket
import struct
from typing import Any, TypedDict

_LENGTH = struct.Struct(">I")


class Value(TypedDict):
    """An argument or a result.

    ``kind`` is the name of the field in the worker's TypedData: ``string``, ``json``, ``bytes``,
    ``http`` or ``model_binding_data``; ``value`` is plain JSON or bytes.
    """

    kind: str
    value: Any


class Failure(TypedDict):
    """An exception in the worker: ``Type: message``, and the stack trace."""

    message: str
    stack: str


class IndexedFunction(TypedDict):
    """A function as the worker indexed it; each binding is a JSON text."""

    name: str
    id: str
    bindings: list[str]


class AppIndex(TypedDict):
    """The functions of the app, or why it could not be loaded."""

    functions: list[IndexedFunction]
    failure: Failure | None


class Invocation(TypedDict):
    """A call of a function with these arguments."""

    id: str
    function_id: str
    inputs: dict[str, Value]


class InvocationResult(TypedDict):
    """The result of the invocation with the same ``id``."""

    id: str
    result: Value | None
    failure: Failure | None


def frame(message: AppIndex | Invocation | InvocationResult) -> bytes:
    """The message as bytes, its length included."""
    body = json.dumps(message, default=_pack, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


def receive(connection: socket.socket) -> Any | None:
    """Wait for the next message; ``None`` when the other end is closed."""
    head = _receive_exactly(connection, _LENGTH.size)
    body = head and _receive_exactly(connection, _LENGTH.unpack(head)[0])
    return json.loads(body, object_hook=_unpack) if body else None


async def receive_async(reader: asyncio.StreamReader) -> Any | None:
    """The same on an event loop."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        body = await reader.readexactly(_LENGTH.unpack(head)[0])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return json.loads(body, object_hook=_unpack)


def _receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = connection.recv(min(size - len(parts), 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)


def _pack(value: object) -> dict[str, str]:
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be sent between host and worker")


def _unpack(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["$bytes"]) if value.keys() == {"$bytes"} else value
