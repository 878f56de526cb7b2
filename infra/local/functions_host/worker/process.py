"""One run of the worker process, from its start to its death."""

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
    WorkerLostError,
)
from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker import rpc
from infra.local.functions_host.worker.rpc import Answer, Index, Invocation, Value

_PROJECT = Path(__file__).parents[4]
_STOP_SECONDS = 3.0
STDERR = 2

logger = logging.getLogger(__name__)


class WorkerLink:
    """A living worker: takes invocations until it dies.

    Made by :meth:`spawn`; ``died`` is set once the process is gone, ``has_answered`` once it has
    answered an invocation.
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
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.functions: tuple[Function, ...] = ()
        self.has_answered = False
        self.died = asyncio.Event()

    @classmethod
    async def spawn(
        cls, app_folder: Path, environment: Mapping[str, str], log: int = STDERR
    ) -> Self:
        """Start a worker and wait until it has indexed the app; ``log`` is the file it prints to.

        Raises :class:`AppLoadError` when the app cannot be loaded.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            process = _start_process(app_folder, environment, theirs.fileno(), log)
        link = cls(process, reader, writer)
        try:
            link.functions = await link._read_index()
        except BaseException:
            await link.stop()
            raise
        link._reading = asyncio.create_task(link._read_answers())
        return link

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def invoke(self, function: Function, inputs: dict[str, Value]) -> Value | None:
        """Call a function and wait for what it returns, however long it takes.

        Raises :class:`InvocationFailedError` when it raised, :class:`WorkerLostError` when the
        worker died first.
        """
        if self._writer.is_closing():
            raise WorkerLostError(f"the worker died before it took {function.name}")
        invocation = Invocation(
            id=str(uuid.uuid4()), function_id=function.function_id, inputs=inputs
        )
        answered = asyncio.get_running_loop().create_future()
        self._waiting[invocation["id"]] = answered
        self._writer.write(rpc.frame(invocation))
        try:
            answer: Answer = await answered
        finally:
            self._waiting.pop(invocation["id"], None)
        if failure := answer["failure"]:
            raise InvocationFailedError.from_worker(failure["message"], failure["stack"])
        return answer["result"]

    async def stop(self) -> None:
        """End the process: politely at first, by force after a few seconds."""
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
        index: Index | None = await rpc.receive_async(self._reader)
        if index is None:
            code = await asyncio.to_thread(self._process.wait)
            raise AppLoadError(f"the app ended its worker while being loaded (exit code {code})")
        if failure := index["failure"]:
            logger.error("The app could not be loaded.\n%s", failure["stack"])
            # The worker's library adds advice and the whole of sys.path to import errors.
            sentence = failure["message"].partition(". Cannot find module. ")[0]
            raise AppLoadError(f"the app could not be loaded: {sentence}")
        return tuple(Function.from_index(item) for item in index["functions"])

    async def _read_answers(self) -> None:
        while (answer := await rpc.receive_async(self._reader)) is not None:
            self.has_answered = True
            waiting = self._waiting.get(answer["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        # A worker that has closed its end takes no more calls, even if it still runs.
        self._writer.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        self.died.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(WorkerLostError("the worker died before it answered"))


def _start_process(
    app_folder: Path, environment: Mapping[str, str], link: int, log: int
) -> subprocess.Popen[bytes]:
    module = "infra.local.functions_host.worker.main"
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", module, str(link), str(app_folder)],
        cwd=_PROJECT,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        pass_fds=[link],
        stdin=subprocess.DEVNULL,
        # What an app prints is a log: the standard output belongs to whoever runs the host.
        stdout=log,
        stderr=log,
        # Ctrl-C reaches only the host, which ends its worker in order.
        start_new_session=True,
    )
