"""Orchestrations, activities and entities in the local Functions host."""

import json
import os
import signal
from typing import Any

import grpc
import pytest
from durabletask.client import OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub

from tests.support.host_app import HostApp, wait_until


def test_activities_of_an_orchestration_return_results(host_app: HostApp) -> None:
    """Ten activities get numbers and return numbers, by the names of their bindings."""
    state = host_app.end_of(host_app.start("add_up", list(range(10))))

    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert state.serialized_output == "90"


def test_failed_activity_is_an_exception_in_its_orchestrator(host_app: HostApp) -> None:
    """The orchestrator gets the message of the activity's exception."""
    state = host_app.end_of(host_app.start("survive", "out of paper"))

    assert "out of paper" in json.loads(state.serialized_output or "")


def test_failure_without_a_message_is_still_a_failure(host_app: HostApp) -> None:
    """An exception without a message is reported by its type."""
    state = host_app.end_of(host_app.start("survive", ""))

    assert "ValueError" in json.loads(state.serialized_output or "")


def test_durable_timer_wakes_its_orchestration(host_app: HostApp) -> None:
    """An orchestration goes on after its timer."""
    state = host_app.end_of(host_app.start("nap"))

    assert state.serialized_output == '"rested"'


def test_entity_lock_is_held_by_one_orchestration_at_a_time(host_app: HostApp) -> None:
    """Five orchestrations that read and write one counter lose no count."""
    started = [host_app.start("count_with_lock") for _ in range(5)]

    counts = {json.loads(host_app.end_of(each).serialized_output or "") for each in started}

    assert counts == {1, 2, 3, 4, 5}


def test_external_event_reaches_its_orchestration(host_app: HostApp) -> None:
    """A payload of 200 KB arrives whole."""
    word = "word" * 50_000
    instance = host_app.start("wait_for_word")

    host_app.engine.raise_orchestration_event(instance, "word", data=word)

    assert json.loads(host_app.end_of(instance).serialized_output or "") == word


def test_unknown_orchestrator_is_a_failed_instance(host_app: HostApp) -> None:
    """An orchestration without a function fails, and the failure names it."""
    state = host_app.end_of(host_app.start("nowhere"))

    assert state.runtime_status is OrchestrationStatus.FAILED
    assert state.failure_details is not None
    assert "'nowhere'" in state.failure_details.message


def test_orchestrator_that_raises_is_a_failed_instance_and_a_line_in_the_log(
    host_app: HostApp, caplog: pytest.LogCaptureFixture
) -> None:
    """An orchestrator's failure is in the instance's state and in the log."""
    state = host_app.end_of(host_app.start("stumble"))

    assert state.runtime_status is OrchestrationStatus.FAILED
    assert "(stumble) failed: builtins.KeyError: 'no such step'" in caplog.text


def test_waiting_for_an_orchestration_needs_no_deadline(host_app: HostApp) -> None:
    """A client can wait without a timeout, which the backend alone does not support."""
    request = pb.GetInstanceRequest(instanceId=host_app.start("nap"))

    with grpc.insecure_channel(host_app.host.durable_address) as channel:
        stub: Any = TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = stub.WaitForInstanceCompletion(request)

    assert answer.orchestrationState.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED


def test_killed_worker_has_its_activity_delivered_again(host_app: HostApp) -> None:
    """An activity runs again after its worker died, and the orchestration completes."""
    instance = host_app.start("slow_work")
    wait_until(lambda: len(host_app.noted("announced")) == 1)
    killed = host_app.host.worker_pid

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(host_app.noted("announced")) == 2)
    (host_app.notes / "go").touch()
    finished_by = json.loads(host_app.end_of(instance).serialized_output or "")

    assert host_app.noted("announced") == [str(killed), str(finished_by)]
    assert host_app.host.worker_pid == finished_by
    assert host_app.pids[-2:] == [killed, finished_by]
