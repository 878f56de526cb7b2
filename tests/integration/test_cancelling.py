"""A transfer cancelled by a user, at every step."""

import pytest

from infra.local.outlook import Fault, catalogue
from shared.transfer.payloads import TransferStatus
from tests.conftest import MakeHarness
from tests.support.files import R, content_of, put_for_new_item
from tests.support.virtual_app import MAILBOX

SIZE = 4 * R + 1


@pytest.mark.parametrize(
    ("size", "after"), [(10, n) for n in range(3)] + [(SIZE, n) for n in range(8)]
)
def test_a_transfer_can_be_cancelled_at_every_step(
    make_harness: MakeHarness, after: int, size: int
) -> None:
    """The session is deleted and the record says so; an attached file stays attached."""
    harness = make_harness(range_bytes=R, ranges_per_activity=1)
    item = put_for_new_item(harness, "message", content_of(size))
    engine = harness.begin("in/report.pdf")
    for _ in range(after):
        engine.advance()
    assert not engine.is_over
    engine.raise_event("cancel")
    engine.raise_event("cancel")
    status = TransferStatus.from_json(engine.run())
    attachments = harness.emulator.attachments(MAILBOX, item)
    assert status.state == ("attached" if attachments else "cancelled")
    assert harness.metadata("in/report.pdf")["attachmentstatus"] == status.state
    assert not harness.emulator.open_sessions()
    assert harness.open_entries() == []


def test_a_long_wait_is_cut_short(make_harness: MakeHarness) -> None:
    """A cancellation does not wait for Retry-After."""
    harness = make_harness(range_bytes=R)
    put_for_new_item(harness, "message", content_of(SIZE))
    throttled = catalogue.throttled("3000")
    harness.emulator.faults.add(Fault(misbehaviour=throttled, kind="list"))
    engine = harness.begin("in/report.pdf")
    engine.run_until("create_upload_session")
    began = harness.clock.now
    engine.raise_event("cancel")
    assert engine.run()["state"] == "cancelled"
    assert harness.clock.now == began


def test_an_unknown_outcome_is_resolved_before_it_is_reported_as_cancelled(
    make_harness: MakeHarness,
) -> None:
    """A file that Outlook committed is reported as attached."""
    harness = make_harness(range_bytes=R)
    item = put_for_new_item(harness, "message", content_of(SIZE))
    late = Fault(misbehaviour=catalogue.commits_late(30), kind="last_range")
    harness.emulator.faults.add(late)
    engine = harness.begin("in/report.pdf")
    engine.run_until("upload_ranges")
    engine.raise_event("cancel")
    assert engine.run()["state"] == "attached"
    assert len(harness.emulator.attachments(MAILBOX, item)) == 1


@pytest.mark.parametrize(("retry_after", "waited"), [("30", 30.0), ("3000", 0.0)])
def test_a_session_is_deleted_after_the_retry_after(
    make_harness: MakeHarness, retry_after: str, waited: float
) -> None:
    """Cancelled while throttled: no early request, and no deletion after a long Retry-After."""
    harness = make_harness(range_bytes=R, ranges_per_activity=1)
    put_for_new_item(harness, "message", content_of(SIZE))
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.throttled(retry_after), kind="range"))
    engine = harness.begin("in/report.pdf")
    engine.run_until("upload_ranges")
    began = harness.clock.now
    engine.raise_event("cancel")
    assert engine.run()["state"] == "cancelled"
    assert (harness.clock.now - began).total_seconds() == waited
    deleted = [each for each in harness.emulator.requests if each.kind == "cancel"]
    assert [(each.at - began).total_seconds() for each in deleted] == ([waited] if waited else [])
    assert harness.open_entries() == []
