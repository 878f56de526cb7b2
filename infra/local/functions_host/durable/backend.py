"""The orchestration engine: durabletask's in-memory backend as a gRPC service."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as sidecar
from durabletask.testing import InMemoryOrchestrationBackend
from durabletask.testing.in_memory_backend import OrchestrationInstance
from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]

from infra.local.functions_host.durable.adversities import Adversities
from infra.local.functions_host.durable.journal import Journal

# A client that waits for an orchestration occupies a thread until the orchestration ends.
_THREADS = 128
_MAX_WAIT_SECONDS = 86_400.0
GRPC_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Otherwise a second host could listen on the same port without an error.
    ("grpc.so_reuseport", 0),
)


class _Backend(InMemoryOrchestrationBackend):
    """The backend, corrected where the Functions host behaves differently."""

    def __init__(
        self, default_version: str | None, journal: Journal, adversities: Adversities | None
    ) -> None:
        super().__init__()
        self._default_version = default_version
        self._journal = journal
        self._adversities = adversities

    def StartInstance(  # noqa: N802 (a name of the protocol)
        self, request: pb.CreateInstanceRequest, context: grpc.ServicerContext
    ) -> pb.CreateInstanceResponse:
        if self._default_version and not request.version.value:
            request.version.value = self._default_version
        with self._lock:
            response = super().StartInstance(request, context)
            request.instanceId = response.instanceId
            self._journal.started(request)
        return response

    def RaiseEvent(  # noqa: N802
        self, request: pb.RaiseEventRequest, context: grpc.ServicerContext
    ) -> pb.RaiseEventResponse:
        with self._lock:
            response = super().RaiseEvent(request, context)
            self._journal.raised(request)
        return response

    def CompleteOrchestratorTask(  # noqa: N802
        self, request: pb.OrchestratorResponse, context: grpc.ServicerContext
    ) -> pb.CompleteTaskResponse:
        with self._lock:
            response = super().CompleteOrchestratorTask(request, context)
            instance = self._instances.get(request.instanceId)
            if instance is not None and self._is_terminal_status(instance.status):
                self._journal.ended(request.instanceId)
        return response

    def _raise_event_internal(
        self, instance_id: str, event_name: str, event_data: str | None = None
    ) -> None:
        super()._raise_event_internal(instance_id, event_name, event_data)
        data = None if event_data is None else StringValue(value=event_data)
        self._journal.raised(
            pb.RaiseEventRequest(instanceId=instance_id, name=event_name, input=data)
        )

    def _wait_for_state(
        self,
        instance_id: str,
        predicate: Callable[[OrchestrationInstance], bool],
        timeout: float | None,
    ) -> OrchestrationInstance | None:
        # A call without a deadline has the timeout None, which the backend takes for 30 s (and so
        # loses a longer sub-orchestration), or one longer than a thread can wait.
        wait = min(timeout or _MAX_WAIT_SECONDS, _MAX_WAIT_SECONDS)
        return super()._wait_for_state(instance_id, predicate, wait)

    def _process_create_timer_action(
        self, instance: OrchestrationInstance, action: pb.OrchestratorAction
    ) -> None:
        due = action.createTimer.fireAt.ToDatetime()
        late = self._adversities and self._adversities.timer_lateness(instance.instance_id)
        action.createTimer.fireAt.FromDatetime(due + timedelta(seconds=late or 0.0))
        super()._process_create_timer_action(instance, action)
        # The history says when it was due.
        instance.history[-1].timerCreated.fireAt.FromDatetime(due)

    def _enqueue_orchestration(self, instance_id: str) -> None:
        # The backend enqueues a running orchestration again when it completes. Enqueued earlier, it
        # would delay all work by a tenth of a second each time that it is dequeued.
        if instance_id in self._orchestration_in_flight:
            return
        # The result of an activity can arrive after its orchestration has ended: nothing to run.
        instance = self._instances.get(instance_id)
        if instance is None or not self._is_terminal_status(instance.status):
            super()._enqueue_orchestration(instance_id)


class DurableBackend:
    """The engine and its gRPC service on a free loopback port.

    An instance that is started without a version gets ``default_version``. ``journal`` is the file
    of the instances under way: those of an earlier engine are ``started_again``. With
    ``adversities``, its timers fire late.
    """

    def __init__(
        self,
        default_version: str | None = None,
        *,
        journal: Path | None = None,
        adversities: Adversities | None = None,
    ) -> None:
        """Raises :class:`JournalError` when the file is no journal."""
        self._journal = Journal.open(journal)
        self._backend = _Backend(default_version, self._journal, adversities)
        self.started_again: list[pb.CreateInstanceRequest] = []
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="durable")
        self._server = grpc.server(self._threads, options=GRPC_OPTIONS)
        sidecar.add_TaskHubSidecarServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self._backend, self._server
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"

    def start(self) -> None:
        """Start again what was under way, and serve until :meth:`stop`."""
        self.started_again, events = self._journal.under_way(), self._journal.events()
        self._server.start()
        with grpc.insecure_channel(self.address, options=GRPC_OPTIONS) as channel:
            client: Any = sidecar.TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]
            for request in self.started_again:
                self._journal.ended(request.instanceId)
                client.StartInstance(request)
            for event in events:
                client.RaiseEvent(event)

    def under_way(self) -> list[pb.CreateInstanceRequest]:
        """What was started and has not ended."""
        return self._journal.under_way()

    def stop(self) -> None:
        """Stop the service and discard its state."""
        stopped: threading.Event = self._server.stop(None)
        self._backend.stop()
        # Releases the clients that still wait for an orchestration.
        self._backend.reset()  # type: ignore[no-untyped-call]
        stopped.wait()
        self._threads.shutdown()
        self._journal.close()
