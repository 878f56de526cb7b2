"""The worker process: loads an app and calls its functions as Azure's own worker would.

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
from infra.local.functions_host.worker.rpc import Answer, Failure, Index, Invocation, Value

_library: Any = azure_functions_runtime  # it has no types


def main() -> None:
    """Serve until the host is gone."""
    link = socket.socket(fileno=int(sys.argv[1]))
    folder = Path(sys.argv[2])
    _configure_logging()
    # The host starts this module from its own folder; from here on only the app's counts.
    os.chdir(folder)
    sys.path[0] = str(folder)
    asyncio.run(Worker(link).run(folder))


class Worker:
    """Answers the host's invocations, all at the same time."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, folder: Path) -> None:
        """Load the app, then answer until the process ends."""
        _library.start_threadpool_executor()
        # A thread of its own sees the host's end even while a function blocks the loop.
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), daemon=True).start()
        self._send(await _index(folder))
        await asyncio.Event().wait()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        while (invocation := rpc.receive(self._link)) is not None:
            loop.call_soon_threadsafe(self._accept, invocation)
        os._exit(0)

    def _accept(self, invocation: Invocation) -> None:
        task = asyncio.create_task(self._answer(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, invocation: Invocation) -> None:
        response = await _library.invocation_request(_invocation_request(invocation))
        result = response.return_value
        self._send(
            Answer(
                id=invocation["id"],
                result=None if result is None else _to_wire(result),
                failure=_failure(response.result),
            )
        )

    def _send(self, message: Index | Answer) -> None:
        self._link.sendall(rpc.frame(message))


async def _index(folder: Path) -> Index:
    """What the app holds; an app without functions is a failure, as in Azure."""
    answer = await _library.worker_init_request(_init_request(folder))
    if failure := _failure(answer.result):
        return Index(functions=[], failure=failure)
    found = (await _library.functions_metadata_request(None)).function_metadata_results
    if not found:
        message = f"no functions were found: is there a function_app.py with an app in {folder}?"
        return Index(functions=[], failure=Failure(message=message, stack=""))
    functions: list[rpc.IndexedFunction] = [
        {"name": item.name, "id": item.function_id, "bindings": list(item.raw_bindings)}
        for item in found
    ]
    return Index(functions=functions, failure=None)


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
            protos.ParameterBinding(name, _from_wire(value))
            for name, value in invocation["inputs"].items()
        ],
        trigger_metadata={},
        trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
    return SimpleNamespace(request=SimpleNamespace(invocation_request=request))


def _from_wire(value: Value) -> protos.TypedData:
    content = value["value"]
    if value["kind"] == "http":
        body = protos.TypedData(bytes=content.pop("body"))
        content = protos.RpcHttp(**content, body=body)
    elif value["kind"] == "model_binding_data":
        content = SimpleNamespace(**content)
    return protos.TypedData(**{value["kind"]: content})


def _to_wire(data: protos.TypedData) -> Value:
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
    """The app's own loggers at INFO; libraries only when something is wrong."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    for name in ("azure", "urllib3", "durabletask"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
