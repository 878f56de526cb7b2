"""Keeps a worker running: replaces a dead one, and redelivers what was in progress."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.local.functions_host.errors import HostError, WorkerDiedError, WorkerUnavailableError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker.process import WorkerProcess
from infra.local.functions_host.worker.rpc import Value

_MAX_DEATHS = 10
_DEATHS_WINDOW_SECONDS = 60.0
_BACKOFF_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)

logger = logging.getLogger(__name__)


class WorkerSupervisor:
    """The worker as the rest of the host sees it, across the lifetimes of its processes.

    ``on_started`` is called with the process id each time a worker is ready; ``log`` is the file
    descriptor of their output.
    """

    def __init__(
        self,
        app_folder: Path,
        settings: Mapping[str, str],
        on_started: Callable[[int], None],
        log: int,
    ) -> None:
        self._app_folder = app_folder
        self._settings = settings
        self._on_started = on_started
        self._log = log
        self._deaths: deque[float] = deque(maxlen=_MAX_DEATHS)
        self._current: asyncio.Future[WorkerProcess]
        self._supervision: asyncio.Task[None]

    async def start(self) -> tuple[Function, ...]:
        """Start the first worker, and return the functions of the app.

        Raises :class:`AppLoadError` when the app cannot be loaded.
        """
        worker = await self._spawn()
        self._current = asyncio.get_running_loop().create_future()
        self._current.set_result(worker)
        self._supervision = asyncio.create_task(self._supervise())
        return worker.functions

    async def stop(self) -> None:
        """Stop the worker, and start no other."""
        self._supervision.cancel()
        await asyncio.gather(self._supervision, return_exceptions=True)
        current, self._current = self._current, asyncio.get_running_loop().create_future()
        self._fail(WorkerUnavailableError("the host is stopping"))
        if current.done() and not current.exception():
            await current.result().stop()

    async def invoke(
        self, function: Function, inputs: dict[str, Value], *, redeliver: bool = True
    ) -> Value | None:
        """Call a function; with ``redeliver`` the next worker is called when this one dies.

        Raises :class:`InvocationFailedError`, :class:`WorkerUnavailableError`, and without
        ``redeliver`` :class:`WorkerDiedError`.
        """
        while True:
            worker = await asyncio.shield(self._current)
            try:
                return await worker.invoke(function, inputs)
            except WorkerDiedError:
                if not redeliver:
                    raise
                logger.warning("Delivering %s again: its worker died.", function.name)
                await worker.died.wait()
                await asyncio.sleep(0)  # lets the supervision replace the dead worker

    async def _supervise(self) -> None:
        while True:
            worker = self._current.result()
            await worker.died.wait()
            self._current = asyncio.get_running_loop().create_future()
            if worker.has_responded:
                self._deaths.clear()
            logger.error("The worker (process %d) died.", worker.pid)
            try:
                self._current.set_result(await self._restart())
            except WorkerUnavailableError as error:
                logger.critical("%s", error)
                self._fail(error)
                return

    def _fail(self, error: WorkerUnavailableError) -> None:
        self._current.set_exception(error)
        self._current.exception()  # retrieved, since it may be that no invocation waits

    async def _restart(self) -> WorkerProcess:
        """Start a worker in place of a dead one, again if need be.

        Raises :class:`WorkerUnavailableError` after too many deaths.
        """
        while True:
            now = time.monotonic()
            self._deaths.append(now)
            recent = [death for death in self._deaths if now - death < _DEATHS_WINDOW_SECONDS]
            if len(recent) >= _MAX_DEATHS:
                raise WorkerUnavailableError(
                    f"the worker died {len(recent)} times within {_DEATHS_WINDOW_SECONDS:.0f} "
                    "seconds without completing an invocation: it is not started again"
                )
            await asyncio.sleep(_BACKOFF_SECONDS[min(len(recent), len(_BACKOFF_SECONDS)) - 1])
            try:
                return await self._spawn()
            except (HostError, OSError) as error:
                logger.error("%s", error)  # noqa: TRY400 (the message is complete)

    async def _spawn(self) -> WorkerProcess:
        worker = await WorkerProcess.spawn(self._app_folder, self._settings, self._log)
        try:
            self._on_started(worker.pid)
        except Exception:
            logger.exception("The callback for a started worker (process %d) failed", worker.pid)
        return worker
