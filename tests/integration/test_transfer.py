"""Complete transfers on a virtual clock, with a real Azurite and the emulator."""

import gzip
import json
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from azure.storage.blob import ContentSettings

from infra.local.outlook import ItemKind
from shared.storage.attachment_record import METADATA_BYTES
from shared.storage.source_container import InvalidBlobName
from shared.transfer.payloads import TransferStatus
from tests.conftest import MakeHarness
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.files import ONLY_SESSIONS, R, content_of, put_for_new_item
from tests.support.harness import Harness
from tests.support.virtual_app import MAILBOX


@pytest.mark.parametrize("kind", ["message", "event"])
@pytest.mark.parametrize("size", [1, 2_999_999, 3_000_000, 3_145_728, 7_500_001])
def test_a_file_arrives_byte_for_byte(make_harness: MakeHarness, kind: ItemKind, size: int) -> None:
    """Around the boundary of 3 MB and beyond, for messages and events."""
    harness = make_harness(range_bytes=R, ranges_per_activity=2)
    item = put_for_new_item(harness, kind, content_of(size))
    status = harness.transfer("in/report.pdf")
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(size)
    assert (attachment.name, attachment.content_type) == ("report.pdf", "application/pdf")
    assert (status.state, status.attachment_id) == ("attached", attachment.id)
    assert status.bytes_sent == status.size == size
    assert not harness.emulator.open_sessions()


@pytest.mark.parametrize("size", [R - 1, R, R + 1, 2 * R, 2 * R + 1])
def test_ranges_fit_every_size(make_harness: MakeHarness, size: int) -> None:
    """Each PUT but the last has a full range; they are in order and without a token."""
    harness = make_harness(ONLY_SESSIONS, range_bytes=R, ranges_per_activity=1)
    item = put_for_new_item(harness, "message", content_of(size))
    assert harness.transfer("in/report.pdf").state == "attached"
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(size)
    puts = [r for r in harness.emulator.requests if r.method == "PUT"]
    assert [r.body_length for r in puts[:-1]] == [R] * (len(puts) - 1)
    assert len(puts) == -(-size // R)
    assert all("Authorization" not in r.headers for r in puts)


def test_the_record_is_written_beside_the_users_keys(make_harness: MakeHarness) -> None:
    """Id, item, status, source, transfer and time; mailbox and owner are unchanged."""
    harness = make_harness()
    item = put_for_new_item(harness, "message", b"hello", owner="me")
    id_, payload = harness.start("in/report.pdf")
    status = TransferStatus.from_json(harness.start_engine(id_, payload).run())
    metadata = harness.metadata("in/report.pdf")
    assert metadata.pop("attachedat").endswith("Z")
    assert metadata == {
        "mailbox": MAILBOX,
        "messageid": item,
        "owner": "me",
        "attachmentstatus": "attached",
        "attachmentid": status.attachment_id,
        "attachmentitem": f"{MAILBOX}/messages/{item}",
        "attachmentsource": id_[:16],
        "attachmenttransfer": id_,
    }


def test_an_inline_picture_carries_its_content_id(make_harness: MakeHarness) -> None:
    """Sent by one POST or by a session, it is inline."""
    for size in (5, 3_200_000):
        harness = make_harness()
        item = put_for_new_item(
            harness, "message", content_of(size), contentid="logo", filename="l.png"
        )
        harness.transfer("in/report.pdf")
        (attachment,) = harness.emulator.attachments(MAILBOX, item)
        assert (attachment.is_inline, attachment.content_id) == (True, "logo")
        assert attachment.name == "l.png"


def test_an_empty_file_is_sent(make_harness: MakeHarness) -> None:
    """The id that Outlook gives it is recorded."""
    harness = make_harness()
    item = put_for_new_item(harness, "message", b"")
    status = harness.transfer("in/report.pdf")
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == b""
    assert harness.metadata("in/report.pdf")["attachmentid"] == status.attachment_id


def test_no_secret_is_in_the_history(make_harness: MakeHarness) -> None:
    """Inputs, statuses and metadata have neither upload URL nor token; the store is empty."""
    harness = make_harness(range_bytes=R, ranges_per_activity=1)
    put_for_new_item(harness, "message", content_of(3_200_000))
    harness.transfer("in/report.pdf")
    stored = harness.durable_state + json.dumps(harness.metadata("in/report.pdf"))
    assert len(harness.emulator.secrets()) >= 3
    assert not [secret for secret in harness.emulator.secrets() if secret in stored]
    assert "authtoken" not in stored
    assert not harness.open_entries()


def test_a_duplicate_after_the_end_does_nothing(make_harness: MakeHarness) -> None:
    """After the record's metadata write the id is the same, and the record ends it at once."""
    harness = make_harness()
    item = put_for_new_item(harness, "message", b"hello")
    first, payload = harness.start("in/report.pdf")
    done = TransferStatus.from_json(harness.start_engine(first, payload).run())
    requests = len(harness.emulator.requests)
    again, payload = harness.start("in/report.pdf")
    assert again == first
    ended = TransferStatus.from_json(harness.start_engine(again, payload).run())
    own = {"bytes_sent": 0, "recorded": True, "created_at": ended.created_at}
    assert ended == done.model_copy(update=own)
    assert len(harness.emulator.requests) == requests
    assert len(harness.emulator.attachments(MAILBOX, item)) == 1


def test_a_copied_blob_has_a_transfer_of_its_own(make_harness: MakeHarness) -> None:
    """The original's record in its metadata proves nothing; both attachments exist."""
    harness = make_harness()
    item = put_for_new_item(harness, "message", b"hello")
    harness.transfer("in/report.pdf")
    harness.put("in/copy.pdf", b"hello", **harness.metadata("in/report.pdf"))
    assert harness.transfer("in/copy.pdf").state == "attached"
    assert len(harness.emulator.attachments(MAILBOX, item)) == 2


def test_an_overwritten_blob_is_attached_again(make_harness: MakeHarness) -> None:
    """New content, new transfer."""
    harness = make_harness()
    item = put_for_new_item(harness, "message", b"old")
    harness.transfer("in/report.pdf")
    harness.put("in/report.pdf", b"new one", mailbox=MAILBOX, messageid=item)
    assert harness.transfer("in/report.pdf").state == "attached"
    contents = [a.content for a in harness.emulator.attachments(MAILBOX, item)]
    assert contents == [b"old", b"new one"]


def interrupted(harness: Harness, name: str, change: Callable[[], object]) -> VirtualEngine:
    """A transfer run to its end, with a call after its first ranges."""
    engine = harness.begin(name)
    engine.run_until("upload_ranges")
    change()
    engine.run()
    return engine


def status_of(engine: VirtualEngine) -> TransferStatus:
    return TransferStatus.from_json(engine.output)


def test_a_blob_overwritten_midway_is_superseded(make_harness: MakeHarness) -> None:
    """The session is deleted, nothing is attached, and the new content has no record yet."""
    harness = make_harness(range_bytes=R, ranges_per_activity=1)
    item = put_for_new_item(harness, "message", content_of(4_000_000))
    engine = interrupted(
        harness,
        "in/report.pdf",
        lambda: harness.put(
            "in/report.pdf", content_of(4_000_001), mailbox=MAILBOX, messageid=item
        ),
    )
    assert status_of(engine).state == "superseded"
    assert not harness.emulator.attachments(MAILBOX, item)
    assert not harness.emulator.open_sessions()
    assert "attachmentstatus" not in harness.metadata("in/report.pdf")
    assert harness.transfer("in/report.pdf").state == "attached"


def test_a_blob_deleted_midway_ends_the_transfer(make_harness: MakeHarness) -> None:
    """The session is deleted; there is no blob for a record, which is no failure."""
    harness = make_harness(range_bytes=R, ranges_per_activity=1)
    item = put_for_new_item(harness, "message", content_of(4_000_000))
    engine = interrupted(
        harness,
        "in/report.pdf",
        lambda: harness.container.delete_blob("in/report.pdf"),
    )
    status = status_of(engine)
    assert status.error is not None
    assert (status.state, status.error.code) == ("failed", "BlobDeleted")
    assert not harness.emulator.attachments(MAILBOX, item)
    assert not harness.emulator.open_sessions()


def test_metadata_written_midway_by_another_client_changes_nothing(
    make_harness: MakeHarness,
) -> None:
    """The ETag is another, the MD5 the same: it continues, and the new key stays."""
    harness = make_harness(range_bytes=R, ranges_per_activity=1)
    item = put_for_new_item(harness, "message", content_of(4_000_000))
    engine = interrupted(
        harness, "in/report.pdf", lambda: harness.add_metadata("in/report.pdf", seen="yes")
    )
    assert status_of(engine).state == "attached"
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(4_000_000)
    assert harness.metadata("in/report.pdf")["seen"] == "yes"
    assert engine.performed.count("create_upload_session") == 1


def test_content_without_md5_starts_over_when_its_etag_changes(make_harness: MakeHarness) -> None:
    """Nothing proves that the bytes are the same, so all are sent again from one version."""
    harness = make_harness(range_bytes=R // 2, ranges_per_activity=1)
    item = harness.emulator.add_item(MAILBOX, "message")
    blob = harness.container.get_blob_client("blocks.bin")
    blob.stage_block("MDAx", content_of(4_000_000))
    metadata = {"mailbox": MAILBOX, "messageid": item}
    blob.commit_block_list(["MDAx"], metadata=metadata)  # type: ignore[list-item]  # ids will do
    blob.set_http_headers(ContentSettings(content_type="application/pdf"))
    engine = interrupted(
        harness,
        "blocks.bin",
        lambda: blob.set_blob_metadata(metadata | {"seen": "yes"}),
    )
    assert status_of(engine).state == "attached"
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == content_of(4_000_000)
    assert engine.performed.count("create_upload_session") == 2


@pytest.mark.parametrize("size", [200_000, 4_000_000])
def test_an_encoded_blob_is_sent_as_it_is_stored(make_harness: MakeHarness, size: int) -> None:
    """A blob with Content-Encoding is not decoded."""
    harness = make_harness(range_bytes=R)
    item = harness.emulator.add_item(MAILBOX, "message")
    packed = gzip.compress(content_of(size), 0)
    harness.container.upload_blob(
        "report.gz",
        packed,
        metadata={"mailbox": MAILBOX, "messageid": item},
        content_settings=ContentSettings(content_encoding="gzip"),
    )
    assert harness.transfer("report.gz").state == "attached"
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == packed


def test_a_bug_in_an_activity_is_recorded_and_shown(make_harness: MakeHarness) -> None:
    """The record says so, the session is deleted, and the instance has failed."""
    harness = make_harness(range_bytes=R)
    put_for_new_item(harness, "message", content_of(4_000_000))

    def bug(_: object) -> dict[str, object]:
        raise ZeroDivisionError

    harness.activities["upload_ranges"] = bug
    engine = harness.begin("in/report.pdf")
    while not engine.is_over:
        engine.advance()
    assert "ZeroDivisionError" in str(engine.failed)
    assert harness.metadata("in/report.pdf")["attachmenterror"].startswith("InternalError: ")
    assert not harness.emulator.open_sessions()
    assert harness.open_entries() == []


@pytest.mark.parametrize("free_bytes", [0, 20, 65, 90, 120, 400])
def test_full_metadata_does_not_attach_twice(make_harness: MakeHarness, free_bytes: int) -> None:
    """The less of the record fits, the more a duplicate has to find out itself."""
    harness = make_harness(range_bytes=R)
    size = METADATA_BYTES - len("attachmentstatusattached") - free_bytes
    item = harness.emulator.add_item(MAILBOX, "message")
    own = {"mailbox": MAILBOX, "messageid": item}
    taken = sum(len(k) + len(v) for k, v in own.items())
    id_length = len(harness.emulator.add_item(MAILBOX, "message"))
    own["filler"] = "x" * (size - taken - len("filler") - len("attachmentid") - id_length)
    harness.put("x", b"hello", **own)
    first = harness.begin("x")
    assert first.run()["state"] == "attached"
    harness.start_engine(*harness.start("x")).run()
    assert len(harness.emulator.attachments(MAILBOX, item)) == 1


def test_an_archived_blob_is_refused_with_what_to_do(make_harness: MakeHarness) -> None:
    """Its bytes cannot be read, but its metadata can be written."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("old.pdf", b"hello", mailbox=MAILBOX, messageid=item)
    engine = harness.begin("old.pdf")
    harness.container.get_blob_client("old.pdf").set_standard_blob_tier("Archive")
    assert engine.run()["state"] == "failed"
    error = unquote(harness.metadata("old.pdf")["attachmenterror"])
    assert error.startswith("UnsupportedBlob: ")
    assert "Rehydrate" in error
    assert harness.emulator.attachments(MAILBOX, item) == []


def test_a_name_that_points_outside_the_container_is_refused_before_any_call(
    make_harness: MakeHarness,
) -> None:
    """HTTP libraries would resolve folders named '.' or '..'."""
    harness = make_harness()
    for name in ("../other/secret", "x/../../other/secret", "./x", "a\\..\\b"):
        with pytest.raises(InvalidBlobName):
            harness.source.look(name)
