"""The attachment after its transfer, between a real Azurite and the strict emulator."""

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
    """A transfer that has attached a blob, and the calls about its attachment."""

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

    def but(self, **update: object) -> TransferStatus:
        """The status with something else in it."""
        return self.status.model_copy(update=update)

    @property
    def held(self) -> list[str]:
        """The ids of what the item holds."""
        return [each.id for each in self.harness.emulator.attachments(MAILBOX, self.item)]

    def asked(self, kind: Kind) -> int:
        """How many requests of a kind came in."""
        return [each.kind for each in self.harness.emulator.requests].count(kind)


def attach(
    harness: Harness, data: bytes = b"hello", kind: ItemKind = "message", **metadata: str
) -> Attached:
    """Attach a blob, and forget the requests of it."""
    item = put_for_new_item(harness, kind, data, **metadata)
    id_, payload = harness.start(BLOB)
    status = TransferStatus.from_json(harness.start_engine(id_, payload).run())
    assert status.state == "attached"
    harness.emulator.clear()
    calls = Attachments(harness.settings, harness.source, harness.graph)
    return Attached(harness, item, id_, status, calls)


@pytest.mark.parametrize("kind", ["message", "event"])
def test_an_attachment_is_described(make_harness: MakeHarness, kind: ItemKind) -> None:
    """Graph's own words but the bytes, in camel case."""
    done = attach(make_harness(), kind=kind, filename="Übersicht.pdf", contentid="logo")
    told = done.attachments.describe(done.status).to_json()
    assert str(told.pop("lastModifiedDateTime")).endswith("Z")
    assert told.pop("size") != 5
    assert told == {
        "id": done.status.attachment_id,
        "name": "Übersicht.pdf",
        "contentType": "application/pdf",
        "isInline": True,
        "contentId": "logo",
    }
    assert "contentBytes" not in str(done.harness.emulator.requests[-1].target)


@pytest.mark.parametrize("size", [0, 1, 200_000, 3_300_000])
def test_the_bytes_come_back_as_they_are(make_harness: MakeHarness, size: int) -> None:
    """Up to the very limit, with type and name."""
    done = attach(make_harness(max_download_bytes=3_300_000), content_of(size))
    found = done.attachments.content(done.status)
    assert found.data == content_of(size)
    assert (found.content_type, found.file_name) == ("application/pdf", "report.pdf")


@pytest.mark.parametrize(("size", "read"), [(100_001, 1), (300_000, 0)])
def test_a_large_attachment_is_refused(make_harness: MakeHarness, size: int, read: int) -> None:
    """Unread if its size is known or plain from Graph's, at the bound of its bytes otherwise."""
    done = attach(make_harness(max_download_bytes=100_000), content_of(size))
    with pytest.raises(DownloadTooLarge, match="Open it in Outlook"):
        done.attachments.content(done.status)
    assert done.asked("raw_content") == 0
    with pytest.raises(DownloadTooLarge, match="100,000 bytes"):
        done.attachments.content(done.but(size=None))
    assert done.asked("raw_content") == read


def test_a_transfer_without_an_attachment_has_none(make_harness: MakeHarness) -> None:
    """Graph is not asked, and the sentence says how the transfer ended."""
    done = attach(make_harness())
    failed = done.but(state="failed", attachment_id=None)
    with pytest.raises(AttachmentNotFound, match="it is failed"):
        done.attachments.describe(failed)
    assert done.harness.emulator.requests == []


@pytest.mark.parametrize(("name", "_kind"), CALLS)
def test_what_is_gone_is_told_apart(make_harness: MakeHarness, name: str, _kind: Kind) -> None:
    """The attachment, its item or the mailbox; only the first is the transfer's own affair."""
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
        asked = Attached(done.harness, done.item, done.id, done.but(**update), done.attachments)
        with pytest.raises(error):
            asked.call(name)
    assert done.harness.metadata(BLOB) == record
    assert done.held == [done.status.attachment_id]


@pytest.mark.parametrize(("name", "_kind"), CALLS)
@pytest.mark.parametrize("forged", ["", ".", "..", "...", "../../messages", "%2e%2e", "?x", "a/b"])
def test_a_forged_id_leads_nowhere_else(
    make_harness: MakeHarness, name: str, _kind: Kind, forged: str
) -> None:
    """It may come from metadata that others write; the item itself is never what is meant."""
    done = attach(make_harness())
    status = done.but(attachment_id=forged)
    with pytest.raises(AttachmentNotFound):
        Attached(done.harness, done.item, done.id, status, done.attachments).call(name)
    targets = {"get_attachment", "raw_content", "delete_attachment", "list"}
    assert {each.kind for each in done.harness.emulator.requests} <= targets
    assert done.held == [done.status.attachment_id]
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "attached"


@pytest.mark.parametrize(("name", "_kind"), CALLS)
def test_a_mailbox_that_is_not_allowed_any_more(
    make_harness: MakeHarness, name: str, _kind: Kind
) -> None:
    """Not one request goes there."""
    done = attach(make_harness())
    narrow = done.harness.settings.model_copy(update={"allowed_mailboxes": ("x@contoso.com",)})
    calls = Attachments(narrow, done.harness.source, done.harness.graph)
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
def test_trouble_that_passes_says_when_to_ask_again(
    make_harness: MakeHarness, name: str, kind: Kind, misbehaviour: Misbehaviour, seconds: int
) -> None:
    """One try, and the record stays as it was."""
    done = attach(make_harness(None, Product(timeouts=(2.0, 0.5))))
    done.harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind, times=None))
    with pytest.raises(GraphUnavailable) as caught:
        done.call(name)
    assert caught.value.retry_after == seconds
    assert "Try again in" in caught.value.sentence
    assert done.asked(kind) == 1
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "attached"


@pytest.mark.parametrize(
    ("name", "kind", "misbehaviour"),
    [
        ("content", "raw_content", catalogue.cut_answer()),
        ("describe", "get_attachment", catalogue.truncated_json()),
        ("describe", "get_attachment", catalogue.not_json()),
    ],
)
def test_half_an_answer_is_none(
    make_harness: MakeHarness, name: str, kind: Kind, misbehaviour: Misbehaviour
) -> None:
    """Nothing is handed on as if it were whole."""
    done = attach(make_harness(), content_of(100_000))
    done.harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind))
    with pytest.raises(GraphUnavailable):
        done.call(name)


@pytest.mark.parametrize(("name", "kind"), CALLS)
def test_a_refusal_says_what_to_change(make_harness: MakeHarness, name: str, kind: Kind) -> None:
    """The permission by its name, or Graph's own code; a stale token alone is renewed."""
    done = attach(make_harness(), kind="event")
    cases: list[tuple[Misbehaviour, int | None, type[TransferError], str]] = [
        (catalogue.forbidden(), 1, PermissionMissing, "Calendars.ReadWrite"),
        (catalogue.unauthorized(), 2, PermissionMissing, "Calendars.ReadWrite"),
        (catalogue.refused(400, "ErrorOdd"), 1, GraphRefused, "ErrorOdd"),
    ]
    for misbehaviour, times, error, says in cases:
        done.harness.emulator.clear()
        done.harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind, times=times))
        with pytest.raises(error, match=says):
            done.call(name)
    done.harness.emulator.clear()
    stale = Fault(misbehaviour=catalogue.unauthorized(), kind=kind)
    done.harness.emulator.faults.add(stale)
    done.call(name)
    assert done.asked(kind) == 2


def test_without_an_identity_it_says_so(make_harness: MakeHarness) -> None:
    """It may be assigned in a minute; the library's text stays inside."""
    done = attach(make_harness())

    class NoIdentity:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise ClientAuthenticationError("secret detail")

    done.harness.graph._credential = cast("TokenCredential", NoIdentity())
    with pytest.raises(GraphUnavailable, match="no token: ClientAuthenticationError") as caught:
        done.call("describe")
    assert "secret" not in caught.value.sentence


def test_a_removed_attachment_is_recorded(make_harness: MakeHarness) -> None:
    """Gone from the item, and the record says so; a second time there is none."""
    done = attach(make_harness(), owner="me")
    done.call("remove")
    assert done.held == []
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


def test_triggers_stay_quiet_about_what_was_removed(make_harness: MakeHarness) -> None:
    """Only somebody who orders it attaches the file again."""
    done = attach(make_harness())
    done.call("remove")
    assert done.harness.transfer(BLOB).state == "cancelled"
    assert done.held == []
    id_, payload = done.harness.start(BLOB)
    again = done.harness.start_engine(id_, payload | {"ordered": True}).run()
    assert (again["state"], [again["attachmentId"]]) == ("attached", done.held)
    assert done.harness.metadata(BLOB)["attachmentid"] == done.held[0]


@pytest.mark.parametrize("room", [0, 40, 400])
def test_triggers_stay_quiet_though_the_record_had_no_room(
    make_harness: MakeHarness, room: int
) -> None:
    """The id that goes makes room for what tells the content."""
    harness = make_harness()
    probe = attach(harness)
    metadata = harness.metadata(BLOB)
    kept = ("mailbox", "messageid", "attachmentid", "attachmentstatus")
    taken = sum(len(key) + len(metadata[key]) for key in kept)
    filler = "x" * (METADATA_BYTES - taken - len("filler") - room)
    done = attach(harness, b"another", filler=filler)
    assert ("attachmenttransfer" in harness.metadata(BLOB)) == (room == 400)
    done.call("remove")
    assert harness.transfer(BLOB).state == "cancelled"
    assert done.held == []
    assert len(probe.held) == 1


def test_removed_in_outlook_before_counts_once(make_harness: MakeHarness) -> None:
    """What the user asks for is so, and the record learns of it."""
    done = attach(make_harness())
    item = OutlookItem(MAILBOX, "message", done.item)
    assert done.harness.graph.remove_attachment(item, done.held[0]).status == 204
    done.call("remove")
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "cancelled"
    with pytest.raises(AttachmentNotFound, match="does not hold the attachment any more"):
        done.call("remove")


def test_a_removal_whose_answer_was_lost_is_finished_by_the_next(
    make_harness: MakeHarness,
) -> None:
    """It was done; asking again says so."""
    done = attach(make_harness())
    lost = Fault(misbehaviour=catalogue.lost_answer(), kind="delete_attachment")
    done.harness.emulator.faults.add(lost)
    with pytest.raises(GraphUnavailable):
        done.call("remove")
    assert done.held == []
    done.call("remove")
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "cancelled"


class Meddled(SourceContainer):
    """Somebody writes metadata between each look and the first three writes."""

    writes = 0

    def write_metadata(self, name: str, etag: str, metadata: Mapping[str, str]) -> None:
        if "attachmenterror" in metadata and self.writes < 3:
            self.writes += 1
            present = self.look(name)
            super().write_metadata(name, present.etag, {**present.metadata, "n": str(self.writes)})
        super().write_metadata(name, etag, metadata)


def test_metadata_written_meanwhile_is_kept(make_harness: MakeHarness) -> None:
    """The record is merged into what is there now."""
    done = attach(make_harness(None, Product(source=Meddled)))
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
def test_the_record_of_something_else_is_left_alone(
    make_harness: MakeHarness, meanwhile: Callable[[Attached], None]
) -> None:
    """Other content, no blob at all, another attachment of the same content."""
    done = attach(make_harness())
    meanwhile(done)
    exists = done.harness.container.get_blob_client(BLOB).exists
    before = done.harness.metadata(BLOB) if exists() else None
    done.call("remove")
    assert done.status.attachment_id not in done.held
    assert (done.harness.metadata(BLOB) if exists() else None) == before
    with pytest.raises(AttachmentNotFound):
        done.call("remove")


def test_a_record_that_cannot_be_written_now_is_written_by_the_next_call(
    make_harness: MakeHarness,
) -> None:
    """The attachment is gone all the same, and the error says that something is left to do."""
    done = attach(make_harness())
    lease = BlobLeaseClient(done.harness.container.get_blob_client(BLOB))
    lease.acquire()
    with pytest.raises(StorageUnavailable):
        done.call("remove")
    assert done.held == []
    lease.release()
    done.call("remove")
    assert done.harness.metadata(BLOB)["attachmentstatus"] == "cancelled"


HOSTILE = 'a"b\r\nX-Evil: 1\u202egpj.exe'


def test_what_graph_tells_is_handed_on_for_the_door_to_check(make_harness: MakeHarness) -> None:
    """Name and type of somebody else's making do not hurt on their way."""
    done = attach(make_harness())
    told = {"name": HOSTILE, "contentType": "text/html\r\nX: y"}
    altered = alterations.json_changed(lambda body: body | told)
    fault = Misbehaviour(name="hostile", alteration=altered)
    done.harness.emulator.faults.add(Fault(misbehaviour=fault, kind="get_attachment"))
    found = done.attachments.content(done.status)
    assert (found.file_name, found.content_type) == (HOSTILE, told["contentType"])


@pytest.mark.parametrize("told", [{"id": None}, {"size": "many"}, {"isInline": []}])
def test_a_malformed_description_is_no_description(
    make_harness: MakeHarness, told: dict[str, Any]
) -> None:
    """What cannot be read was not answered."""
    done = attach(make_harness())
    altered = alterations.json_changed(lambda body: body | told)
    fault = Misbehaviour(name="malformed", alteration=altered)
    done.harness.emulator.faults.add(Fault(misbehaviour=fault, kind="get_attachment"))
    with pytest.raises(GraphUnavailable):
        done.call("describe")


@pytest.mark.parametrize("name", ["describe", "content", "remove"])
def test_a_record_that_names_another_attachment_is_not_believed(
    make_harness: MakeHarness, name: str
) -> None:
    """Whoever writes metadata could read or remove any attachment of the mailbox by it."""
    done = attach(make_harness())
    secret = done.harness.emulator.attach(MAILBOX, done.item, "secret.pdf", b"SECRET").id
    forged = replace(done, status=done.but(attachment_id=secret, recorded=True))
    with pytest.raises(AttachmentNotFound, match="not of the blob's content"):
        forged.call(name)
    assert secret in done.held
    honest = replace(done, status=done.but(recorded=True))
    honest.call(name)
    assert (done.status.attachment_id in done.held) == (name != "remove")
