"""The calls about an attachment after its transfer, with a real Azurite and the emulator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import BlobLeaseClient

from infra.local.outlook import Fault, ItemKind, Kind, Misbehaviour, alterations, catalogue
from shared.errors import (
    AttachmentNotFound,
    DownloadTooLarge,
    GraphRefused,
    GraphUnavailable,
    ItemNotFound,
    MailboxNotAllowed,
    PermissionMissing,
    StorageUnavailable,
    TransferError,
)
from shared.outlook.item import OutlookItem
from shared.storage.attachment_record import METADATA_BYTES, read_record
from shared.storage.ledger import Ledger
from shared.storage.source_container import SourceContainer
from shared.transfer.payloads import TransferStatus
from shared.transfer.service.attachments import Attachments
from tests.conftest import MakeHarness
from tests.support.files import content_of, put_for_new_item
from tests.support.harness import Harness, Product
from tests.support.virtual_app import MAILBOX

BLOB = "in/report.pdf"
CALLS: list[tuple[str, Kind]] = [
    ("describe", "get_attachment"),
    ("content", "raw_content"),
    ("remove", "delete_attachment"),
]


@dataclass(frozen=True)
class Attached:
    """A completed transfer, and the calls about its attachment."""

    harness: Harness
    item: str
    id: str
    status: TransferStatus
    attachments: Attachments

    def call(self, name: str) -> Any:
        """One of the calls, by its name."""
        if name == "remove":
            return self.attachments.remove(self.id, self.status)
        return getattr(self.attachments, name)(self.status)

    def status_with(self, **update: object) -> TransferStatus:
        """The status with other values."""
        return self.status.model_copy(update=update)

    @property
    def attached(self) -> list[str]:
        """The ids of the item's attachments."""
        return [each.id for each in self.harness.emulator.attachments(MAILBOX, self.item)]

    def count(self, kind: Kind) -> int:
        """How many requests of a kind came in."""
        return [each.kind for each in self.harness.emulator.requests].count(kind)


def attach(
    harness: Harness, data: bytes = b"hello", kind: ItemKind = "message", **metadata: str
) -> Attached:
    """Attach a blob, and clear the record of its requests."""
    item = put_for_new_item(harness, kind, data, **metadata)
    id_, payload = harness.start(BLOB)
    status = TransferStatus.from_json(harness.start_engine(id_, payload).run())
    assert status.state == "attached"
    harness.emulator.clear()
    calls = Attachments(
        harness.settings,
        harness.source,
        Ledger(harness.tables),
        harness.graph,
        harness.listing,
    )
    return Attached(harness, item, id_, status, calls)


@pytest.mark.parametrize("kind", ["message", "event"])
def test_an_attachment_is_described(make_harness: MakeHarness, kind: ItemKind) -> None:
    """As Graph describes it, without the bytes, in camel case."""
    done = attach(make_harness(), kind=kind, filename="Übersicht.pdf", contentid="logo")
    described = done.attachments.describe(done.status).to_json()
    assert str(described.pop("lastModifiedDateTime")).endswith("Z")
    assert described.pop("size") != 5
    assert described == {
        "id": done.status.attachment_id,
        "name": "Übersicht.pdf",
        "contentType": "application/pdf",
        "isInline": True,
        "contentId": "logo",
    }
    assert "contentBytes" not in str(done.harness.emulator.requests[-1].target)


@pytest.mark.parametrize("size", [0, 1, 200_000, 3_300_000])
def test_the_bytes_are_downloaded_unchanged(make_harness: MakeHarness, size: int) -> None:
    """Up to the limit, with type and name."""
    done = attach(make_harness(max_download_bytes=3_300_000), content_of(size))
    found = done.attachments.content(done.status)
    assert found.data == content_of(size)
    assert (found.content_type, found.file_name) == ("application/pdf", "report.pdf")


@pytest.mark.parametrize(("size", "read"), [(100_001, 1), (300_000, 0)])
def test_a_large_attachment_is_refused(make_harness: MakeHarness, size: int, read: int) -> None:
    """Without a read if its size is known or clear from Graph's, otherwise at the limit."""
    done = attach(make_harness(max_download_bytes=100_000), content_of(size))
    with pytest.raises(DownloadTooLarge, match="Open it in Outlook"):
        done.attachments.content(done.status)
    assert done.count("raw_content") == 0
    with pytest.raises(DownloadTooLarge, match="100,000 bytes"):
        done.attachments.content(done.status_with(size=None))
    assert done.count("raw_content") == read


def test_a_transfer_without_an_attachment_has_none(make_harness: MakeHarness) -> None:
    """Graph gets no request, and the message has the state of the transfer."""
    done = attach(make_harness())
    failed = done.status_with(state="failed", attachment_id=None)
    with pytest.raises(AttachmentNotFound, match="it is failed"):
        done.attachments.describe(failed)
    assert done.harness.emulator.requests == []


@pytest.mark.parametrize(("name", "_kind"), CALLS)
def test_each_missing_thing_has_its_own_error(
    make_harness: MakeHarness, name: str, _kind: Kind
) -> None:
    """The attachment, its item or the mailbox; only for the first it is AttachmentNotFound."""
    done = attach(make_harness())
    emulator = done.harness.emulator
    other = emulator.add_item(MAILBOX, "message")
    record = done.harness.metadata(BLOB)
    cases: list[tuple[Mapping[str, str], type[TransferError]]] = [
        ({"attachment_id": "AAkAnobody="}, AttachmentNotFound),
        ({"item_id": other}, AttachmentNotFound),
        ({"item_id": "AAkAnothing="}, ItemNotFound),
        ({"item_type": "event"}, ItemNotFound),
        ({"mailbox": "nobody@contoso.com"}, ItemNotFound),
    ]
    for update, error in cases:
        changed = Attached(
            done.harness, done.item, done.id, done.status_with(**update), done.attachments
        )
        with pytest.raises(error):
            changed.call(name)
    assert done.harness.metadata(BLOB) == record
    assert done.attached == [done.status.attachment_id]


@pytest.mark.parametrize(("name", "_kind"), CALLS)
@pytest.mark.parametrize("forged", ["", ".", "..", "...", "../../messages", "%2e%2e", "?x", "a/b"])
def test_a_forged_id_reaches_nothing_else(
    make_harness: MakeHarness, name: str, _kind: Kind, forged: str
) -> None:
    """It may come from metadata that others write; the item itself is never addressed."""
    done = attach(make_harness())
    status = done.status_with(attachment_id=forged)
    with pytest.raises(AttachmentNotFound):
        Attached(done.harness, done.item, done.id, status, done.attachments).call(name)
    targets = {"get_attachment", "raw_content", "delete_attachment", "list"}
    assert {each.kind for each in done.harness.emulator.requests} <= targets
    assert done.attached == [done.status.attachment_id]
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "attached"


@pytest.mark.parametrize(("name", "_kind"), CALLS)
def test_a_mailbox_that_is_no_longer_allowed(
    make_harness: MakeHarness, name: str, _kind: Kind
) -> None:
    """No request is sent to it."""
    done = attach(make_harness())
    narrow = done.harness.settings.model_copy(update={"allowed_mailboxes": ("x@contoso.com",)})
    calls = Attachments(
        narrow,
        done.harness.source,
        Ledger(done.harness.tables),
        done.harness.graph,
        done.harness.listing,
    )
    with pytest.raises(MailboxNotAllowed):
        Attached(done.harness, done.item, done.id, done.status, calls).call(name)
    assert done.harness.emulator.requests == []


@pytest.mark.parametrize(("name", "kind"), CALLS)
@pytest.mark.parametrize(
    ("misbehaviour", "seconds"),
    [
        (catalogue.throttled("30"), 30),
        (catalogue.throttled("2.128"), 3),
        (catalogue.throttled("0"), 1),
        (catalogue.throttled(status=503), 5),
        (catalogue.throttled_until(60), 60),
        (catalogue.refused(504), 5),
        (catalogue.conflict(), 5),
        (catalogue.hang(), 5),
        (catalogue.lost_answer(), 5),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_transient_failure_has_a_retry_after(
    make_harness: MakeHarness, name: str, kind: Kind, misbehaviour: Misbehaviour, seconds: int
) -> None:
    """One try, and the record does not change."""
    done = attach(make_harness(None, Product(timeouts=(2.0, 0.5))))
    done.harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind, times=None))
    with pytest.raises(GraphUnavailable) as caught:
        done.call(name)
    assert caught.value.retry_after == seconds
    assert "Try again in" in caught.value.sentence
    assert done.count(kind) == 1
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "attached"


@pytest.mark.parametrize(
    ("name", "kind", "misbehaviour"),
    [
        ("content", "raw_content", catalogue.cut_answer()),
        ("describe", "get_attachment", catalogue.truncated_json()),
        ("describe", "get_attachment", catalogue.not_json()),
    ],
)
def test_an_incomplete_response_is_an_error(
    make_harness: MakeHarness, name: str, kind: Kind, misbehaviour: Misbehaviour
) -> None:
    """Incomplete content is never returned."""
    done = attach(make_harness(), content_of(100_000))
    done.harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind))
    with pytest.raises(GraphUnavailable):
        done.call(name)


@pytest.mark.parametrize(("name", "kind"), CALLS)
def test_a_refusal_says_what_to_change(make_harness: MakeHarness, name: str, kind: Kind) -> None:
    """The name of the permission, or Graph's own code; only a stale token is renewed."""
    done = attach(make_harness(), kind="event")
    cases: list[tuple[Misbehaviour, int | None, type[TransferError], str]] = [
        (catalogue.forbidden(), 1, PermissionMissing, "Calendars.ReadWrite"),
        (catalogue.unauthorized(), 2, PermissionMissing, "Calendars.ReadWrite"),
        (catalogue.refused(400, "BadRequest"), 1, GraphRefused, "BadRequest"),
        (catalogue.refused(400, "ErrorOdd"), 1, GraphUnavailable, "ErrorOdd"),
    ]
    for misbehaviour, times, error, message in cases:
        done.harness.emulator.clear()
        done.harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind, times=times))
        with pytest.raises(error, match=message):
            done.call(name)
    done.harness.emulator.clear()
    stale = Fault(misbehaviour=catalogue.unauthorized(), kind=kind)
    done.harness.emulator.faults.add(stale)
    done.call(name)
    assert done.count(kind) == 2


def test_without_an_identity_the_error_says_so(make_harness: MakeHarness) -> None:
    """It may be assigned soon; the library's text is not shown."""
    done = attach(make_harness())

    class NoIdentity:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise ClientAuthenticationError("secret detail")

    done.harness.graph._credential = cast("TokenCredential", NoIdentity())
    with pytest.raises(GraphUnavailable, match="no token: ClientAuthenticationError") as caught:
        done.call("describe")
    assert "secret" not in caught.value.sentence


def test_a_removed_attachment_is_recorded(make_harness: MakeHarness) -> None:
    """It is gone from the item, and the record says so; a second removal finds none."""
    done = attach(make_harness(), owner="me")
    done.call("remove")
    assert done.attached == []
    metadata = done.harness.metadata(BLOB)
    record = read_record(metadata)
    assert (record.status, record.transfer_id) == ("cancelled", done.id)
    assert (record.attachment_id, record.attached_at, record.sources) == ("", "", ())
    assert record.error_code == "Removed"
    assert "on request" in record.error_message
    assert record.item == f"{MAILBOX}/messages/{done.item}"
    assert (metadata["owner"], metadata["messageid"]) == ("me", done.item)
    with pytest.raises(AttachmentNotFound):
        done.call("remove")
    assert done.harness.metadata(BLOB) == metadata


def test_triggers_do_not_attach_a_removed_file_again(make_harness: MakeHarness) -> None:
    """Only an explicit request attaches the file again."""
    done = attach(make_harness())
    done.call("remove")
    assert done.harness.transfer(BLOB).state == "cancelled"
    assert done.attached == []
    id_, payload = done.harness.start(BLOB)
    again = done.harness.start_engine(id_, payload | {"ordered": True}).run()
    assert (again["state"], [again["attachmentId"]]) == ("attached", done.attached)
    assert done.harness.metadata(BLOB)["attachmentid"] == done.attached[0]


def test_a_late_record_of_another_run_does_not_undo_a_removal(make_harness: MakeHarness) -> None:
    """A run that found the file attached, and recorded that, has not attached it anew."""
    done = attach(make_harness())
    record = {
        "transferId": done.id,
        "run": "2099-01-01T00:00:00.000000+00:00",
        "status": {
            "blob": BLOB,
            "mailbox": MAILBOX,
            "itemType": "message",
            "itemId": done.item,
            "state": "attached",
            "attachmentId": done.attached[0],
        },
        "record": "attached",
    }
    done.call("remove")
    removed = done.harness.metadata(BLOB)
    done.harness.activities["record_attachment"](record)
    assert done.harness.metadata(BLOB) == removed
    assert done.harness.transfer(BLOB).state == "cancelled"


@pytest.mark.parametrize("free_bytes", [0, 40, 400])
def test_triggers_do_not_attach_a_removed_file_again_if_the_record_did_not_fit(
    make_harness: MakeHarness, free_bytes: int
) -> None:
    """The removed id frees the bytes that the fingerprint needs."""
    harness = make_harness()
    probe = attach(harness)
    metadata = harness.metadata(BLOB)
    kept = ("mailbox", "messageid", "attachmentid", "attachmentstatus")
    taken = sum(len(key) + len(metadata[key]) for key in kept)
    filler = "x" * (METADATA_BYTES - taken - len("filler") - free_bytes)
    done = attach(harness, b"another", filler=filler)
    assert ("attachmenttransfer" in harness.metadata(BLOB)) == (free_bytes == 400)
    done.call("remove")
    assert harness.transfer(BLOB).state == "cancelled"
    assert done.attached == []
    assert len(probe.attached) == 1


def test_an_attachment_removed_in_outlook_is_recorded_as_removed(make_harness: MakeHarness) -> None:
    """The call succeeds, and the record is updated."""
    done = attach(make_harness())
    item = OutlookItem(MAILBOX, "message", done.item)
    assert done.harness.graph.remove_attachment(item, done.attached[0]).status == 204
    done.call("remove")
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "cancelled"
    with pytest.raises(AttachmentNotFound, match="does not hold the attachment any more"):
        done.call("remove")


def test_a_removal_whose_response_was_lost_is_completed_by_the_next_call(
    make_harness: MakeHarness,
) -> None:
    """It was done; the next call finds that."""
    done = attach(make_harness())
    lost = Fault(misbehaviour=catalogue.lost_answer(), kind="delete_attachment")
    done.harness.emulator.faults.add(lost)
    with pytest.raises(GraphUnavailable):
        done.call("remove")
    assert done.attached == []
    done.call("remove")
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "cancelled"


class WrittenMeanwhile(SourceContainer):
    """Another client writes metadata between each read and the first three writes."""

    writes = 0

    def write_metadata(self, name: str, etag: str, metadata: Mapping[str, str]) -> None:
        if "attachmenterror" in metadata and self.writes < 3:
            self.writes += 1
            present = self.look(name)
            super().write_metadata(name, present.etag, {**present.metadata, "n": str(self.writes)})
        super().write_metadata(name, etag, metadata)


def test_metadata_written_meanwhile_is_kept(make_harness: MakeHarness) -> None:
    """The record is merged into the present metadata."""
    done = attach(make_harness(None, Product(source=WrittenMeanwhile)))
    done.call("remove")
    metadata = done.harness.metadata(BLOB)
    assert (metadata["n"], metadata["attachmentstatus"]) == ("3", "cancelled")


def overwritten(done: Attached) -> None:
    done.harness.put(BLOB, b"other", **done.harness.metadata(BLOB))


def deleted(done: Attached) -> None:
    done.harness.container.delete_blob(BLOB)


def attached_again(done: Attached) -> None:
    id_, payload = done.harness.start(BLOB)
    forced = done.harness.start_engine(f"{id_[:16]}-again", payload | {"force": True})
    assert forced.run()["state"] == "attached"


@pytest.mark.parametrize("meanwhile", [overwritten, deleted, attached_again])
def test_the_record_of_another_attachment_is_not_changed(
    make_harness: MakeHarness, meanwhile: Callable[[Attached], None]
) -> None:
    """Other content, a deleted blob, another attachment of the same content."""
    done = attach(make_harness())
    meanwhile(done)
    exists = done.harness.container.get_blob_client(BLOB).exists
    before = done.harness.metadata(BLOB) if exists() else None
    done.call("remove")
    assert done.status.attachment_id not in done.attached
    assert (done.harness.metadata(BLOB) if exists() else None) == before
    with pytest.raises(AttachmentNotFound):
        done.call("remove")


def test_a_record_that_cannot_be_written_now_is_written_by_the_next_call(
    make_harness: MakeHarness,
) -> None:
    """The attachment is removed, and the error says that the record is not written yet."""
    done = attach(make_harness())
    lease = BlobLeaseClient(done.harness.container.get_blob_client(BLOB))
    lease.acquire(lease_duration=60)
    with pytest.raises(StorageUnavailable):
        done.call("remove")
    assert done.attached == []
    lease.release()
    done.call("remove")
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "cancelled"


def test_a_removal_under_an_endless_lease_is_not_recorded(make_harness: MakeHarness) -> None:
    """Nobody knows when it ends: the attachment is removed all the same."""
    done = attach(make_harness())
    lease = BlobLeaseClient(done.harness.container.get_blob_client(BLOB))
    lease.acquire()
    done.call("remove")
    assert done.attached == []
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "attached"


HOSTILE = 'a"b\r\nX-Evil: 1\u202egpj.exe'


def test_a_hostile_name_and_type_are_returned_unchanged(make_harness: MakeHarness) -> None:
    """Whoever renders them has to make them safe; here they do no harm."""
    done = attach(make_harness())
    hostile = {"name": HOSTILE, "contentType": "text/html\r\nX: y"}
    altered = alterations.json_changed(lambda body: body | hostile)
    fault = Misbehaviour(name="hostile", alteration=altered)
    done.harness.emulator.faults.add(Fault(misbehaviour=fault, kind="get_attachment"))
    found = done.attachments.content(done.status)
    assert (found.file_name, found.content_type) == (HOSTILE, hostile["contentType"])


@pytest.mark.parametrize("changed", [{"id": None}, {"size": "many"}, {"isInline": []}])
def test_a_malformed_description_is_an_error(
    make_harness: MakeHarness, changed: dict[str, Any]
) -> None:
    """As if there had been no response."""
    done = attach(make_harness())
    altered = alterations.json_changed(lambda body: body | changed)
    fault = Misbehaviour(name="malformed", alteration=altered)
    done.harness.emulator.faults.add(Fault(misbehaviour=fault, kind="get_attachment"))
    with pytest.raises(GraphUnavailable):
        done.call("describe")


@pytest.mark.parametrize("name", ["describe", "content", "remove"])
def test_a_record_that_names_another_attachment_is_not_trusted(
    make_harness: MakeHarness, name: str
) -> None:
    """Otherwise a writer of metadata could read or remove any attachment of the mailbox."""
    done = attach(make_harness())
    secret = done.harness.emulator.attach(MAILBOX, done.item, "secret.pdf", b"SECRET").id
    forged = replace(done, status=done.status_with(attachment_id=secret, recorded=True))
    with pytest.raises(AttachmentNotFound, match="not of the blob's content"):
        forged.call(name)
    assert secret in done.attached
    copied = done.harness.emulator.attach(MAILBOX, done.item, "report.pdf", b"hello").id
    if name == "remove":
        # The same bytes, but not attached by the app.
        with pytest.raises(AttachmentNotFound, match="ledger"):
            replace(done, status=done.status_with(attachment_id=copied, recorded=True)).call(name)
        assert copied in done.attached
    honest = replace(done, status=done.status_with(recorded=True))
    honest.call(name)
    assert (done.status.attachment_id in done.attached) == (name != "remove")
