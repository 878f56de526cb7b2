"""The engine's journal: what was started and has not ended is started again by the next engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as sidecar
from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]

from infra.local.functions_host.durable.backend import DurableBackend
from infra.local.functions_host.errors import JournalError

_SECONDS = 20.0


@contextmanager
def engine(journal: Path) -> Iterator[tuple[DurableBackend, sidecar.TaskHubSidecarServiceStub]]:
    """An engine with this journal, and its client."""
    backend = DurableBackend(journal=journal)
    backend.start()
    with grpc.insecure_channel(backend.address) as channel:
        yield backend, sidecar.TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]
    backend.stop()


def instance(id_: str, text: str = "1") -> pb.CreateInstanceRequest:
    return pb.CreateInstanceRequest(instanceId=id_, name="o", input=StringValue(value=text))


def first_work(client: sidecar.TaskHubSidecarServiceStub) -> pb.WorkItem:
    work = client.GetWorkItems(pb.GetWorkItemsRequest(), timeout=_SECONDS)
    item = next(work)
    work.cancel()
    assert isinstance(item, pb.WorkItem)
    return item


def test_an_instance_under_way_is_started_again_with_its_events(tmp_path: Path) -> None:
    """The same id, name and input, and the events that it has received."""
    with engine(tmp_path / "journal") as (backend, client):
        client.StartInstance(instance("a", '{"blob": "x"}'))
        client.RaiseEvent(
            pb.RaiseEventRequest(instanceId="a", name="go", input=StringValue(value="7"))
        )
        assert backend.started_again == []
    with engine(tmp_path / "journal") as (backend, client):
        request = first_work(client).orchestratorRequest
        assert [each.instanceId for each in backend.started_again] == ["a"]
    started, raised = [
        each for each in request.newEvents if each.WhichOneof("eventType") != "orchestratorStarted"
    ]
    assert request.instanceId == "a"
    assert started.executionStarted.name == "o"
    assert started.executionStarted.input.value == '{"blob": "x"}'
    assert (raised.eventRaised.name, raised.eventRaised.input.value) == ("go", "7")


def test_an_instance_that_ended_is_not_started_again(tmp_path: Path) -> None:
    """Nor counted as under way."""
    with engine(tmp_path / "journal") as (backend, client):
        client.StartInstance(instance("a"))
        assert [each.instanceId for each in backend.under_way()] == ["a"]
        item = first_work(client)
        end = pb.CompleteOrchestrationAction(orchestrationStatus=pb.ORCHESTRATION_STATUS_COMPLETED)
        client.CompleteOrchestratorTask(
            pb.OrchestratorResponse(
                instanceId="a",
                completionToken=item.completionToken,
                actions=[pb.OrchestratorAction(id=1, completeOrchestration=end)],
            )
        )
        assert backend.under_way() == []
    with engine(tmp_path / "journal") as (backend, _):
        assert backend.started_again == []


def test_a_refused_start_changes_nothing(tmp_path: Path) -> None:
    """The first input stays."""
    with engine(tmp_path / "journal") as (backend, client):
        client.StartInstance(instance("a", "first"))
        with pytest.raises(grpc.RpcError):
            client.StartInstance(instance("a", "second"))
        assert [each.input.value for each in backend.under_way()] == ["first"]


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """By name."""
    (tmp_path / "journal").write_text("no database, but a text that is long enough to be one" * 9)
    with pytest.raises(JournalError, match="journal"):
        DurableBackend(journal=tmp_path / "journal")
