"""The engine of the local stack: work is signalled when it is there, not found by polling."""

import threading
from collections.abc import Iterator

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as sidecar

from infra.local.functions_host.durable.backend import DurableBackend

_SECONDS = 20.0


class _Signal(threading.Event):
    """An event whose waiters do not time out soon."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return super().wait(_SECONDS)


@pytest.fixture
def engine() -> Iterator[sidecar.TaskHubSidecarServiceStub]:
    backend = DurableBackend()
    backend._backend._work_available = _Signal()
    backend.start()
    with grpc.insecure_channel(backend.address) as channel:
        yield sidecar.TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]
        backend._backend._shutdown_event.set()
        backend._backend._work_available.set()
    backend.stop()


def test_running_orchestration_does_not_delay_the_others(
    engine: sidecar.TaskHubSidecarServiceStub,
) -> None:
    """An event for a running orchestration, and then another orchestration."""
    work = engine.GetWorkItems(pb.GetWorkItemsRequest(), timeout=_SECONDS / 2)
    engine.StartInstance(pb.CreateInstanceRequest(instanceId="a", name="o"))
    running = next(work)
    assert running.orchestratorRequest.instanceId == "a"
    engine.RaiseEvent(pb.RaiseEventRequest(instanceId="a", name="come"))
    engine.StartInstance(pb.CreateInstanceRequest(instanceId="b", name="o"))
    assert next(work).orchestratorRequest.instanceId == "b"
    done = pb.OrchestratorResponse(instanceId="a", completionToken=running.completionToken)
    engine.CompleteOrchestratorTask(done)
    again = next(work).orchestratorRequest
    assert again.instanceId == "a"
    assert [each.WhichOneof("eventType") for each in again.newEvents] == [
        "orchestratorStarted",
        "eventRaised",
    ]
    work.cancel()
