"""The record of a transfer: which fingerprints it is written under."""

import hashlib

import pytest

from shared.storage.attachment_record import FINGERPRINT_DIGITS, read_record
from shared.storage.ledger import Ledger
from shared.storage.listing import Listing
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.record_attachment import Recorder
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import BlobVersion, TransferStatus
from shared.transfer.transfer_id import instance_id
from tests.support.engine.clock import VirtualClock
from tests.support.in_memory.storage import MemoryContainer
from tests.support.in_memory.tables import MemoryTables

NAME, CONTENT = "in/report.pdf", b"hello"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).digest()
STATUS = TransferStatus(
    state="attached",
    blob=NAME,
    mailbox="a@contoso.com",
    item_type="message",
    item_id="M",
    attachment_id="A",
)


@pytest.mark.parametrize(("before", "after"), [(MD5, None), (None, MD5)], ids=["cleared", "set"])
def test_a_blob_whose_md5_changed_is_known_by_both_fingerprints(
    before: bytes | None, after: bytes | None
) -> None:
    """So that it is not attached again, whichever MD5 property it has later."""
    blobs = MemoryContainer("source", VirtualClock())
    source = SourceContainer(blobs.as_client())
    blobs.put(NAME, CONTENT, before, {})
    blob = source.look(NAME)
    work = RecordAttachment(
        transfer_id="", content=BlobVersion.of(blob), status=STATUS, record="attached"
    )
    id_ = instance_id(blob, work.item)
    notes = SessionStore(MemoryContainer("notes", VirtualClock()).as_client())
    tables = MemoryTables().as_client()
    recorder = Recorder(source, Ledger(tables), notes, Listing(tables, VirtualClock()))
    blobs.set_md5(NAME, after)
    recorder.record(work.model_copy(update={"transfer_id": id_}))
    written = read_record(blobs.blob(NAME).metadata)
    assert len(written.sources) == 2
    assert written.sources[1] == id_[:FINGERPRINT_DIGITS]
    for md5 in (before, after):
        blobs.set_md5(NAME, md5)
        assert written.proves_attached(source.look(NAME), work.item)
