"""The locks of a transfer on its item and its mailbox, over the real entities and engine."""

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from durabletask.task import OrchestrationContext

from shared.outlook.item import OutlookItem
from shared.settings import Settings
from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.workflow.entity_locks import EntityLocks
from shared.transfer.workflow.locks import WAKE
from shared.transfer.workflow.mailbox_budget import ITEM, lock_entities
from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.virtual_engine import VirtualEngine

ADDRESS = "a@contoso.com"
# Bytes: the window of a mailbox has a hundred parts.
PART = 40_000


def operate(
    ctx: OrchestrationContext, payload: dict[str, Any]
) -> Generator[Any, Any, dict[str, list[float]]]:
    """Do these operations on the locks of an item; what was returned."""
    locks = EntityLocks(ctx, OutlookItem(payload["mailbox"], "message", payload["item"]))
    returned: list[float] = []
    for operation, *values in payload["operations"]:
        match operation:
            case "acquire":
                returned.append((yield from locks.acquire(values[0] * PART)))
            case "waited":
                returned.append(locks.waited)
            case "used":
                sent, retry_after = values[0] * PART, values[1] or None
                locks.note(ActivityResult(outcome="progress", sent=sent, retry_after=retry_after))
            case "release":
                yield from locks.release()
            case "pause":
                yield ctx.create_timer(timedelta(seconds=values[0]))
    return {"returned": returned}


class Transfers:
    """Transfers that do operations on locks, each to its end or to a pause of its own."""

    def __init__(self, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.engines: dict[str, VirtualEngine] = {}
        values = {"mailbox_concurrency": 2, "mailbox_window_bytes": 100 * PART} | settings
        entities = lock_entities(Settings.model_validate(values), self.clock)
        self.entities = VirtualEntities(entities)

    def begin(
        self, id_: str, *operations: tuple[Any, ...], item: str = "M", mailbox: str = ADDRESS
    ) -> VirtualEngine:
        """Start a transfer; it runs to its first pause."""
        payload = {"mailbox": mailbox, "item": item, "operations": operations}
        parts: Any = ({}, self.entities, self.engines)
        self.engines[id_] = VirtualEngine(self.clock, operate, id_, payload, *parts)
        return self.engines[id_]

    def run(self, id_: str, *operations: tuple[Any, ...], **address: str) -> list[float]:
        """Start a transfer and run it to its end; what its operations returned."""
        return list(self.begin(id_, *operations, **address).run()["returned"])

    def kept(self, id_: str) -> list[str]:
        """The entities that hold or queue the transfer."""
        states = self.entities.states.items()
        return sorted(name.split("@")[1] for name, state in states if f'"{id_}"' in state)


ACQUIRE = ("acquire", 0)


def test_the_mailbox_is_free_for_others_while_a_transfer_waits_for_its_item() -> None:
    """Of two slots, one is used; whoever waits for an item keeps no slot of the mailbox."""
    transfers = Transfers()
    assert transfers.run("first", ACQUIRE) == [0]
    assert transfers.run("second", ACQUIRE) == [5]
    assert transfers.run("third", ACQUIRE, item="N") == [0]


def test_an_item_is_kept_while_the_mailbox_is_waited_for() -> None:
    """Its queue would not be shorter without it."""
    transfers = Transfers(mailbox_concurrency=1)
    assert transfers.run("first", ACQUIRE) == [0]
    assert transfers.run("second", ACQUIRE, item="N") == [5]
    assert transfers.kept("second") == [ITEM, "mailbox_budget"]
    assert transfers.run("third", ACQUIRE, item="N", mailbox="alias@contoso.com") == [5]


def test_a_mailbox_is_one_in_any_case_of_its_address() -> None:
    """An item is known by its id alone, since a mailbox can have several addresses."""
    transfers = Transfers(mailbox_concurrency=1)
    assert transfers.run("first", ACQUIRE) == [0]
    assert transfers.run("second", ACQUIRE, item="N", mailbox=ADDRESS.upper()) == [5]
    assert transfers.run("third", ACQUIRE, mailbox="alias@contoso.com") == [5]
    assert transfers.run("fourth", ACQUIRE, item="O", mailbox="alias@contoso.com") == [0]


@pytest.mark.parametrize("then", ["release", "acquire"])
def test_the_mailbox_learns_what_was_used(then: str) -> None:
    """By a release or by the next request: the bytes and the Retry-After, each once."""
    transfers = Transfers()
    used = ("used", 60, 7.0)
    after = ("release",) if then == "release" else ("acquire", 0)
    transfers.run("first", ("acquire", 100), used, after, ("release",))
    assert transfers.run("second", ("acquire", 0), ("release",), item="N") == [7]
    transfers.clock.advance(7)
    assert transfers.run("third", ("acquire", 41), ("release",), item="O") == [293]
    assert transfers.run("fourth", ("acquire", 40), item="P") == [0]


def test_what_was_used_counts_once() -> None:
    """Not again at the end of the next lock."""
    transfers = Transfers()
    operations = [("acquire", 60), ("used", 60, 0.0), ("acquire", 40), ("release",)]
    assert transfers.run("first", *operations) == [0, 0]
    assert transfers.run("second", ("acquire", 40), item="N") == [0]


def test_a_release_ends_locks_and_waits() -> None:
    """A second one has nothing to end: nothing is sent."""
    transfers = Transfers()
    transfers.run("first", ACQUIRE)
    engine = transfers.begin("second", ACQUIRE, ("release",), ("release",))
    engine.run()
    assert transfers.kept("second") == []
    assert transfers.kept("first") == [ITEM, "mailbox_budget"]
    signals = [each for each in engine.history if each.HasField("entityOperationSignaled")]
    assert [each.entityOperationSignaled.operation for each in signals] == ["give_back"] * 2


def test_a_release_before_any_request_sends_nothing() -> None:
    """The entities do not know the transfer."""
    engine = Transfers().begin("first", ("release",))
    engine.run()
    kinds = [each.WhichOneof("eventType") for each in engine.history]
    assert not [kind for kind in kinds if kind and kind.startswith("entity")]


@pytest.mark.parametrize("item", ["M", "N"], ids=["item", "mailbox"])
def test_a_release_wakes_the_transfers_that_can_go_on(item: str) -> None:
    """Those that wait for the item, and those that wait for the mailbox."""
    transfers = Transfers(mailbox_concurrency=1)
    first = transfers.begin("first", ACQUIRE, ("pause", 1), ACQUIRE, ("pause", 1), ("release",))
    second = transfers.begin("second", ACQUIRE, ("pause", 99), item=item)
    first.advance()
    assert not second.is_active
    first.advance()
    sent = [each.eventSent for each in first.history if each.HasField("eventSent")]
    assert [(each.instanceId, each.name) for each in sent] == [("second", WAKE)]
    assert second.is_active


def test_the_wait_for_the_locks_is_measured() -> None:
    """From the first request that was not granted to the grant."""
    transfers = Transfers()
    first = transfers.begin("first", ACQUIRE, ("pause", 30), ("release",))
    operations = [ACQUIRE, ("waited",), ("pause", 12), ACQUIRE, ("waited",)]
    more = [("pause", 20), ACQUIRE, ("waited",), ACQUIRE, ("waited",)]
    second = transfers.begin("second", *operations, *more)
    second.advance()
    first.run()
    returned = second.run()["returned"]
    assert [returned[n] for n in (1, 3, 5, 7)] == [0, 12, 32, 0]


def test_the_first_transfer_is_the_first_in_the_queue() -> None:
    """Of those that wait, whichever requests its locks at last."""
    transfers = Transfers(mailbox_concurrency=1)
    transfers.begin("holder", ACQUIRE, ("pause", 1), ("release",), item="X")
    transfers.begin("old", ("pause", 50), ACQUIRE, item="M")
    transfers.clock.advance(1)
    transfers.begin("young", ACQUIRE, item="N")
    state = next(s for name, s in transfers.entities.states.items() if "mailbox" in name)
    assert [each["transfer_id"] for each in json.loads(state)["line"]] == ["young"]
    transfers.engines["old"].run()
    state = next(s for name, s in transfers.entities.states.items() if "mailbox" in name)
    assert [each["transfer_id"] for each in json.loads(state)["line"]] == ["old", "young"]


def test_a_request_says_when_the_transfer_began() -> None:
    """In UTC, and the same in every request."""
    engine = Transfers().begin("first", ("pause", 9), ACQUIRE)
    engine.run()
    calls = [e.entityOperationCalled for e in engine.history if e.HasField("entityOperationCalled")]
    since = {json.loads(each.input.value)["since"] for each in calls}
    assert since == {"2026-11-22T10:00:00Z"}
