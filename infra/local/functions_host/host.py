"""The Functions host: its parts together, in a thread of its own."""

import asyncio
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from durabletask.internal import orchestrator_service_pb2 as pb

from infra.local.functions_host.blobs.trigger import BlobTrigger
from infra.local.functions_host.durable.adversities import Adversities
from infra.local.functions_host.durable.backend import DurableBackend
from infra.local.functions_host.durable.dispatcher import WorkItemDispatcher
from infra.local.functions_host.errors import PortDeniedError, PortInUseError
from infra.local.functions_host.host_json import HostJson
from infra.local.functions_host.http.application import http_application
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.triggers import Triggers
from infra.local.functions_host.worker.process import STDERR
from infra.local.functions_host.worker.supervisor import WorkerSupervisor

_SHUTDOWN_SECONDS = 1.0

logger = logging.getLogger(__name__)


class FunctionsHost:
    """A Functions host for the app in a folder, with a synchronous interface.

    ``settings`` are the app settings; they take precedence over the environment. ``port`` 0 is any
    free port. ``function_key`` gives access to everything that is not anonymous.
    ``journal`` is the file of the orchestrations under way; those of an earlier host start again.
    ``on_worker_started`` is called with the process id each time a worker is ready, in the host's
    thread. ``worker_log`` is the file descriptor of the workers' output. ``adversities`` are what
    its engine does to the app. ``url``, ``worker_pid`` and ``durable_address`` (of the engine's
    gRPC service) are set once it has started.
    """

    def __init__(
        self,
        app_folder: Path,
        settings: Mapping[str, str],
        *,
        port: int = 0,
        function_key: str,
        on_worker_started: Callable[[int], None] | None = None,
        worker_log: int = STDERR,
        journal: Path | None = None,
        adversities: Adversities | None = None,
    ) -> None:
        self._app_folder = app_folder.resolve()
        self._settings = settings
        self._port = port
        self._key = function_key
        self._on_worker_started = on_worker_started
        self._worker_log = worker_log
        self._journal = journal
        self._adversities = adversities
        self._backend: DurableBackend | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self.url: str
        self.worker_pid: int
        self.durable_address: str

    def start(self) -> None:
        """Start, and wait until every trigger is active.

        Raises :class:`PortError`, :class:`JournalError`, :class:`AppLoadError` or
        :class:`AppConfigError`, after stopping what had started.
        """
        ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="functions-host")
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self.stop()
            raise

    @property
    def started_again(self) -> list[pb.CreateInstanceRequest]:
        """The orchestrations that were under way when an earlier host with this journal ended."""
        return self._backend.started_again if self._backend else []

    def under_way(self) -> list[pb.CreateInstanceRequest]:
        """The orchestrations that have not ended, while the host runs."""
        return self._backend.under_way() if self._backend else []

    def stop(self) -> None:
        """Stop the worker, the servers and the threads; may be called again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with suppress(RuntimeError):  # the loop is closed: it has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, ready: Future[None]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve(ready))
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        async with AsyncExitStack() as running:
            await self._start_all(running)
            ready.set_result(None)
            await self._stopping.wait()

    async def _start_all(self, running: AsyncExitStack) -> None:
        """Start each part; ``running`` stops them in reverse order."""
        settings = {**os.environ, **self._settings}
        listening = running.enter_context(_listening_socket(self._port))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        host_json = HostJson.read(self._app_folder)

        backend = DurableBackend(
            host_json.default_version, journal=self._journal, adversities=self._adversities
        )
        self._backend = backend
        running.push_async_callback(asyncio.to_thread, backend.stop)
        backend.start()
        self.durable_address = backend.address

        worker = WorkerSupervisor(
            self._app_folder, settings, self._worker_started, self._worker_log
        )
        triggers = Triggers(await worker.start(), settings)
        running.push_async_callback(worker.stop)
        invoke = Invoker(
            worker, durable_address=backend.address, url=self.url, function_key=self._key
        )
        http = http_application(
            triggers, invoke, route_prefix=host_json.route_prefix, key=self._key
        )
        await _serve_http(running, http, listening)
        dispatcher = WorkItemDispatcher(
            backend.address, triggers.durable, invoke, host_json, self._adversities
        )
        dispatcher.start()
        running.push_async_callback(dispatcher.stop)
        blob_triggers = [BlobTrigger(function, invoke, settings) for function in triggers.blob]
        for trigger in blob_triggers:
            _run_in_background(running, trigger.run())

    def _worker_started(self, pid: int) -> None:
        self.worker_pid = pid
        if self._on_worker_started is not None:
            self._on_worker_started(pid)


def _listening_socket(port: int) -> socket.socket:
    """A socket on the loopback interface, bound before anything slow is started."""
    listening = socket.socket()
    # A port can be bound again at once, while its last connections are in TIME_WAIT.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(port) from error
        if error.errno == errno.EACCES:
            raise PortDeniedError(port) from error
        raise
    return listening


async def _serve_http(
    running: AsyncExitStack, app: web.Application, listening: socket.socket
) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    running.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening).start()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.critical("A part of the host failed", exc_info=error)


def _run_in_background(running: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine until ``running`` is closed, which cancels it and waits for it."""
    task = asyncio.create_task(work)
    task.add_done_callback(_log_failure)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    running.push_async_callback(stop)
