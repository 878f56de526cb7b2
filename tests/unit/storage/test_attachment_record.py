import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.storage.attachment_record import (
    KEYS,
    METADATA_BYTES,
    AttachmentRecord,
    fingerprint,
    merge_record,
    read_record,
)
from shared.storage.source_blob import SourceBlob

BLOB = SourceBlob(
    account="a",
    container="c",
    name="a/b.pdf",
    etag="0x1",
    size=5,
    content_type="text/plain",
    created="2026-11-22T10:00:00+00:00",
    md5="00ff",
    kind="BlockBlob",
    archived=False,
    metadata={},
)
ITEM = "a@contoso.com/messages/M="
ATTACHED = AttachmentRecord(
    status="attached",
    attachment_id="AAMk=",
    item=ITEM,
    sources=("0123456789abcdef",),
    transfer_id=fingerprint(BLOB, ITEM) + "-0123456789abcdef",
    attached_at="2026-11-22T10:00:01Z",
)


def test_a_record_is_read_back_as_it_was_written() -> None:
    """An attached one, and a refusal with any sentence."""
    failed = replace(
        ATTACHED,
        status="failed",
        attachment_id="",
        attached_at="",
        error_code="GraphRefused",
        error_message="Sch\u00f6n: 100 %\r\n(really)",
    )
    for record in (ATTACHED, failed):
        metadata = merge_record({}, record)
        assert read_record(metadata) == record
        assert all(value.isascii() and value.isprintable() for value in metadata.values())


def test_the_users_own_keys_stay_as_they_are() -> None:
    """They stay, in case and value. An earlier record is replaced, in any case of its keys."""
    earlier = {"Owner": "Me", "mailbox": "a@contoso.com", "AttachmentStatus": "failed"}
    earlier["attachmenterror"] = "X: y"
    merged = merge_record(earlier, ATTACHED)
    assert merged["Owner"] == "Me"
    assert merged["mailbox"] == "a@contoso.com"
    assert [key for key in merged if key.lower() == "attachmentstatus"] == ["attachmentstatus"]
    assert "attachmenterror" not in merged


def test_full_metadata_keeps_the_id_then_the_status() -> None:
    """The user's metadata fills the limit: the id wins, then the status."""
    own = {"big": "x" * (METADATA_BYTES - len("big") - len("attachmentidAAMk="))}
    assert set(merge_record(own, ATTACHED)) == {"big", "attachmentid"}
    own["big"] = own["big"][: -len("attachmentstatusattached")]
    assert set(merge_record(own, ATTACHED)) == {"big", "attachmentid", "attachmentstatus"}


@given(st.integers(0, METADATA_BYTES), st.text(max_size=9000))
def test_the_limit_is_never_exceeded(free: int, message: str) -> None:
    """However long the sentence and however full the metadata; an escape is never cut in two."""
    record = replace(ATTACHED, status="failed", error_code="E", error_message=message)
    merged = merge_record({"k": "x" * (METADATA_BYTES - 1 - free)}, record)
    assert sum(len(k) + len(v) for k, v in merged.items()) <= METADATA_BYTES
    read = read_record(merged)
    assert not read.error_message or message.startswith(read.error_message.rstrip("\ufffd"))


def test_the_fingerprint_tells_contents_and_items_apart() -> None:
    """Name, time, size, MD5, container and item count; ETag and metadata do not."""
    own = fingerprint(BLOB, ITEM)
    assert len(own) == 16
    assert own == fingerprint(replace(BLOB, etag="0x2", metadata={"a": "b"}), ITEM)
    others = {
        fingerprint(replace(BLOB, container="c2"), ITEM),
        fingerprint(replace(BLOB, name="a/c.pdf"), ITEM),
        fingerprint(replace(BLOB, created="2026-11-22T10:00:01+00:00"), ITEM),
        fingerprint(replace(BLOB, size=6), ITEM),
        fingerprint(replace(BLOB, md5=""), ITEM),
        fingerprint(BLOB, ITEM + "x"),
        fingerprint(BLOB, ""),
    }
    assert len(others | {own}) == 8


def test_a_record_knows_what_it_is_about() -> None:
    """The same content, for any item. Not a copy, not an overwritten blob."""
    assert ATTACHED.is_about(BLOB, "")
    assert not ATTACHED.is_about(replace(BLOB, name="copy.pdf"), ITEM)
    assert not ATTACHED.is_about(replace(BLOB, md5="11"), ITEM)
    assert not AttachmentRecord().is_about(BLOB, ITEM)


def test_a_record_that_lacks_its_item_is_still_recognised() -> None:
    """The item that is named now is used instead."""
    assert replace(ATTACHED, item="").is_about(BLOB, ITEM)


def test_keys_are_the_documented_ones() -> None:
    """Other programs read them."""
    assert sorted(KEYS) == [
        "attachedat",
        "attachmenterror",
        "attachmentid",
        "attachmentitem",
        "attachmentsource",
        "attachmentstatus",
        "attachmenttransfer",
    ]


def merged_into(free: int, record: AttachmentRecord) -> dict[str, str]:
    """The metadata that a record becomes where so many bytes are free."""
    return merge_record({"k": "x" * (METADATA_BYTES - 1 - free)}, record)


@pytest.mark.parametrize("free", range(120, 140))
def test_a_sentence_that_is_cut_keeps_as_much_as_fits(free: int) -> None:
    """But no half of an escape."""
    record = AttachmentRecord(status="failed", error_code="E", error_message="\u00fc" * 99)
    merged = merged_into(free, record)
    value = merged["attachmenterror"]
    assert re.fullmatch("E: (%[0-9A-F]{2})*", value)
    assert free - 2 <= sum(map(len, [*merged, *merged.values()])) - METADATA_BYTES + free <= free


def test_a_sentence_without_escapes_is_cut_anywhere() -> None:
    """To the last byte."""
    record = AttachmentRecord(status="failed", error_code="E", error_message="x" * 99)
    merged = merged_into(60, record)
    assert sum(map(len, [*merged, *merged.values()])) == METADATA_BYTES


@pytest.mark.parametrize(("free", "kept"), [(33, 1), (49, 1), (50, 2), (65, 2), (66, 3)])
def test_as_many_fingerprints_stay_as_fit(free: int, kept: int) -> None:
    """The newest ones; never half of one."""
    sources = tuple(f"{n:016x}" for n in range(3))
    record = AttachmentRecord(attachment_id="A", sources=sources)
    own = len("attachmentid") + len("A")
    assert read_record(merged_into(own + free, record)).sources == sources[:kept]


def test_metadata_without_a_record_is_an_empty_record() -> None:
    """Each field is empty."""
    assert read_record({"owner": "me"}) == AttachmentRecord()


def test_an_item_of_any_characters_is_shown_in_ascii() -> None:
    """Metadata takes nothing else; the fingerprint is that of the text that is shown."""
    item = "\u00fc@contoso.com/messages/{M~} \x1f"
    merged = merge_record({}, replace(ATTACHED, item=item))
    assert merged["attachmentitem"] == "%C3%BC@contoso.com/messages/{M~} %1F"
    assert fingerprint(BLOB, item) == fingerprint(BLOB, merged["attachmentitem"])
