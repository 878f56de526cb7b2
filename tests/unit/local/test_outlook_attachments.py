"""Items and attachments in Graph: the small POST, listings, ids, and invalid requests."""

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from infra.local.outlook import OutlookEmulator, Rules
from infra.local.outlook.protocol.ids import mutable
from tests.unit.local.outlook_client import MAILBOX, Client, refusal

_NOT_FOUND = (404, "ErrorItemNotFound")


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256))])
def test_small_post_keeps_every_byte(client: Client, message: str, content: bytes) -> None:
    """The file is attached whole, even an empty one, and the response has its id."""
    answer = client.small(message, content, contentType="text/plain")
    assert answer.status_code == 201
    [attachment] = client.emulator.attachments(MAILBOX, message)
    assert (attachment.id, attachment.content) == (answer.json()["id"], content)
    assert (attachment.name, attachment.content_type) == ("note.txt", "text/plain")


@pytest.mark.parametrize(
    "properties",
    [
        {"contentBytes": "not base64!"},
        {"contentBytes": "abc"},
        {"contentBytes": None},
        {"contentBytes": 5},
        {"name": None},
        {"colour": "red"},
        {"size": 5},
        {"@odata.type": None},
        {"@odata.type": "#microsoft.graph.itemAttachment"},
    ],
)
def test_small_post_must_be_well_formed(
    client: Client, message: str, properties: dict[str, Any]
) -> None:
    """A missing, unknown or malformed property is a bad request, and nothing is attached."""
    assert client.small(message, **properties).status_code == 400
    assert client.emulator.attachments(MAILBOX, message) == []


def test_small_post_over_four_megabytes_is_refused(client: Client, message: str) -> None:
    """The whole body counts: three MiB of bytes are four of base64 before the JSON around it."""
    assert client.small(message, bytes(3 * 1024 * 1024)).status_code == 413
    assert client.small(message, bytes(3_145_000)).status_code == 201


def test_listing_comes_in_pages(emulator: OutlookEmulator, client: Client, message: str) -> None:
    """`@odata.nextLink` leads through every attachment, oldest first, selection kept."""
    emulator.rules = Rules(page_size=2)
    for number in range(5):
        client.small(message, name=f"file {number}")
    assert list(client.names(message)) == [f"file {number}" for number in range(5)]
    pages = [each for each in emulator.requests if each.kind == "list"]
    assert len(pages) == 3
    assert "$select=name" in pages[2].target


def test_listing_supports_top_and_refuses_invalid_options(client: Client, message: str) -> None:
    """`$top` sets the page size; another value than a number, or an unknown option, is 400."""
    client.small(message)
    client.small(message)
    url = f"{client.item_url(message)}/attachments"
    assert len(client.graph("GET", f"{url}?$top=1").json()["value"]) == 1
    assert len(client.graph("GET", f"{url}?$filter=size gt 1000000").json()["value"]) == 2
    for query in ("$top=x", "$skip=-1", "$colour=red"):
        assert client.graph("GET", f"{url}?{query}").status_code == 400


def test_every_property_is_returned_without_select(client: Client, message: str) -> None:
    """Also the content, as base64."""
    attached = client.small(message, b"hello").json()["id"]
    url = f"{client.item_url(message)}/attachments"
    [listed] = client.graph("GET", url).json()["value"]
    shown = client.graph("GET", f"{url}/{attached}").json()
    assert base64.b64decode(listed["contentBytes"]) == b"hello"
    assert listed.items() <= shown.items()


def test_select_needs_a_cast_for_content_id(client: Client, message: str) -> None:
    """Only file attachments have `contentId`."""
    attached = client.small(message, isInline=True, contentId="cid").json()["id"]
    url = f"{client.item_url(message)}/attachments/{attached}"
    assert client.graph("GET", f"{url}?$select=id,contentId").status_code == 400
    assert client.graph("GET", f"{url}?$select=colour").status_code == 400
    cast = "microsoft.graph.fileAttachment/contentId"
    shown = client.graph("GET", f"{url}?$select=id, name,{cast}").json()
    assert (shown["contentId"], shown["name"]) == ("cid", "note.txt")
    assert "contentBytes" not in shown


def test_raw_content_has_the_files_own_type(client: Client, message: str) -> None:
    """`$value` has the bytes, their number and their type."""
    attached = client.small(message, b"hello", contentType="image/png").json()["id"]
    raw = client.graph("GET", f"{client.item_url(message)}/attachments/{attached}/$value")
    assert (raw.content, raw.headers["Content-Type"]) == (b"hello", "image/png")
    assert raw.headers["Content-Length"] == "5"


def test_deleted_attachment_is_gone(client: Client, message: str) -> None:
    """DELETE removes it, once."""
    attached = client.small(message).json()["id"]
    url = f"{client.item_url(message)}/attachments/{attached}"
    assert client.graph("DELETE", url).status_code == 204
    assert client.emulator.attachments(MAILBOX, message) == []
    for method, path in (("DELETE", url), ("GET", url), ("GET", f"{url}/$value")):
        assert refusal(client.graph(method, path)) == _NOT_FOUND


@pytest.mark.parametrize("kind", ["message", "event"])
def test_created_item_can_have_attachments(client: Client, kind: Any) -> None:
    """A draft or an event created through Graph is an item like any other."""
    collection = client.item_url("", kind).rstrip("/")
    created = client.graph("POST", collection, json={"subject": "Plans"})
    assert created.status_code == 201
    item = created.json()["id"]
    shown = client.graph("GET", client.item_url(item, kind)).json()
    assert (shown["id"], shown["subject"]) == (item, "Plans")
    assert client.small(item, kind=kind).status_code == 201


def test_message_is_not_an_event(client: Client, message: str) -> None:
    """An id in the wrong collection is not found."""
    assert refusal(client.graph("GET", client.item_url(message, "event"))) == _NOT_FOUND


def test_ids_are_matched_with_their_case(client: Client, message: str) -> None:
    """An id in another case is another id."""
    assert refusal(client.graph("GET", client.item_url(message.swapcase()))) == _NOT_FOUND


def test_mailbox_is_matched_without_case(client: Client, message: str) -> None:
    """An address is the same in capitals; an unknown one is an invalid user."""
    url = client.item_url(message)
    name = quote(MAILBOX, safe="")
    assert client.graph("GET", url.replace(name, "Reports@Contoso.com")).status_code == 200
    stranger = client.graph("GET", url.replace(name, "bob@contoso.com"))
    assert refusal(stranger) == (404, "ErrorInvalidUser")


def test_old_ids_need_percent_encoding(client: Client) -> None:
    """An id with a slash in it leads elsewhere unless it is encoded."""
    item = client.emulator.add_item(MAILBOX, "message", old_form=True)
    assert "/" in item
    assert "+" in item
    assert client.graph("GET", client.item_url(item)).status_code == 200
    raw = client.item_url("ID").replace("ID", item)
    assert refusal(client.graph("GET", raw)) == (400, "BadRequest")
    assert client.upload(item, b"abc", 2).status_code == 201


@pytest.mark.parametrize("prefer", ["", 'IdType="ImmutableId"'])
def test_ids_differ_by_preference(client: Client, message: str, prefer: str) -> None:
    """Without the header ids have the mutable form; requests can use either."""
    client.small(message)
    headers = {"Prefer": prefer}
    for item_id in (message, mutable(message)):
        url = client.item_url(item_id)
        shown = client.graph("GET", url, headers).json()["id"]
        [listed] = client.graph("GET", f"{url}/attachments", headers).json()["value"]
        assert {shown[:4], listed["id"][:4]} == ({"AAkA"} if prefer else {"AAMk"})
        assert client.graph("GET", f"{url}/attachments/{listed['id']}").status_code == 200


def test_location_can_have_a_mutable_id(
    emulator: OutlookEmulator, client: Client, message: str
) -> None:
    """The form of the id in `Location` is a rule, since it is not published."""
    emulator.rules = replace(emulator.rules, location_ids="mutable")
    location = client.upload(message, b"abc", 3).headers["Location"]
    assert mutable(emulator.attachments(MAILBOX, message)[0].id) in location


@pytest.mark.parametrize("path", ["/", "/v1.0/me/messages", "/v1.0/users/a@b/contacts", "/v3/x"])
def test_unsupported_path_is_refused(client: Client, path: str) -> None:
    """An application has no `/me`, and the emulator only items and attachments."""
    answer = client.graph("GET", client.emulator.url + path)
    assert refusal(answer) == (400, "BadRequest")


def test_unknown_version_is_refused(client: Client, message: str) -> None:
    """Graph has `v1.0` and `beta`."""
    assert client.graph("GET", client.item_url(message, version="beta")).status_code == 200
    assert client.graph("GET", client.item_url(message, version="v2.0")).status_code == 400


def test_unknown_method_is_refused(client: Client, message: str) -> None:
    """A known path with an unsupported method is 405."""
    answer = client.graph("PATCH", client.item_url(message), json={})
    assert refusal(answer) == (405, "ErrorMethodNotAllowed")


def test_every_response_can_be_traced(client: Client, message: str) -> None:
    """Every response has `Date`, its own `request-id`, and the client's."""
    url = client.item_url(message)
    for method, path in (("GET", url), ("GET", f"{url}/nothing"), ("PATCH", url)):
        headers = client.graph(method, path, {"client-request-id": "mine"}).headers
        assert headers["Date"] == "Mon, 05 Jan 2026 09:00:00 GMT"
        assert headers["client-request-id"] == "mine"
        assert headers["request-id"]
