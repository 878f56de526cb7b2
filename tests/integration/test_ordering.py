"""Orders: who is joined, who is started anew, who waits for whom."""

import asyncio
from typing import Any, cast

import azure.durable_functions as df
import pytest

from shared.errors import BlobNotFound, InvalidRequest, MailboxNotAllowed
from shared.transfer.orchestrator import GO
from shared.transfer.orders import AttachOrder
from shared.transfer.payloads import TransferRequest
from shared.transfer.starting import Placed
from shared.transfer.watching import Transfer
from tests.conftest import MakeHarness
from tests.faults.hub import AlreadyExists
from tests.harness import MAILBOX, Harness, StartingClient


class Knowing(StartingClient):
    """A client whose task hub knows no transfer yet, but has those ``taken`` by faster calls."""

    def __init__(self, *taken: str) -> None:
        super().__init__()
        self.taken = taken
        self.asked = 0
        self.told: list[tuple[str, str]] = []

    async def schedule_new_orchestration(
        self, orchestrator: str, *, input: dict[str, Any], instance_id: str
    ) -> str:
        if instance_id in self.taken:
            raise AlreadyExists
        return await super().schedule_new_orchestration(
            orchestrator, input=input, instance_id=instance_id
        )

    async def raise_orchestration_event(self, instance_id: str, name: str) -> None:
        self.told.append((instance_id, name))

    async def get_all_orchestration_states(self, _: object) -> list[object]:
        self.asked += 1
        return []


def ordered(harness: Harness, client: Knowing, **body: object) -> tuple[Placed, ...]:
    order = AttachOrder.read({"mailbox": MAILBOX, **body})
    durable = cast("df.DurableFunctionsClient", client)
    return asyncio.run(harness.starter.ordered(durable, order))


def requests_of(client: Knowing) -> dict[str, TransferRequest]:
    """What was started, by blob."""
    found = [TransferRequest.from_json(payload) for _, payload in client.started]
    return {each.blob: each for each in found}


def test_a_mailbox_that_is_not_allowed_reveals_nothing(make_harness: MakeHarness) -> None:
    """Whether or not there is such a blob: refused before anything is looked at."""
    harness = make_harness(allowed_mailboxes="*@fabrikam.com")
    harness.put("there", b"x")
    for blob in ("there", "missing"):
        client = Knowing()
        with pytest.raises(MailboxNotAllowed):
            ordered(harness, client, blob=blob, messageId="M")
        assert (client.started, client.asked) == ([], 0)


def test_several_follow_each_other(make_harness: MakeHarness) -> None:
    """Each but the first waits for the one before; whoever waits is started first."""
    harness, client = make_harness(), Knowing()
    for name in ("a", "b", "c"):
        harness.put(name, b"x")
    placed = ordered(harness, client, blobs=["c", "missing", "a", "b"], eventId="E")
    assert [each.blob for each in placed] == ["c", "missing", "a", "b"]
    assert isinstance(placed[1].error, BlobNotFound)
    started = requests_of(client)
    assert [started[name].follows for name in ("c", "a", "b")] == [False, True, True]
    ids = {each.blob: each.outcome.id for each in placed if isinstance(each.outcome, Transfer)}
    assert [started[name].next for name in ("c", "a", "b")] == [ids["a"], ids["b"], None]
    assert [TransferRequest.from_json(payload).blob for _, payload in client.started] == [
        "b",
        "a",
        "c",
    ]


def test_the_same_blob_twice_is_one_transfer(make_harness: MakeHarness) -> None:
    """And waits for nobody but those before it."""
    harness, client = make_harness(), Knowing()
    harness.put("a", b"x")
    placed = ordered(harness, client, blobs=["a", "a"], eventId="E")
    assert len({each.outcome.id for each in placed if isinstance(each.outcome, Transfer)}) == 1
    assert len(client.started) == 1
    assert not requests_of(client)["a"].follows


def test_who_follows_a_transfer_of_a_faster_call_is_told_at_once(make_harness: MakeHarness) -> None:
    """That transfer knows nothing of it, and would leave it waiting."""
    harness = make_harness()
    for name in ("a", "b"):
        harness.put(name, b"x")
    first = ordered(harness, Knowing(), blobs=["a", "b"], eventId="E")
    a, b = (each.outcome.id for each in first if isinstance(each.outcome, Transfer))
    client = Knowing(a)
    ordered(harness, client, blobs=["a", "b"], eventId="E")
    assert client.told == [(b, GO)]


@pytest.mark.parametrize("told", [True, False])
def test_one_that_follows_begins_when_it_is_told_or_after_a_day(
    make_harness: MakeHarness, *, told: bool
) -> None:
    """Nothing may ever be heard of the one before it."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("a", b"x", mailbox=MAILBOX, messageid=item)
    id_, payload = harness.start("a")
    engine = harness.engine(id_, payload | {"follows": True})
    assert engine.next_activity is None
    if told:
        engine.raise_event(GO)
    assert engine.run()["state"] == "attached"
    assert [wait for wait in engine.waits if wait > 1] == ([] if told else [86_400.0])


def test_one_that_follows_can_be_cancelled_while_it_waits(make_harness: MakeHarness) -> None:
    """Nothing is sent, and the record says so."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("a", b"x", mailbox=MAILBOX, messageid=item)
    id_, payload = harness.start("a")
    engine = harness.engine(id_, payload | {"follows": True})
    engine.raise_event("cancel")
    assert engine.run()["state"] == "cancelled"
    assert harness.metadata("a")["attachmentstatus"] == "cancelled"
    assert not harness.emulator.requests


@pytest.mark.parametrize("end", ["attached", "failed", "cancelled"])
def test_whatever_its_end_the_next_is_told(make_harness: MakeHarness, end: str) -> None:
    """One that fails or is cancelled stops none that follows."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message") if end != "failed" else "missing"
    harness.put("a", b"x", mailbox=MAILBOX, messageid=item)
    harness.put("b", b"y", mailbox=MAILBOX, messageid=harness.emulator.add_item(MAILBOX, "event"))
    second_id, second = harness.start("b")
    following = harness.engine(second_id, second | {"follows": True})
    first_id, first = harness.start("a")
    leading = harness.engine(first_id, first | {"next": second_id})
    if end == "cancelled":
        leading.raise_event("cancel")
    assert leading.run()["state"] == end
    following.advance()
    assert following.next_activity == "inspect_blob"


@pytest.mark.parametrize("body", [{}, {"blob": "a", "blobs": ["b"]}, {"blob": "a", "x": 1}, []])
def test_a_bad_order_names_every_fault(body: object) -> None:
    """As events and calls alike are told."""
    with pytest.raises(InvalidRequest) as refused:
        AttachOrder.read(body)
    assert refused.value.details
