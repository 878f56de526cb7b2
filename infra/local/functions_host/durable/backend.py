"""The orchestration engine: durabletask's in-memory backend behind a gRPC port of our own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as sidecar
from durabletask.testing import InMemoryOrchestrationBackend
from durabletask.testing.in_memory_backend import OrchestrationInstance

# A client waiting for an orchestration holds a thread until it has ended.
_THREADS = 128
_LONGEST_WAIT_SECONDS = 86_400.0
GRPC_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Without it a second host could listen on the same port unnoticed.
    ("grpc.so_reuseport", 0),
)


class _Backend(InMemoryOrchestrationBackend):
    """The backend with corrections where the Functions host behaves differently."""

    def __init__(self, default_version: str | None) -> None:
        super().__init__()
        self._default_version = default_version

    def StartInstance(  # noqa: N802 (a name of the protocol)
        self, request: pb.CreateInstanceRequest, context: grpc.ServicerContext
    ) -> pb.CreateInstanceResponse:
        if self._default_version and not request.version.value:
            request.version.value = self._default_version
        return super().StartInstance(request, context)

    def _wait_for_state(
        self,
        instance_id: str,
        predicate: Callable[[OrchestrationInstance], bool],
        timeout: float | None,
    ) -> OrchestrationInstance | None:
        # A call without a deadline brings None, which would be 30 s (and lose a sub-orchestration
        # that takes longer), or more seconds than a thread can wait.
        wait = min(timeout or _LONGEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        return super()._wait_for_state(instance_id, predicate, wait)

    def _enqueue_orchestration(self, instance_id: str) -> None:
        # One that is being run is taken again when it is completed; put into the queue before, it
        # would hold up all work for a tenth of a second each time that it is looked at.
        if instance_id in self._orchestration_in_flight:
            return
        # An activity may answer after its orchestration has ended: that wakes nobody.
        instance = self._instances.get(instance_id)
        if instance is None or not self._is_terminal_status(instance.status):
            super()._enqueue_orchestration(instance_id)


class DurableBackend:
    """The engine and its gRPC service on a free port of the loopback.

    ``default_version`` is that of every instance started without one.
    """

    def __init__(self, default_version: str | None = None) -> None:
        self._backend = _Backend(default_version)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="durable")
        self._server = grpc.server(self._threads, options=GRPC_OPTIONS)
        sidecar.add_TaskHubSidecarServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self._backend, self._server
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"

    def start(self) -> None:
        """Serve until :meth:`stop`."""
        self._server.start()

    def stop(self) -> None:
        """End the service; everything it knew is gone."""
        stopped: threading.Event = self._server.stop(None)
        self._backend.stop()
        # Wakes whoever still waits for an orchestration.
        self._backend.reset()  # type: ignore[no-untyped-call]
        stopped.wait()
        self._threads.shutdown()
