"""One worker process, from its start to its end."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from infra.local.functions_host.errors import (
    AppLoadError,
    InvocationFailedError,
    WorkerDiedError,
)
from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker import rpc
from infra.local.functions_host.worker.rpc import AppIndex, Invocation, InvocationResult, Value

_PROJECT = Path(__file__).parents[4]
_STOP_SECONDS = 3.0
STDERR = 2

logger = logging.getLogger(__name__)


class WorkerProcess:
    """A running worker: accepts invocations until it dies.

    Created by :meth:`spawn`. ``died`` is set once the process has ended, ``has_responded`` once it
    has completed an invocation.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._pending: dict[str, asyncio.Future[InvocationResult]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.functions: tuple[Function, ...] = ()
        self.has_responded = False
        self.died = asyncio.Event()

    @classmethod
    async def spawn(
        cls, app_folder: Path, environment: Mapping[str, str], log: int = STDERR
    ) -> Self:
        """Start a worker and wait until it has indexed the app.

        ``log`` is the file descriptor of its output. Raises :class:`AppLoadError` when the app
        cannot be loaded.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            process = _start_process(app_folder, environment, theirs.fileno(), log)
        worker = cls(process, reader, writer)
        try:
            worker.functions = await worker._read_index()
        except BaseException:
            await worker.stop()
            raise
        worker._reading = asyncio.create_task(worker._read_results())
        return worker

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def invoke(self, function: Function, inputs: dict[str, Value]) -> Value | None:
        """Call a function and wait for its result, without a time limit.

        Raises :class:`InvocationFailedError` when it raised, :class:`WorkerDiedError` when the
        worker died first.
        """
        if self._writer.is_closing():
            raise WorkerDiedError(f"the worker died before it received {function.name}")
        invocation = Invocation(
            id=str(uuid.uuid4()), function_id=function.function_id, inputs=inputs
        )
        pending = asyncio.get_running_loop().create_future()
        self._pending[invocation["id"]] = pending
        self._writer.write(rpc.frame(invocation))
        try:
            result: InvocationResult = await pending
        finally:
            self._pending.pop(invocation["id"], None)
        if failure := result["failure"]:
            raise InvocationFailedError.from_worker(failure["message"], failure["stack"])
        return result["result"]

    async def stop(self) -> None:
        """Terminate the process, and kill it after a few seconds."""
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        if self._reading is not None:
            await self._reading
        self._writer.close()

    async def _read_index(self) -> tuple[Function, ...]:
        index: AppIndex | None = await rpc.receive_async(self._reader)
        if index is None:
            code = await asyncio.to_thread(self._process.wait)
            raise AppLoadError(f"the app ended its worker while being loaded (exit code {code})")
        if failure := index["failure"]:
            logger.error("The app could not be loaded.\n%s", failure["stack"])
            # The worker's library adds advice and the whole of sys.path to import errors.
            message = failure["message"].partition(". Cannot find module. ")[0]
            raise AppLoadError(f"the app could not be loaded: {message}")
        return tuple(Function.from_index(item) for item in index["functions"])

    async def _read_results(self) -> None:
        while (result := await rpc.receive_async(self._reader)) is not None:
            self.has_responded = True
            pending = self._pending.get(result["id"])
            if pending is not None and not pending.done():
                pending.set_result(result)
        # A worker that has closed its end accepts no more invocations, even if it still runs.
        self._writer.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        self.died.set()
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(WorkerDiedError("the worker died before it responded"))


def _start_process(
    app_folder: Path, environment: Mapping[str, str], connection: int, log: int
) -> subprocess.Popen[bytes]:
    module = "infra.local.functions_host.worker.main"
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", module, str(connection), str(app_folder)],
        cwd=_PROJECT,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        pass_fds=[connection],
        stdin=subprocess.DEVNULL,
        # The app's output is a log; the standard output belongs to the program that runs the host.
        stdout=log,
        stderr=log,
        # Ctrl-C reaches only the host, which stops its worker itself.
        start_new_session=True,
    )
