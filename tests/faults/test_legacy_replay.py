"""The Functions extension's own shape of histories: entities as events sent and raised.

The engine that runs locally keeps an entity's operations under their own names; in Azure the
extension translates them to the older protocol. The kept histories are translated likewise here,
and replay to the same actions and ends. Entity locks have a shape of their own there, too, which
no transfer uses: a lock of a dead transfer never runs out.
"""

import json
from pathlib import Path

import pytest
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

from shared.transfer.workflow.mailbox_budget import ITEM, MAILBOX
from tests.faults.record_histories import FOLDER
from tests.faults.test_replay import HISTORIES, Kept, diverges, replay

# The library itself reads such events without a type.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads:DeprecationWarning")

WITH_TURNS = [path for path in HISTORIES if path.stem != "unaddressed"]


def as_called(event: pb.HistoryEvent) -> pb.HistoryEvent:
    """A call as the extension keeps it: an event sent to the entity."""
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


def as_answered(event: pb.HistoryEvent) -> pb.HistoryEvent:
    """An answer as the extension keeps it: an event raised under the call's own id."""
    answer = event.entityOperationCompleted
    raised = json.dumps({"result": answer.output.value})
    return helpers.new_event_raised_event(answer.requestId, raised)


def legacy(kept: Kept) -> Kept:
    """The same history in the older protocol."""
    events = []
    for event in kept.events:
        if event.HasField("entityOperationCalled"):
            events.append(as_called(event))
        elif event.HasField("entityOperationCompleted"):
            events.append(as_answered(event))
        else:
            events.append(event)
    return Kept(kept.instance_id, kept.output, events)


@pytest.mark.parametrize("path", WITH_TURNS, ids=lambda path: str(path.stem))
def test_a_history_of_the_extension_replays_without_divergence(path: Path) -> None:
    """Turn by turn, with every call of an entity in the older shape."""
    kept = legacy(Kept.read(path))
    sent = [each.eventSent.instanceId for each in kept.events if each.HasField("eventSent")]
    assert {name.split("@")[1] for name in sent if name.startswith("@")} == {ITEM, MAILBOX}
    assert diverges(kept) is None


def test_a_failed_entity_ends_the_transfer_with_its_cleanup() -> None:
    """The older protocol's failure: told apart from an answer, cleaned up after, and not lost."""
    kept = legacy(Kept.read(FOLDER / "large.json"))
    answered = [n for n, each in enumerate(kept.events) if each.HasField("eventRaised")][:2]
    name = kept.events[answered[0]].eventRaised.name
    failure = {"exceptionType": "RuntimeError", "result": json.dumps("it broke")}
    broken = helpers.new_event_raised_event(name, json.dumps(failure))
    past = kept.events[: answered[0]]
    actions = replay(kept, past, [broken, kept.events[answered[1]]])
    signals = [each.sendEntityMessage.entityOperationSignaled for each in actions]
    assert [each.operation for each in signals] == ["give_back", "give_back", ""]
    assert actions[-1].scheduleTask.name == "cancel_upload_session"


def test_a_call_of_another_entity_is_noticed() -> None:
    """A history that called an entity which the code does not call turns this suite red."""
    kept = legacy(Kept.read(FOLDER / "small.json"))
    first = next(each for each in kept.events if each.HasField("eventSent"))
    first.eventSent.instanceId = "@another@key"
    assert diverges(kept) is not None
