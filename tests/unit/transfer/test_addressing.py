import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ContradictoryAddress, TransferError, Unaddressed
from shared.outlook.item import OutlookItem
from shared.transfer.addressing import FILE_NAME_LENGTH, decode, read_address, safe_file_name

MESSAGE = {"mailbox": "a@contoso.com", "messageid": "AAMk="}
ITEM = OutlookItem("a@contoso.com", "message", "AAMk=")


def test_metadata_names_the_item() -> None:
    """Keys match without case; the file is called as the blob is."""
    address = read_address("in/report.pdf", {"Mailbox": "a@contoso.com", "MessageId": "AAMk="})
    assert (address.item, address.file_name, address.content_id) == (ITEM, "report.pdf", None)


def test_metadata_names_an_event_and_an_inline_picture() -> None:
    """The optional keys name the file and make it inline."""
    metadata = {"mailbox": "a@contoso.com", "eventid": "E=", "filename": "l%C3%B6go.png"}
    address = read_address("x", metadata | {"contentid": "logo"})
    assert address.item == OutlookItem("a@contoso.com", "event", "E=")
    assert (address.file_name, address.content_id) == ("l\u00f6go.png", "logo")


@pytest.mark.parametrize(("collection", "type_"), [("messages", "message"), ("events", "event")])
def test_the_path_names_the_item(collection: str, type_: str) -> None:
    """Segments are decoded once, so an id may hold an encoded slash."""
    address = read_address(f"a@contoso.com/{collection}/AA%2FMk+%3D/year%20end.pdf", {})
    assert (address.item.mailbox, address.item.type) == ("a@contoso.com", type_)
    assert address.item.id == "AA/Mk+="
    assert address.file_name == "year end.pdf"


def test_metadata_wins_over_the_path() -> None:
    """First match wins; a file name alone leaves the path its item."""
    path = "b@contoso.com/events/E/x.pdf"
    assert read_address(path, MESSAGE).item == ITEM
    address = read_address(path, {"filename": "y.pdf"})
    assert (address.item.mailbox, address.file_name) == ("b@contoso.com", "y.pdf")


@pytest.mark.parametrize(
    "name",
    ["x.pdf", "in/x.pdf", "2026/report/x.pdf", "a@contoso.com/drafts/id/x", "/x", "messages/x"],
)
def test_other_paths_name_no_item(name: str) -> None:
    """A folder of the user's own is no address."""
    with pytest.raises(Unaddressed, match="metadata mailbox"):
        read_address(name, {"owner": "me"})


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (MESSAGE | {"eventid": "E="}, "both"),
        ({"mailbox": "a@contoso.com"}, "no item"),
        ({"messageid": "M"}, "no mailbox"),
        ({"eventid": "M", "mailbox": ""}, "no mailbox"),
        (MESSAGE | {"MAILBOX": "b@contoso.com"}, "twice"),
        (MESSAGE | {"messageid": "a b"}, "blank"),
        (MESSAGE | {"messageid": "a%0D%0Ab"}, "invisible"),
        (MESSAGE | {"mailbox": "a%E2%80%AE@contoso.com"}, "address"),
        (MESSAGE | {"mailbox": "../admin"}, "address"),
        (MESSAGE | {"mailbox": "evil@evil.example#@contoso.com"}, "address"),
        (MESSAGE | {"mailbox": "a?b@contoso.com"}, "address"),
        (MESSAGE | {"mailbox": "%2e%2e"}, "address"),
        (MESSAGE | {"mailbox": "@contoso.com"}, "address"),
        (MESSAGE | {"messageid": "../../users/b@contoso.com"}, "path"),
        (MESSAGE | {"messageid": ".."}, "path"),
    ],
)
def test_contradictory_metadata_is_refused(metadata: dict[str, str], says: str) -> None:
    """Two items, half of one, or a malformed one: the sentence says which."""
    with pytest.raises(ContradictoryAddress, match=says):
        read_address("b@contoso.com/messages/M/x.pdf", metadata)


@pytest.mark.parametrize(
    "name",
    [
        "a@contoso.com/messages",
        "a@contoso.com/messages/M",
        "a@contoso.com/messages//x.pdf",
        "/messages/M/x.pdf",
        "a@contoso.com/events/E/folder/x.pdf",
        "a@contoso.com/events/E/",
        "a@contoso.com/messages/%20/x.pdf",
        "a@contoso.com/messages/%2e%2e/x.pdf",
        "a@contoso.com/messages/..%2f..%2fusers%2fb@contoso.com/x.pdf",
    ],
)
def test_half_an_address_in_the_path_is_refused(name: str) -> None:
    """What begins like an address is meant as one."""
    with pytest.raises(ContradictoryAddress):
        read_address(name, {})


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("100%", "100%"),
        ("%zz%41", "%zzA"),
        ("%2541", "%41"),
        ("%ff", "%ff"),
        ("%c3%a4", "\u00e4"),
    ],
)
def test_decoding_happens_once(text: str, decoded: str) -> None:
    """A plus stays, and what is no valid escape stays as it is."""
    assert decode(text) == decoded


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("a\r\nX-Evil: 1.pdf", "aX-Evil: 1.pdf"),
        ('quo"ted".pdf', "quo_ted_.pdf"),
        ("exe\u202efdp.pdf", "exefdp.pdf"),
        ("..\\..\\x.pdf", ".._.._x.pdf"),
        ("a\u0308.txt", "\u00e4.txt"),
        ("\u200f\u2066", "attachment"),
        ("  .  ", "attachment"),
        ("\u0645\u06cc\u200c\u062e.txt", "\u0645\u06cc\u200c\u062e.txt"),
    ],
)
def test_file_names_are_made_safe(name: str, safe: str) -> None:
    """What could break a header or disguise an extension goes; letters of all scripts stay."""
    assert safe_file_name(name) == safe


def test_a_content_id_cannot_break_a_header() -> None:
    """Line breaks, blanks and angle brackets go."""
    metadata = MESSAGE | {"contentid": "a%0D%0AX-Evil: <b>"}
    assert read_address("x", metadata).content_id == "aX-Evil:b"


def test_a_mailbox_may_be_an_object_id() -> None:
    """An id of the directory, or an address in any script."""
    for mailbox in ("0f4e9a2e-1111-2222-3333-444455556666", "b\u00fcro@m\u00fcller.example"):
        assert read_address("x", MESSAGE | {"mailbox": mailbox}).item.mailbox == mailbox


def test_a_long_name_keeps_its_extension() -> None:
    """300 characters become 255."""
    name = safe_file_name("n" * 300 + ".pdf")
    assert len(name) == FILE_NAME_LENGTH
    assert name.endswith("n.pdf")


@given(st.text(max_size=400))
def test_any_name_becomes_a_safe_one(name: str) -> None:
    """No control character, separator or double quote is left; the name is never empty."""
    safe = safe_file_name(name)
    assert 0 < len(safe) <= FILE_NAME_LENGTH
    assert not any(unicodedata.category(c) in {"Cc", "Zl", "Zp"} or c in '/\\"' for c in safe)


@given(st.text(max_size=60), st.dictionaries(st.sampled_from(list(MESSAGE)), st.text(max_size=20)))
def test_no_blob_breaks_the_parser(name: str, metadata: dict[str, str]) -> None:
    """Any name and metadata give an address or a typed refusal."""
    try:
        address = read_address(name, metadata)
    except TransferError:
        return
    assert "/../" not in address.item.path + "/"
