"""Keeps a worker alive: starts another when one dies, and delivers again what was unanswered."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.local.functions_host.errors import HostError, WorkerGivenUpError, WorkerLostError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker.process import WorkerLink
from infra.local.functions_host.worker.rpc import Value

_DEATHS_ALLOWED = 10
_DEATHS_WINDOW_SECONDS = 60.0
_BACKOFF_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)

logger = logging.getLogger(__name__)


class WorkerProcess:
    """The worker as the rest of the host sees it: one that outlives its processes.

    ``on_started`` is called with the process id each time one is ready; ``log`` is the file
    descriptor they print to.
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
        self._deaths: deque[float] = deque(maxlen=_DEATHS_ALLOWED)
        self._running: asyncio.Future[WorkerLink]
        self._keeper: asyncio.Task[None]

    async def start(self) -> tuple[Function, ...]:
        """Start the first worker; the functions it found.

        Raises :class:`AppLoadError` when the app cannot be loaded.
        """
        link = await self._spawn()
        self._running = asyncio.get_running_loop().create_future()
        self._running.set_result(link)
        self._keeper = asyncio.create_task(self._keep())
        return link.functions

    async def stop(self) -> None:
        """End the worker for good."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        running, self._running = self._running, asyncio.get_running_loop().create_future()
        self._running.set_exception(WorkerGivenUpError("the host is stopping"))
        self._running.exception()  # seen: nobody may be waiting
        if running.done() and not running.exception():
            await running.result().stop()

    async def invoke(
        self, function: Function, inputs: dict[str, Value], *, redeliver: bool = True
    ) -> Value | None:
        """Call a function; if its worker dies the next one is asked, unless told otherwise.

        Raises :class:`InvocationFailedError`, :class:`WorkerGivenUpError`, and without
        ``redeliver`` :class:`WorkerLostError`.
        """
        while True:
            link = await asyncio.shield(self._running)
            try:
                return await link.invoke(function, inputs)
            except WorkerLostError:
                if not redeliver:
                    raise
                logger.warning("Delivering %s again: its worker died.", function.name)
                await link.died.wait()
                await asyncio.sleep(0)  # lets the keeper take the dead worker away

    async def _keep(self) -> None:
        while True:
            link = self._running.result()
            await link.died.wait()
            self._running = asyncio.get_running_loop().create_future()
            if link.has_answered:
                self._deaths.clear()
            logger.error("The worker (process %d) died.", link.pid)
            try:
                self._running.set_result(await self._revive())
            except WorkerGivenUpError as error:
                logger.critical("%s", error)
                self._running.set_exception(error)
                self._running.exception()  # seen: nobody may be waiting
                return

    async def _revive(self) -> WorkerLink:
        """Another worker in place of a dead one, however often it takes within reason."""
        while True:
            now = time.monotonic()
            self._deaths.append(now)
            recent = [death for death in self._deaths if now - death < _DEATHS_WINDOW_SECONDS]
            if len(recent) >= _DEATHS_ALLOWED:
                raise WorkerGivenUpError(
                    f"the worker died {len(recent)} times within {_DEATHS_WINDOW_SECONDS:.0f} "
                    "seconds without answering anything: it is not started again"
                )
            await asyncio.sleep(_BACKOFF_SECONDS[min(len(recent), len(_BACKOFF_SECONDS)) - 1])
            try:
                return await self._spawn()
            except (HostError, OSError) as error:
                logger.error("%s", error)  # noqa: TRY400 (the sentence says it all)

    async def _spawn(self) -> WorkerLink:
        link = await WorkerLink.spawn(self._app_folder, self._settings, self._log)
        try:
            self._on_started(link.pid)
        except Exception:
            logger.exception("Nobody could be told of the worker (process %d)", link.pid)
        return link
