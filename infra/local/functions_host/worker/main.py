"""The worker process: loads an app and calls its functions as Azure's own worker does.

Started as ``python -m infra.local.functions_host.worker.main FD FOLDER``: FD is an inherited
socket to the host (:mod:`.rpc`), FOLDER holds ``function_app.py``. Indexing, bindings and calls are
those of ``azure_functions_runtime``, the library Azure's worker is built from.
"""

import asyncio
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime

from infra.local.functions_host.worker import protos, rpc
from infra.local.functions_host.worker.rpc import (
    AppIndex,
    Failure,
    Invocation,
    InvocationResult,
    Value,
)

_runtime: Any = azure_functions_runtime  # has no type information


def main() -> None:
    """Serve until the host has ended."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    folder = Path(sys.argv[2])
    _configure_logging()
    # The host starts this module in the project's folder; the app expects to run in its own.
    os.chdir(folder)
    sys.path[0] = str(folder)
    asyncio.run(Worker(connection).run(folder))


class Worker:
    """Runs the host's invocations concurrently."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, folder: Path) -> None:
        """Load the app, then run invocations until the process ends."""
        _runtime.start_threadpool_executor()
        # A thread of its own notices the end of the host even while a function blocks the loop.
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._receive, args=(loop,), daemon=True).start()
        self._send(await _index(folder))
        await asyncio.Event().wait()

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        while (invocation := rpc.receive(self._connection)) is not None:
            loop.call_soon_threadsafe(self._accept, invocation)
        os._exit(0)

    def _accept(self, invocation: Invocation) -> None:
        task = asyncio.create_task(self._run(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, invocation: Invocation) -> None:
        response = await _runtime.invocation_request(_invocation_request(invocation))
        result = response.return_value
        self._send(
            InvocationResult(
                id=invocation["id"],
                result=None if result is None else _encode(result),
                failure=_failure(response.result),
            )
        )

    def _send(self, message: AppIndex | InvocationResult) -> None:
        self._connection.sendall(rpc.frame(message))


async def _index(folder: Path) -> AppIndex:
    """The functions of the app; an app without functions is a failure, as in Azure."""
    response = await _runtime.worker_init_request(_init_request(folder))
    if failure := _failure(response.result):
        return AppIndex(functions=[], failure=failure)
    found = (await _runtime.functions_metadata_request(None)).function_metadata_results
    if not found:
        message = f"no functions were found: is there a function_app.py with an app in {folder}?"
        return AppIndex(functions=[], failure=Failure(message=message, stack=""))
    functions: list[rpc.IndexedFunction] = [
        {"name": item.name, "id": item.function_id, "bindings": list(item.raw_bindings)}
        for item in found
    ]
    return AppIndex(functions=functions, failure=None)


def _init_request(folder: Path) -> Any:
    init = SimpleNamespace(capabilities={}, function_app_directory=str(folder))
    return SimpleNamespace(
        request=SimpleNamespace(worker_init_request=init),
        properties={"host": "127.0.0.1", "protos": protos},
    )


def _invocation_request(invocation: Invocation) -> Any:
    request = SimpleNamespace(
        invocation_id=invocation["id"],
        function_id=invocation["function_id"],
        input_data=[
            protos.ParameterBinding(name, _decode(value))
            for name, value in invocation["inputs"].items()
        ],
        trigger_metadata={},
        trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
    return SimpleNamespace(request=SimpleNamespace(invocation_request=request))


def _decode(value: Value) -> protos.TypedData:
    content = value["value"]
    if value["kind"] == "http":
        body = protos.TypedData(bytes=content.pop("body"))
        content = protos.RpcHttp(**content, body=body)
    elif value["kind"] == "model_binding_data":
        content = SimpleNamespace(**content)
    return protos.TypedData(**{value["kind"]: content})


def _encode(data: protos.TypedData) -> Value:
    if data.kind == "http":
        http: protos.RpcHttp = data.value
        content = {
            "status": int(http.status_code),
            "headers": http.headers,
            "body": http.body.value,
        }
        return Value(kind="http", value=content)
    return Value(kind=data.kind or "", value=data.value)


def _failure(result: protos.StatusResult) -> Failure | None:
    if result.exception is None:
        return None
    return Failure(message=result.exception.message, stack=result.exception.stack_trace)


def _configure_logging() -> None:
    """The app's own loggers at INFO, chatty libraries at WARNING."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    for name in ("azure", "urllib3", "durabletask"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
