"""Messages that were sent, or received: the app changes none of them."""

from collections import Counter

import pytest

from infra.local.outlook import Fault, Misbehaviour, alterations, catalogue
from tests.conftest import MakeHarness
from tests.support.harness import Harness
from tests.support.virtual_app import MAILBOX

R = 1_000_000
SIZES = [5, 4 * R]


def put(harness: Harness, size: int, kind: str = "messageid") -> str:
    """Upload a blob of so many bytes for a new item; the item."""
    item = harness.emulator.add_item(MAILBOX, "message" if kind == "messageid" else "event")
    harness.put("a.pdf", b"x" * size, mailbox=MAILBOX, **{kind: item})
    return item


@pytest.mark.parametrize("size", SIZES)
def test_a_message_that_was_sent_is_refused(make_harness: MakeHarness, size: int) -> None:
    """Before anything is attached; the record says what to change."""
    harness = make_harness(range_bytes=R)
    harness.emulator.send_item(MAILBOX, put(harness, size))
    status = harness.transfer("a.pdf")
    assert status.error is not None
    assert (status.state, status.error.code) == ("failed", "NotADraft")
    assert "is not a draft" in harness.metadata("a.pdf")["attachmenterror"]
    assert {each.kind for each in harness.emulator.requests} == {"token", "list", "get_item"}
    assert not harness.open_entries()


@pytest.mark.parametrize("size", SIZES)
def test_a_message_that_is_sent_midway_does_not_get_the_rest(
    make_harness: MakeHarness, size: int
) -> None:
    """After any activity: it has the whole file, or the transfer says why not."""
    ends = Counter[str]()
    for activities in range(1, 12):
        harness = make_harness(range_bytes=R, ranges_per_activity=1)
        item = put(harness, size)
        engine = harness.begin("a.pdf")
        while len(engine.performed) < activities and not engine.is_over:
            engine.advance()
        harness.emulator.send_item(MAILBOX, item)
        ended = engine.run()
        attached = [each.content_bytes for each in harness.emulator.attachments(MAILBOX, item)]
        assert attached == ([size] if ended["state"] == "attached" else [])
        assert not harness.emulator.open_sessions()
        ends[ended["state"] if not ended.get("error") else ended["error"]["code"]] += 1
    assert set(ends) == {"attached", "NotADraft"}


def test_a_session_that_is_gone_because_the_message_was_sent(make_harness: MakeHarness) -> None:
    """The next attempt finds out why."""
    harness = make_harness(range_bytes=R)
    item = put(harness, 4 * R)
    engine = harness.begin("a.pdf")
    while engine.performed[-1:] != ["create_upload_session"]:
        engine.advance()
    harness.emulator.send_item(MAILBOX, item)
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.session_gone(404), kind="range"))
    assert engine.run()["error"]["code"] == "NotADraft"
    assert harness.emulator.attachments(MAILBOX, item) == []


def test_a_file_that_a_lost_answer_hid_is_found_in_the_sent_message(
    make_harness: MakeHarness,
) -> None:
    """It went out with the message: that is the truth."""
    harness = make_harness()
    item = put(harness, 5)
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.lost_answer(), kind="small_post"))
    engine = harness.begin("a.pdf")
    while engine.performed[-1:] != ["attach_small_file"]:
        engine.advance()
    harness.emulator.send_item(MAILBOX, item)
    assert engine.run()["state"] == "attached"
    assert len(harness.emulator.attachments(MAILBOX, item)) == 1


def test_an_event_has_no_drafts(make_harness: MakeHarness) -> None:
    """Nothing is queried, and the file is attached."""
    harness = make_harness()
    put(harness, 5, "eventid")
    assert harness.transfer("a.pdf").state == "attached"
    assert "get_item" not in {each.kind for each in harness.emulator.requests}


@pytest.mark.parametrize("value", [None, "no", 0])
def test_a_response_that_does_not_say_stops_nothing(
    make_harness: MakeHarness, value: object
) -> None:
    """Only *false* says that the message is no draft."""
    harness = make_harness()
    put(harness, 5)
    altered = alterations.json_changed(lambda body: body | {"isDraft": value})
    odd = Misbehaviour(name="odd", alteration=altered)
    harness.emulator.faults.add(Fault(misbehaviour=odd, kind="get_item"))
    assert harness.transfer("a.pdf").state == "attached"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "misbehaviour",
    [catalogue.throttled("3"), catalogue.item_missing(), catalogue.lost_answer()],
    ids=lambda each: each.name,
)
def test_a_query_that_fails_is_repeated(
    make_harness: MakeHarness, size: int, misbehaviour: Misbehaviour
) -> None:
    """Each time that it is sent: before the first byte, and before the last ranges."""
    for occurrence in (1, 2):
        harness = make_harness(range_bytes=R, ranges_per_activity=1)
        item = put(harness, size)
        fault = Fault(misbehaviour=misbehaviour, kind="get_item", occurrence=occurrence)
        harness.emulator.faults.add(fault)
        assert harness.transfer("a.pdf").state == "attached"
        assert len(harness.emulator.attachments(MAILBOX, item)) == 1
