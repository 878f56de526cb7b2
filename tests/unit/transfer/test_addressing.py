import json
import re
import shutil
import subprocess
import unicodedata
from html import unescape
from urllib.parse import quote

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ContradictoryAddress, TransferError, Unaddressed
from shared.outlook.item import OutlookItem
from shared.transfer.addressing import (
    FILE_NAME_LENGTH,
    decode,
    mailbox_fault,
    read_address,
    safe_file_name,
)
from shared.transfer.service.requests import AttachRequest
from shared.triggers.http.monitor_page import MonitorPage
from shared.triggers.http.openapi import openapi_document

MESSAGE = {"mailbox": "a@contoso.com", "messageid": "AAMk="}
ITEM = OutlookItem("a@contoso.com", "message", "AAMk=")

MAILBOXES = [
    *(f"a{character}b@contoso.com" for character in "!#$%&'*+-/=?^_`{|}~."),
    "guest_fabrikam.com#ext#@contoso.onmicrosoft.com",
    "o'brien@contoso.com",
    "50%25off@contoso.com",
    "b\u00fcro@m\u00fcller.example",
    "\u0438\u0432\u0430\u043d@\u043f\u043e\u0447\u0442\u0430.example",
    "\u7530\u4e2d@\u4f8b.example",
    "0f4e9a2e-1111-2222-3333-444455556666",
]


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
        (MESSAGE | {"mailbox": "a?b"}, "address"),
        (MESSAGE | {"mailbox": "a@contoso.com/messages"}, "address"),
        (MESSAGE | {"mailbox": "a/../b@contoso.com"}, "address"),
        (MESSAGE | {"mailbox": "a b@contoso.com"}, "address"),
        (MESSAGE | {"mailbox": "a" * 309 + "@contoso.com"}, "320 characters"),
        (MESSAGE | {"messageid": "M" * 1_025}, "1,024 characters"),
        (MESSAGE | {"contentid": "c" * 1_025}, "1,024 characters"),
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


@pytest.mark.parametrize("mailbox", MAILBOXES)
def test_a_mailbox_may_hold_what_an_address_may(mailbox: str) -> None:
    """In metadata and in a path, encoded once, and in the body of a call as it is."""
    item = OutlookItem(mailbox, "message", "M=")
    metadata = {"mailbox": quote(mailbox, safe=""), "messageid": "M="}
    assert read_address("x", metadata).item == item
    assert read_address(f"{quote(mailbox, safe='')}/messages/M=/x", {}).item == item
    body = {"blob": "x", "mailbox": mailbox, "messageId": "M="}
    assert AttachRequest.read(body).item == item


@pytest.mark.parametrize("mailbox", [*MAILBOXES, "a/../b@contoso.com", "a b@c", "a@b@c", "a(b@c"])
def test_server_and_description_agree_on_a_mailbox(mailbox: str) -> None:
    """What the description calls valid is taken, and nothing else is."""
    schema = openapi_document()["components"]["schemas"]["AttachRequest"]["properties"]["mailbox"]
    described = re.search(schema["pattern"], mailbox) and not re.search(
        schema["not"]["pattern"], mailbox
    )
    assert bool(described) is (mailbox_fault(mailbox) is None)


def test_browsers_read_the_pattern_as_the_server_does() -> None:
    """The page's pattern is the same one, in the syntax that both know."""
    node = shutil.which("node")
    assert node
    rejected = ["a b@contoso.com", "a@b@c", "a(b@c", "@contoso.com", "a\u202e@contoso.com", "a?b"]
    page = MonitorPage("https://account.blob.core.windows.net").page(
        func.HttpRequest("GET", "/api/monitor", body=b"")
    )
    found = re.search(r'pattern="([^"]*)"', page.get_body().decode())
    assert found
    script = (
        "const [p, good, bad] = JSON.parse(process.argv[1]);"
        "const r = new RegExp(`^(?:${p})$`, 'v');"
        "console.log(good.every((x) => r.test(x)) && !bad.some((x) => r.test(x)));"
    )
    given_ = json.dumps([unescape(found[1]), [*MAILBOXES, f" {MAILBOXES[0]} "], rejected])
    done = subprocess.run([node, "-e", script, given_], capture_output=True, text=True, check=True)
    assert done.stdout == "true\n"


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
