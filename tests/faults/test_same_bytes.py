"""The same bytes on the same path again: one attachment, unless a request forces another."""

import hashlib
import random
from datetime import timedelta

import pytest

from infra.local.outlook import Fault, catalogue
from infra.local.outlook.rules import Rules
from infra.local.outlook.state.upload_session import FileDescription
from shared.storage.ledger import Ledger
from shared.transfer.payloads import TransferStatus
from shared.transfer.service.attachments import Attachments
from tests.support.in_memory.app import InMemoryApp
from tests.support.in_memory.tables import open_entries
from tests.support.virtual_app import MAILBOX

R = 4_000
SIZES = [100, 3 * R]
RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=2_000, page_size=2)


def content_of(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


class Again:
    """One blob that goes to one draft, and is written again and again."""

    def __init__(self, size: int, *, with_md5: bool) -> None:
        self.app = InMemoryApp("replaced", rules=RULES, range_bytes=R, ranges_per_activity=1)
        self.with_md5 = with_md5
        self.item = self.app.add_message()
        self.first = content_of(size)
        self.put(self.first)

    def put(self, content: bytes, name: str = "a.pdf") -> str:
        """Write the blob, some time after the last time, and deliver its event; the transfer."""
        self.app.clock.advance(5)
        md5 = hashlib.md5(content, usedforsecurity=False).digest() if self.with_md5 else None
        self.app.blobs.put(name, content, md5, {"mailbox": MAILBOX, "messageid": self.item})
        return self.app.deliver(name)

    def ended(self, id_: str) -> TransferStatus:
        """The end of a transfer, when all have ended."""
        self.app.finish_in_time()
        return TransferStatus.from_json(self.app.engines[id_].output)

    @property
    def attached(self) -> list[bytes]:
        return [each.content for each in self.app.attachments(self.item)]


@pytest.fixture(params=[True, False], ids=["with MD5", "without MD5"])
def with_md5(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("size", SIZES)
def test_a_retried_upload_attaches_once(size: int, *, with_md5: bool) -> None:
    """Both transfers say so, and so does the record of the blob that is there now."""
    again = Again(size, with_md5=with_md5)
    again.app.finish_in_time()
    (attachment,) = again.app.attachments(again.item)
    for _ in range(2):
        status = again.ended(again.put(again.first))
        assert (status.state, status.attachment_id) == ("attached", attachment.id)
        assert again.attached == [again.first]
        record = again.app.blobs.blob("a.pdf").metadata
        assert (record["attachmentstatus"], record["attachmentid"]) == ("attached", attachment.id)
    assert not open_entries(again.app.memory_tables)


@pytest.mark.parametrize("size", SIZES)
def test_a_retried_upload_attaches_once_whenever_it_comes(size: int, *, with_md5: bool) -> None:
    """After any step of the first transfer."""
    for steps in range(1, 9):
        again = Again(size, with_md5=with_md5)
        for _ in range(steps):
            again.app.advance_in_time()
        assert again.ended(again.put(again.first)).state == "attached"
        assert again.attached == [again.first], steps


@pytest.mark.parametrize("size", SIZES)
def test_other_bytes_are_another_attachment(size: int, *, with_md5: bool) -> None:
    """And the first ones again are none."""
    again = Again(size, with_md5=with_md5)
    again.app.finish_in_time()
    other = content_of(size, 1)
    assert again.ended(again.put(other)).state == "attached"
    assert again.attached == [again.first, other]
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first, other]


def test_the_same_bytes_on_another_path_are_another_attachment(*, with_md5: bool) -> None:
    """Two files of one name in two folders are two files."""
    again = Again(100, with_md5=with_md5)
    again.app.finish_in_time()
    assert again.ended(again.put(again.first, "other/a.pdf")).state == "attached"
    assert again.attached == [again.first] * 2


def test_a_request_with_force_attaches_again(*, with_md5: bool) -> None:
    """It says that two are wanted."""
    again = Again(100, with_md5=with_md5)
    again.app.finish_in_time()
    first = next(iter(again.app.engines.values()))
    forced = again.app.start_engine(
        f"{first.instance_id[:16]}-{16 * '0'}", first.payload | {"ordered": True, "force": True}
    )
    assert again.ended(forced.instance_id).state == "attached"
    assert again.attached == [again.first] * 2


@pytest.mark.parametrize("size", SIZES)
def test_what_was_removed_is_attached_again(size: int, *, with_md5: bool) -> None:
    """By a call of the API, and by somebody in Outlook: a new upload is a new wish."""
    again = Again(size, with_md5=with_md5)
    app = again.app
    id_ = next(iter(app.engines))
    tables = app.tables
    calls = Attachments(app.settings, app.source, Ledger(tables), app.graph, app.listing)
    calls.remove(id_, again.ended(id_))
    assert again.attached == []
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first]
    app.service.tenant.mailboxes.find(MAILBOX).items[again.item].attachments.clear()
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first]


def test_an_attachment_that_cannot_be_read_does_not_count(*, with_md5: bool) -> None:
    """Nobody knows whether it has the same bytes: the file is not lost."""
    again = Again(100, with_md5=with_md5)
    again.app.finish_in_time()
    gone = Fault(misbehaviour=catalogue.refused(504), kind="raw_content", times=None)
    again.app.service.faults.add(gone)
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first] * 2


@pytest.mark.parametrize("ranges", [2, 3, 4])
def test_a_retried_upload_waits_for_the_transfer_under_way(ranges: int, *, with_md5: bool) -> None:
    """It gets no session between two activities of the first one, whose bytes are read ahead."""
    for sent in range(ranges):
        again = Again(ranges * R, with_md5=with_md5)
        (first,) = again.app.engines.values()
        while first.performed.count("upload_ranges") < sent or not first.performed[1:]:
            first.advance()
        id_ = again.put(again.first)
        second = again.app.engines[id_]
        for _ in range(6):
            second.advance()
        assert "create_upload_session" not in second.performed
        while not first.is_over:
            first.advance()
        assert again.ended(id_).state == "attached"
        assert again.attached == [again.first], sent


def test_a_transfer_that_never_ends_does_not_keep_the_next_one_forever() -> None:
    """Its instance was terminated, say, and its row stayed open."""
    again = Again(100, with_md5=True)
    (first,) = again.app.engines.values()
    first.advance()
    name, payload = first.next_work
    again.app.service.faults.add(Fault(misbehaviour=catalogue.throttled("3"), kind="small_post"))
    again.app.activities[name](payload)
    del again.app.engines[first.instance_id]
    began = again.app.clock()
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first]
    assert timedelta(minutes=14) < again.app.clock() - began < timedelta(minutes=20)


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_file_that_outlook_adds_late_is_not_sent_again(seconds: int, *, with_md5: bool) -> None:
    """The first transfer searches for it; the upload is repeated meanwhile."""
    again = Again(100, with_md5=with_md5)
    late = Fault(misbehaviour=catalogue.commits_late(seconds), kind="small_post")
    again.app.service.faults.add(late)
    (first,) = again.app.engines.values()
    while first.performed[-1:] != ["attach_small_file"]:
        first.advance()
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first]


def test_an_upload_after_an_unknown_outcome_finds_the_file(*, with_md5: bool) -> None:
    """As the error's sentence asks: look, and upload again. Nobody looked."""
    again = Again(100, with_md5=with_md5)
    app = again.app
    lost = Fault(misbehaviour=catalogue.lost_answer(), kind="small_post")
    refused = Fault(misbehaviour=catalogue.refused(503), kind="list", occurrence=2, times=None)
    app.service.faults.add(lost, refused)
    (first,) = app.engines
    error = again.ended(first).error
    assert error is not None
    assert error.code == "OutcomeUnknown"
    app.service.faults.clear()
    assert again.ended(again.put(again.first)).state == "attached"
    assert again.attached == [again.first]


def test_a_users_own_attachment_is_neither_claimed_nor_removed(*, with_md5: bool) -> None:
    """It has the same name and bytes, and was there before."""
    again = Again(100, with_md5=with_md5)
    app = again.app
    committer = app.service.tenant.committer(0)
    item = app.service.tenant.mailboxes.find(MAILBOX).items[again.item]
    own = committer.commit_bytes(item, FileDescription(name="a.pdf"), again.first)
    app.finish_in_time()
    id_ = again.put(again.first)
    status = again.ended(id_)
    assert again.attached == [again.first] * 2
    assert status.attachment_id != own.id
    calls = Attachments(app.settings, app.source, Ledger(app.tables), app.graph, app.listing)
    calls.remove(id_, status)
    assert [each.id for each in app.attachments(again.item)] == [own.id]


def test_a_removal_counts_for_all_transfers_that_share_the_attachment(*, with_md5: bool) -> None:
    """A request attaches the file again afterwards, by whichever transfer it was removed."""
    again = Again(100, with_md5=with_md5)
    app = again.app
    (first,) = app.engines
    status = again.ended(first)
    second = again.put(again.first)
    again.ended(second)
    calls = Attachments(app.settings, app.source, Ledger(app.tables), app.graph, app.listing)
    calls.remove(first, status)
    assert again.attached == []
    app.clock.advance(5)
    engine = app.start_engine(second, app.engines[second].payload | {"ordered": True})
    assert again.ended(engine.instance_id).state == "attached"
    assert again.attached == [again.first]
