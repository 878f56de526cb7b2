"""Requests with an unknown outcome: still exactly one attachment."""

import pytest

from infra.local.outlook import Fault, Kind, Misbehaviour, Rules, catalogue
from shared.outlook.item import OutlookFile, OutlookItem
from shared.transfer.payloads import TransferStatus
from tests.conftest import MakeHarness
from tests.support.files import ONLY_SESSIONS, R, content_of, put_for_new_item
from tests.support.virtual_app import MAILBOX

SIZE = 4 * R + 1


@pytest.mark.parametrize("state", ["answered", "405"])
@pytest.mark.parametrize("repeated", ["416", "400", "200"])
@pytest.mark.parametrize("kind", ["range", "last_range"])
@pytest.mark.parametrize(
    "lost",
    [
        catalogue.lost_answer(),
        catalogue.lost_answer("reset"),
        catalogue.failed_after_acceptance(502),
    ],
    ids=lambda misbehaviour: misbehaviour.name,
)
def test_a_lost_response_attaches_once(
    make_harness: MakeHarness, kind: Kind, lost: Misbehaviour, state: str, repeated: str
) -> None:
    """However Outlook treats a repeated range, and whether or not it reports its state."""
    rules = Rules(session_state=state, repeated_range=repeated)  # type: ignore[arg-type]
    harness = make_harness(rules, range_bytes=R, ranges_per_activity=2)
    item = put_for_new_item(harness, "message", content_of(SIZE))
    fault = Fault(misbehaviour=lost, kind=kind)
    harness.emulator.faults.add(fault)
    status = harness.transfer("in/report.pdf")
    assert harness.emulator.faults.fired
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(SIZE)
    assert (status.state, status.attachment_id) == ("attached", attachment.id)
    assert not harness.emulator.open_sessions()


@pytest.mark.parametrize("size", [100, SIZE])
def test_a_late_commit_is_waited_for(make_harness: MakeHarness, size: int) -> None:
    """The response is lost and the attachment appears a minute later: found, not doubled."""
    harness = make_harness(range_bytes=R)
    item = put_for_new_item(harness, "message", content_of(size))
    kind: Kind = "small_post" if size == 100 else "last_range"
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.commits_late(60), kind=kind))
    engine = harness.begin("in/report.pdf")
    assert engine.run()["state"] == "attached"
    assert harness.emulator.faults.fired
    assert len(harness.emulator.attachments(MAILBOX, item)) == 1
    assert sum(engine.waits) >= 60


def test_a_small_post_that_never_arrived_is_sent_again(make_harness: MakeHarness) -> None:
    """After RECONCILE_SECONDS without a trace of it."""
    harness = make_harness()
    item = put_for_new_item(harness, "message", b"hello")
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.reset_mid_body(), kind="small_post"))
    engine = harness.begin("in/report.pdf")
    assert engine.run()["state"] == "attached"
    assert len(harness.emulator.attachments(MAILBOX, item)) == 1
    assert sum(engine.waits) >= 120


@pytest.mark.parametrize(
    "activity", ["attach_small_file", "create_upload_session", "upload_ranges"]
)
@pytest.mark.parametrize("state", ["answered", "405"])
@pytest.mark.parametrize("deliveries", [2, 3, 5])
def test_every_activity_may_be_delivered_more_than_once(
    make_harness: MakeHarness, activity: str, state: str, deliveries: int
) -> None:
    """Workers are killed before their result: the file is attached once."""
    rules = Rules(session_state=state)  # type: ignore[arg-type]
    size = 100 if activity == "attach_small_file" else SIZE
    harness = make_harness(rules, range_bytes=R, ranges_per_activity=2)
    item = put_for_new_item(harness, "message", content_of(size))
    engine = harness.begin("in/report.pdf")
    while engine.next_activity != activity:
        engine.advance()
    engine.advance(deliveries)
    status = TransferStatus.from_json(engine.run())
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(size)
    assert (status.state, status.attachment_id) == ("attached", attachment.id)
    assert not harness.emulator.open_sessions()


def test_a_throttled_range_waits_for_the_retry_after(make_harness: MakeHarness) -> None:
    """By a durable timer, to the fraction of a second."""
    harness = make_harness(range_bytes=R)
    put_for_new_item(harness, "message", content_of(SIZE))
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.throttled("17.5"), kind="range"))
    engine = harness.begin("in/report.pdf")
    assert engine.run()["state"] == "attached"
    assert engine.waits == [17.5]


def test_a_range_kept_in_part_is_continued(make_harness: MakeHarness) -> None:
    """From the server's offset."""
    harness = make_harness(ONLY_SESSIONS, range_bytes=R)
    item = put_for_new_item(harness, "message", content_of(SIZE))
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.kept_in_part(), kind="range"))
    assert harness.transfer("in/report.pdf").state == "attached"
    assert harness.emulator.faults.fired
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(SIZE)


@pytest.mark.parametrize(
    ("kind", "misbehaviour", "code"),
    [
        ("create", catalogue.forbidden(), "PermissionMissing"),
        ("list", catalogue.unauthorized(), "PermissionMissing"),
        ("range", catalogue.refused(413), "MailboxLimitExceeded"),
        ("create", catalogue.refused(507), "MailboxLimitExceeded"),
        ("create", catalogue.refused(404, "ErrorItemNotFound"), "ItemNotFound"),
        ("create", catalogue.upload_url("https://evil.example/x"), "UploadHostNotAllowed"),
        ("create", catalogue.refused(400, "ErrorInvalidRequest"), "GraphRefused"),
        ("list", catalogue.throttled("600"), "DeadlineExceeded"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_permanent_refusal_ends_with_its_code(
    make_harness: MakeHarness, kind: Kind, misbehaviour: Misbehaviour, code: str
) -> None:
    """In the record; the session is deleted, the store is empty, nothing is attached."""
    harness = make_harness(range_bytes=R)
    item = put_for_new_item(harness, "message", content_of(SIZE))
    harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind, times=None))
    status = harness.transfer("in/report.pdf")
    assert status.error is not None
    assert (status.state, status.error.code) == ("failed", code)
    metadata = harness.metadata("in/report.pdf")
    assert metadata["attachmentstatus"] == "failed"
    assert metadata["attachmenterror"].startswith(f"{code}: ")
    assert not harness.emulator.attachments(MAILBOX, item)
    assert not harness.open_entries()
    if misbehaviour.name != catalogue.upload_url("https://evil.example/x").name:
        assert not harness.emulator.open_sessions()


def test_large_files_fail_where_there_are_no_upload_sessions(make_harness: MakeHarness) -> None:
    """As in some national clouds: small files are attached, large ones fail with the reason."""
    harness = make_harness(Rules(upload_sessions=False))
    put_for_new_item(harness, "message", content_of(SIZE))
    status = harness.transfer("in/report.pdf")
    assert status.error is not None
    assert status.error.code == "UploadSessionsUnavailable"
    put_for_new_item(harness, "message", b"small")
    assert harness.transfer("in/report.pdf").state == "attached"


def test_a_mailbox_that_is_not_allowed_reveals_nothing(make_harness: MakeHarness) -> None:
    """No call to Graph is made, even if more is wrong with the blob."""
    harness = make_harness(allowed_mailboxes="*@fabrikam.com", max_attachment_bytes=1)
    put_for_new_item(harness, "message", b"hello")
    status = harness.transfer("in/report.pdf")
    assert status.error is not None
    assert status.error.code == "MailboxNotAllowed"
    assert harness.emulator.requests == []


def test_a_file_over_the_limit_is_refused_before_any_call(make_harness: MakeHarness) -> None:
    """The message has the limit and the size."""
    harness = make_harness(max_attachment_bytes=4)
    put_for_new_item(harness, "message", b"hello")
    status = harness.transfer("in/report.pdf")
    assert status.error is not None
    assert status.error.code == "AttachmentTooLarge"
    assert "5 bytes" in status.error.message
    assert "4 bytes" in status.error.message
    assert harness.emulator.requests == []


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("size", [2 * R, SIZE])
def test_another_clients_file_of_the_same_name_is_distinguished(
    make_harness: MakeHarness, accepted: bool, readable: bool, size: int
) -> None:
    """By its size or its bytes; where neither helps, the outcome is unknown."""
    rules = Rules(maximum_put_bytes=5 * R, minimum_session_bytes=1)
    harness = make_harness(rules, range_bytes=R)
    item = put_for_new_item(harness, "message", content_of(SIZE))
    lost = catalogue.lost_answer() if accepted else catalogue.reset_mid_body()
    harness.emulator.faults.add(Fault(misbehaviour=lost, kind="last_range"))
    if not readable:
        refused = catalogue.refused(504)
        harness.emulator.faults.add(Fault(misbehaviour=refused, kind="raw_content", times=None))
    engine = harness.begin("in/report.pdf")
    engine.run_until("cancel_upload_session")
    others = [bytes(size), bytes(size - 1)]
    for other in others:
        file = OutlookFile("report.pdf", len(other), "application/pdf")
        harness.attach_as_another_client(OutlookItem(MAILBOX, "message", item), file, other)
    status = TransferStatus.from_json(engine.run())
    ours = [
        each.id
        for each in harness.emulator.attachments(MAILBOX, item)
        if each.content == content_of(SIZE)
    ]
    if readable or size < SIZE:
        assert (status.state, [status.attachment_id]) == ("attached", ours)
    else:
        assert status.error is not None
        assert status.error.code == "OutcomeUnknown"
        assert len(ours) == accepted
