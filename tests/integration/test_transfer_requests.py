"""Transfer requests: which transfers are joined, started again, or wait for another."""

import asyncio
from typing import Any, cast

import azure.durable_functions as df
import pytest

from shared.errors import BlobNotFound, InvalidRequest, MailboxNotAllowed
from shared.transfer.payloads import TransferRequest
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.start import StartResult
from shared.transfer.service.transfers import Transfer
from shared.transfer.workflow.orchestrator import predecessor_done
from tests.conftest import MakeHarness
from tests.support.harness import Harness, RecordingClient
from tests.support.in_memory.app import AlreadyExists
from tests.support.virtual_app import MAILBOX


class HubClient(RecordingClient):
    """A client of a task hub whose only transfers are those ``taken`` by faster calls."""

    def __init__(self, *taken: str) -> None:
        super().__init__()
        self.taken = taken
        self.queries = 0
        self.events: list[tuple[str, str]] = []

    async def schedule_new_orchestration(
        self, orchestrator: str, *, input: dict[str, Any], instance_id: str
    ) -> str:
        if instance_id in self.taken:
            raise AlreadyExists
        return await super().schedule_new_orchestration(
            orchestrator, input=input, instance_id=instance_id
        )

    async def raise_orchestration_event(self, instance_id: str, name: str) -> None:
        self.events.append((instance_id, name))

    async def get_all_orchestration_states(self, _: object) -> list[object]:
        self.queries += 1
        return []


def request(
    harness: Harness, client: HubClient, attempt_key: str = "", **body: object
) -> tuple[StartResult, ...]:
    attach = AttachRequest.read({"mailbox": MAILBOX, **body})
    durable = cast("df.DurableFunctionsClient", client)
    return asyncio.run(harness.starter.from_request(durable, attach, attempt_key))


def ids_of(placed: tuple[StartResult, ...]) -> list[str]:
    return [each.outcome.id for each in placed if isinstance(each.outcome, Transfer)]


def requests_of(client: HubClient) -> dict[str, TransferRequest]:
    """The inputs of what was started, by blob."""
    found = [TransferRequest.from_json(payload) for _, payload in client.started]
    return {each.blob: each for each in found}


def test_a_mailbox_that_is_not_allowed_reveals_nothing(make_harness: MakeHarness) -> None:
    """Whether or not there is such a blob: refused before anything is read."""
    harness = make_harness(allowed_mailboxes="*@fabrikam.com")
    harness.put("there", b"x")
    for blob in ("there", "missing"):
        client = HubClient()
        with pytest.raises(MailboxNotAllowed):
            request(harness, client, blob=blob, messageId="M")
        assert (client.started, client.queries) == ([], 0)


def test_the_same_content_and_item_have_the_same_id_from_every_trigger(
    make_harness: MakeHarness,
) -> None:
    """Keys, events and the mailbox's case make no second transfer; only force does."""
    harness = make_harness()
    harness.put("a", b"x", mailbox=MAILBOX.upper(), messageid="M")
    own, _ = harness.start("a")
    for key in ("", "key", "another"):
        assert ids_of(request(harness, HubClient(), key, blob="a", messageId="M")) == [own]
        body: dict[str, Any] = {"blob": "a", "messageId": "M", "mailbox": MAILBOX.title()}
        assert ids_of(request(harness, HubClient(), key, **body)) == [own]
    forced: dict[str, Any] = {"blob": "a", "messageId": "M", "force": True}
    keyed = {ids_of(request(harness, HubClient(), "key", **forced))[0] for _ in range(2)}
    without = {ids_of(request(harness, HubClient(), "", **forced))[0] for _ in range(2)}
    assert (len(keyed), len(without)) == (1, 2)
    assert own not in keyed | without


def test_the_blobs_metadata_completes_a_request(make_harness: MakeHarness) -> None:
    """File name and content id, also without an item; values of the request have priority."""
    harness, client = make_harness(), HubClient()
    harness.put("x.tmp", b"x", filename="Report.pdf", contentid="logo")
    request(harness, client, blob="x.tmp", messageId="M")
    started = requests_of(client)["x.tmp"]
    assert (started.file_name, started.content_id) == ("Report.pdf", "logo")
    plain = HubClient()
    request(harness, plain, blob="x.tmp", messageId="M", isInline=False, fileName="a.pdf")
    started = requests_of(plain)["x.tmp"]
    assert (started.file_name, started.content_id) == ("a.pdf", None)


def test_odd_spaces_are_part_of_a_name(make_harness: MakeHarness) -> None:
    """Screenshots of some operating systems have them."""
    harness, client = make_harness(), HubClient()
    name = "Screenshot 10.00\u202fAM\u00a01.png"
    harness.put(name, b"x")
    (placed,) = request(harness, client, blob=name, messageId="M")
    assert placed.error is None


def test_an_attached_one_in_the_middle_is_skipped(make_harness: MakeHarness) -> None:
    """The next one follows the one before it."""
    harness, client = make_harness(), HubClient()
    item = harness.emulator.add_item(MAILBOX, "message")
    for name in ("x", "y", "z"):
        harness.put(name, name.encode())
    harness.put("y", b"y", mailbox=MAILBOX, messageid=item)
    assert harness.transfer("y").state == "attached"
    x, y, z = ids_of(request(harness, client, blobs=["x", "y", "z"], messageId=item))
    started = requests_of(client)
    assert set(started) == {"x", "z"}
    assert (started["z"].follows, started["x"].next) == (x, (z,))
    assert y not in (x, z)


def test_several_blobs_follow_each_other(make_harness: MakeHarness) -> None:
    """Each but the first waits for the one before; those that wait are started first."""
    harness, client = make_harness(), HubClient()
    for name in ("a", "b", "c"):
        harness.put(name, b"x")
    placed = request(harness, client, blobs=["c", "missing", "a", "b"], eventId="E")
    assert [each.blob for each in placed] == ["c", "missing", "a", "b"]
    assert isinstance(placed[1].error, BlobNotFound)
    started = requests_of(client)
    ids = {each.blob: each.outcome.id for each in placed if isinstance(each.outcome, Transfer)}
    assert [started[name].follows for name in ("c", "a", "b")] == [None, ids["c"], ids["a"]]
    assert [started[name].next for name in ("c", "a", "b")] == [(ids["a"],), (ids["b"],), ()]
    assert [TransferRequest.from_json(payload).blob for _, payload in client.started] == [
        "b",
        "a",
        "c",
    ]


def test_the_same_blob_twice_is_one_transfer(make_harness: MakeHarness) -> None:
    """It waits only for those before it."""
    harness, client = make_harness(), HubClient()
    harness.put("a", b"x")
    placed = request(harness, client, blobs=["a", "a"], eventId="E")
    assert len({each.outcome.id for each in placed if isinstance(each.outcome, Transfer)}) == 1
    assert len(client.started) == 1
    assert requests_of(client)["a"].follows is None


def test_a_follower_of_a_faster_calls_transfer_is_released_at_once(
    make_harness: MakeHarness,
) -> None:
    """That transfer does not have it as a follower, and would not release it."""
    harness = make_harness()
    for name in ("a", "b"):
        harness.put(name, b"x")
    first = request(harness, HubClient(), blobs=["a", "b"], eventId="E")
    a, b = (each.outcome.id for each in first if isinstance(each.outcome, Transfer))
    client = HubClient(a)
    request(harness, client, blobs=["a", "b"], eventId="E")
    assert client.events == [(b, predecessor_done(a))]


@pytest.mark.parametrize("released", [True, False])
def test_a_follower_begins_when_it_is_released_or_after_a_day(
    make_harness: MakeHarness, *, released: bool
) -> None:
    """The event of the one before it may never come."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("a", b"x", mailbox=MAILBOX, messageid=item)
    id_, payload = harness.start("a")
    engine = harness.start_engine(id_, payload | {"follows": "first"})
    assert engine.next_activity is None
    engine.raise_event(predecessor_done("another"))
    assert engine.next_activity is None
    if released:
        engine.raise_event(predecessor_done("first"))
    assert engine.run()["state"] == "attached"
    assert sum(wait for wait in engine.waits if wait > 1) == (0 if released else 86_400)


def test_a_follower_can_be_cancelled_while_it_waits(make_harness: MakeHarness) -> None:
    """Nothing is sent, and the record says so."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("a", b"x", mailbox=MAILBOX, messageid=item)
    id_, payload = harness.start("a")
    engine = harness.start_engine(id_, payload | {"follows": "first"})
    engine.raise_event("cancel")
    assert engine.run()["state"] == "cancelled"
    assert harness.metadata("a")["attachmentstatus"] == "cancelled"
    assert not harness.emulator.requests


@pytest.mark.parametrize("end", ["attached", "failed", "cancelled"])
def test_the_next_is_released_after_any_outcome(make_harness: MakeHarness, end: str) -> None:
    """A failed or cancelled transfer does not stop its followers."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message") if end != "failed" else "missing"
    harness.put("a", b"x", mailbox=MAILBOX, messageid=item)
    harness.put("b", b"y", mailbox=MAILBOX, messageid=harness.emulator.add_item(MAILBOX, "event"))
    second_id, second = harness.start("b")
    first_id, first = harness.start("a")
    following = harness.start_engine(second_id, second | {"follows": first_id})
    leading = harness.start_engine(first_id, first | {"next": [second_id]})
    if end == "cancelled":
        leading.raise_event("cancel")
    assert leading.run()["state"] == end
    following.advance()
    assert following.next_activity == "inspect_blob"


def test_a_follower_of_a_cancelled_one_waits_for_those_before_it(make_harness: MakeHarness) -> None:
    """The second of three is cancelled while it waits: the third still waits for the first."""
    harness = make_harness()
    for name in ("a", "b", "c"):
        item = harness.emulator.add_item(MAILBOX, "message")
        harness.put(name, b"x", mailbox=MAILBOX, messageid=item)
    (a, first), (b, second), (c, third) = (harness.start(name) for name in ("a", "b", "c"))
    last = harness.start_engine(c, third | {"follows": b})
    middle = harness.start_engine(b, second | {"follows": a, "next": [c]})
    leading = harness.start_engine(a, first | {"next": [b]})
    middle.raise_event("cancel")
    while middle.is_active:
        middle.advance()
    assert middle.statuses[-1]["state"] == "cancelled"
    assert last.next_activity is None
    leading.run()
    middle.run()
    last.advance()
    assert last.next_activity == "inspect_blob"


@pytest.mark.parametrize("body", [{}, {"blob": "a", "blobs": ["b"]}, {"blob": "a", "x": 1}, []])
def test_a_bad_request_names_every_fault(body: object) -> None:
    """For events and calls alike."""
    with pytest.raises(InvalidRequest) as refused:
        AttachRequest.read(body)
    assert refused.value.details
