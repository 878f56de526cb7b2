"""Histories as the Functions extension writes them: entity operations as events sent and raised.

The local engine writes entity operations as events of their own types; in Azure the extension
translates them to the older protocol. Here the recorded histories are translated the same way,
and replay to the same actions and outputs. Durable's own entity locks are not covered: no transfer
uses them, since the lock of a dead transfer never expires.
"""

import json
from pathlib import Path

import pytest
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

from shared.transfer.workflow.mailbox_budget import ITEM, MAILBOX
from tests.support.histories.recording import FOLDER
from tests.support.histories.replaying import HISTORIES, RecordedHistory, diverges, replay

# The SDK reads such events without a type.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

# From version 1.1 on, no entity is called.
WITH_LOCKS = [
    path
    for path in HISTORIES
    if path.stem != "unaddressed" and path.parent.name in {"histories", "1.0"}
]


def as_called(event: pb.HistoryEvent) -> pb.HistoryEvent:
    """A call as the extension writes it: an event sent to the entity."""
    call = event.entityOperationCalled
    message = {
        "op": call.operation,
        "signal": False,
        "input": call.input.value,
        "id": call.requestId,
        "parent": call.parentInstanceId.value,
    }
    return helpers.new_event_sent_event(
        event.eventId, call.targetInstanceId.value, json.dumps(message), name="op"
    )


def as_completed(event: pb.HistoryEvent) -> pb.HistoryEvent:
    """A result as the extension writes it: an event raised under the id of the call."""
    completed = event.entityOperationCompleted
    raised = json.dumps({"result": completed.output.value})
    return helpers.new_event_raised_event(completed.requestId, raised)


def legacy(recorded: RecordedHistory) -> RecordedHistory:
    """The same history in the older protocol."""
    events = []
    for event in recorded.events:
        if event.HasField("entityOperationCalled"):
            events.append(as_called(event))
        elif event.HasField("entityOperationCompleted"):
            events.append(as_completed(event))
        else:
            events.append(event)
    return RecordedHistory(recorded.instance_id, recorded.output, events)


@pytest.mark.parametrize("path", WITH_LOCKS, ids=lambda path: str(path.stem))
def test_a_history_of_the_extension_replays_without_divergence(path: Path) -> None:
    """Execution by execution, with every entity operation in the older form."""
    recorded = legacy(RecordedHistory.read(path))
    sent = [each.eventSent.instanceId for each in recorded.events if each.HasField("eventSent")]
    assert {name.split("@")[1] for name in sent if name.startswith("@")} == {ITEM, MAILBOX}
    assert diverges(recorded) is None


def test_a_failed_entity_ends_the_transfer_with_its_cleanup() -> None:
    """A failure in the older protocol is no result: the transfer fails and cleans up."""
    recorded = legacy(RecordedHistory.read(FOLDER / "large.json"))
    responses = [n for n, each in enumerate(recorded.events) if each.HasField("eventRaised")][:2]
    name = recorded.events[responses[0]].eventRaised.name
    failure = {"exceptionType": "RuntimeError", "result": json.dumps("it broke")}
    broken = helpers.new_event_raised_event(name, json.dumps(failure))
    past = recorded.events[: responses[0]]
    actions = replay(recorded, past, [broken, recorded.events[responses[1]]])
    signals = [each.sendEntityMessage.entityOperationSignaled for each in actions]
    assert [each.operation for each in signals] == ["give_back", "give_back", ""]
    assert actions[-1].scheduleTask.name == "cancel_upload_session"


def test_a_call_of_another_entity_is_noticed() -> None:
    """A history with a call of an entity that the code does not call is reported."""
    recorded = legacy(RecordedHistory.read(FOLDER / "small.json"))
    first = next(each for each in recorded.events if each.HasField("eventSent"))
    first.eventSent.instanceId = "@another@key"
    assert diverges(recorded) is not None
