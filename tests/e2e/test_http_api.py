"""Every route of the HTTP API, on the local stack."""

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from infra.local.outlook import catalogue
from infra.local.stack import MAILBOXES, Stack
from tests.support.e2e.api import Api

MAILBOX = MAILBOXES[0]
KEYED = [
    ("POST", "/transfers"),
    ("GET", "/transfers"),
    ("GET", "/transfers/x"),
    ("DELETE", "/transfers/x"),
    ("GET", "/transfers/x/attachment"),
    ("GET", "/transfers/x/attachment/content"),
    ("DELETE", "/transfers/x/attachment"),
    ("POST", "/uploads"),
    ("GET", "/health/ready"),
    ("GET", "/openapi.json"),
]


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """The API; Outlook has no faults afterwards."""
    yield Api(stack)
    stack.outlook.faults.clear()


@pytest.fixture
def item(stack: Stack) -> str:
    """A new draft."""
    return stack.outlook.add_item(MAILBOX, "message")


def contents(stack: Stack, item: str) -> list[bytes]:
    return [each.content for each in stack.outlook.attachments(MAILBOX, item)]


def code_of(answer: requests.Response) -> str:
    return str(answer.json()["error"]["code"])


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_nothing_is_returned_without_the_key(api: Api, method: str, path: str) -> None:
    """401 on every route but the shallow health check."""
    for headers in ({}, {"x-functions-key": "wrong"}):
        answer = requests.request(method, api.url + path, headers=headers, timeout=10)
        assert answer.status_code == 401


def test_a_request_attaches_a_blob_that_names_no_item(api: Api, item: str) -> None:
    """202 with the transfer and its URL; 200 once it is attached; never attached twice."""
    content = os.urandom(2_500_000)
    blob = api.put("orders/plain.pdf", content)
    assert api.record(blob)["attachmentstatus"] == "unaddressed"
    order = {"blob": blob, "mailbox": MAILBOX, "messageId": item}
    first = api.request_transfer(**order)
    assert (first.status_code, first.headers["Retry-After"]) == (202, "2")
    assert first.headers["Location"] == f"/api/transfers/{first.json()['id']}"
    attached = api.ended(first.json()["id"])
    assert (attached["state"], attached["size"]) == ("attached", len(content))
    assert attached["completedAt"] >= attached["createdAt"]
    again = api.request_transfer(**order)
    assert (again.status_code, again.json()["attachmentId"]) == (200, attached["attachmentId"])
    assert contents(api.stack, item) == [content]
    assert api.record(blob)["attachmentid"] == attached["attachmentId"]


def test_the_request_names_the_file(api: Api, item: str) -> None:
    """Name, type and content id of the body have priority over the blob's own."""
    blob = api.put("orders/raw", b"picture", filename="other.png")
    order = {"fileName": "logo.png", "contentType": "image/png", "contentId": "logo"}
    placed = api.request_transfer(
        blob=blob, mailbox=MAILBOX, messageId=item, isInline=True, **order
    )
    assert api.ended(placed.json()["id"])["fileName"] == "logo.png"
    (attachment,) = api.stack.outlook.attachments(MAILBOX, item)
    assert (attachment.name, attachment.content_type) == ("logo.png", "image/png")
    assert (attachment.is_inline, attachment.content_id) == (True, "logo")


def test_force_attaches_again(api: Api, item: str) -> None:
    """The record has the newest attachment."""
    blob = api.put("orders/force.pdf", b"twice")
    order = {"blob": blob, "mailbox": MAILBOX, "messageId": item}
    first = api.ended(api.request_transfer(**order).json()["id"])
    second = api.ended(api.request_transfer(**order, force=True).json()["id"])
    assert second["state"] == "attached"
    assert second["attachmentId"] != first["attachmentId"]
    assert contents(api.stack, item) == [b"twice", b"twice"]
    assert api.record(blob)["attachmentid"] == second["attachmentId"]


def test_the_same_idempotency_key_is_the_same_attempt(api: Api, item: str) -> None:
    """Even with force: a client that repeats a call after a lost response attaches once."""
    blob = api.put("orders/key.pdf", b"once")
    order = {"blob": blob, "mailbox": MAILBOX, "messageId": item, "force": True}
    key = {"Idempotency-Key": "order-1"}
    ids = {api.request_transfer(**order, headers=key).json()["id"] for _ in range(3)}
    assert len(ids) == 1
    assert api.ended(ids.pop())["state"] == "attached"
    assert contents(api.stack, item) == [b"once"]
    bad = api.request_transfer(**order, headers={"Idempotency-Key": "with blank"})
    assert (bad.status_code, code_of(bad)) == (400, "InvalidRequest")


def test_a_request_restarts_a_failed_transfer(api: Api, stack: Stack) -> None:
    """The item did not exist then, and does now."""
    late = "AAkA" + os.urandom(24).hex()
    blob = api.put("orders/restart.pdf", b"late", mailbox=MAILBOX, messageid=late)
    record = api.record(blob)
    assert record["attachmenterror"].startswith("ItemNotFound")
    # The record comes shortly before the end; until then, a request joins the transfer.
    assert api.ended(record["attachmenttransfer"])["state"] == "failed"
    stack.outlook.add_item(MAILBOX, "message", item_id=late)
    placed = api.request_transfer(blob=blob, mailbox=MAILBOX, messageId=late)
    assert placed.status_code == 202
    assert api.ended(placed.json()["id"])["state"] == "attached"
    assert api.record(blob)["attachmentstatus"] == "attached"
    assert "attachmenterror" not in api.record(blob)


def test_several_blobs_are_attached_in_the_order_given(api: Api, item: str) -> None:
    """One after the other, large and small; a missing one does not stop the others."""
    sizes = {"3.bin": 3_200_000, "1.bin": 10, "2.bin": 3_100_000}
    files = {f"several/{name}": os.urandom(size) for name, size in sizes.items()}
    for name, content in files.items():
        api.put(name, content)
    names = [*files]
    names.insert(1, "several/missing.bin")
    placed = api.request_transfer(blobs=names, mailbox=MAILBOX, messageId=item)
    assert placed.status_code == 202
    items = placed.json()["items"]
    assert [each["blob"] for each in items] == names
    assert items[1]["error"]["code"] == "BlobNotFound"
    ids = [each["id"] for each in items if "id" in each]
    assert [api.ended(id_)["state"] for id_ in ids] == ["attached"] * 3
    assert contents(api.stack, item) == list(files.values())
    again = api.request_transfer(blobs=[*files], mailbox=MAILBOX, messageId=item)
    assert [each["id"] for each in again.json()["items"]] == ids
    assert contents(api.stack, item) == list(files.values())


def test_a_failed_transfer_does_not_stop_the_others(api: Api, item: str) -> None:
    """The first is refused by Outlook midway, the second is attached."""
    for name in ("halfway/1.bin", "halfway/2.bin"):
        api.put(name, os.urandom(3_200_000))
    api.next_fails("create", catalogue.too_large())
    placed = api.request_transfer(
        blobs=["halfway/1.bin", "halfway/2.bin"], mailbox=MAILBOX, messageId=item
    )
    states = [api.ended(each["id"])["state"] for each in placed.json()["items"]]
    assert sorted(states) == ["attached", "failed"]
    assert len(contents(api.stack, item)) == 1


def test_two_calls_to_one_item_never_write_at_once(api: Api, stack: Stack, item: str) -> None:
    """By the emulator's record of requests at once."""
    for number in range(4):
        api.put(f"both/{number}.bin", os.urandom(3_200_000))
    calls = [[f"both/{n}.bin" for n in pair] for pair in ((0, 1), (2, 3))]
    placed = [api.request_transfer(blobs=each, mailbox=MAILBOX, messageId=item) for each in calls]
    for answer in placed:
        for each in answer.json()["items"]:
            assert api.ended(each["id"])["state"] == "attached"
    own = [each for each in stack.outlook.requests if each.item == item]
    spans = sorted((each.at, each.ended_at or each.at) for each in own)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert len(contents(stack, item)) == 4


def test_a_transfer_is_cancelled_and_its_session_deleted(api: Api, stack: Stack, item: str) -> None:
    """While it waits; a second call does nothing; an attached one cannot be cancelled."""
    blob = api.put("cancel/long.bin", os.urandom(3_200_000))
    api.next_fails("range", catalogue.throttled("6"))
    id_ = api.request_transfer(blob=blob, mailbox=MAILBOX, messageId=item).json()["id"]
    api.reaches(id_, "waiting")
    for _ in range(2):
        assert api.call("DELETE", f"/transfers/{id_}").status_code == 202
    assert api.ended(id_)["state"] == "cancelled"
    assert api.call("DELETE", f"/transfers/{id_}").status_code == 202
    assert api.record(blob)["attachmentstatus"] == "cancelled"
    assert not [each for each in stack.outlook.open_sessions() if each.item == item]
    assert contents(stack, item) == []
    stack.outlook.faults.clear()
    again = api.request_transfer(blob=blob, mailbox=MAILBOX, messageId=item).json()["id"]
    assert api.ended(again)["state"] == "attached"
    over = api.call("DELETE", f"/transfers/{again}")
    assert (over.status_code, code_of(over)) == (409, "TransferOver")


def test_a_listing_is_filtered_and_newest_first(api: Api, item: str) -> None:
    """By time, state, mailbox, blob and a part of the name; pages follow each other."""
    blob = api.put("listed/a.pdf", b"listed")
    id_ = api.request_transfer(blob=blob, mailbox=MAILBOX, messageId=item).json()["id"]
    api.ended(id_)
    states = ["attached", "failed"]
    query = {"state": states, "mailbox": MAILBOX.upper(), "q": "A.P", "blob": blob}
    listed = api.call("GET", "/transfers", params=query).json()
    assert listed["items"][0]["id"] == id_
    created = [each["createdAt"] for each in listed["items"]]
    assert created == sorted(created, reverse=True)
    assert {each["state"] for each in listed["items"]} == {"attached"}
    second = api.put("listed/b.pdf", b"listed, too")
    other = api.request_transfer(blob=second, mailbox=MAILBOX, messageId=item).json()["id"]
    api.ended(other)
    query = {"state": "attached", "q": ".pdf", "mailbox": MAILBOX}
    first = api.call("GET", "/transfers", params=query | {"top": 1}).json()
    assert [each["id"] for each in first["items"]] == [other]
    after = api.call("GET", "/transfers", params=query | {"cursor": first["next"]}).json()
    assert after["items"][0]["id"] == id_
    shown = api.call("GET", f"/transfers/{id_}").json()
    # The instance itself ends a moment after its end was listed.
    differing = {name for name in shown if shown[name] != after["items"][0][name]}
    assert differing <= {"updatedAt", "completedAt"}
    damaged = api.call("GET", "/transfers", params={"cursor": first["next"][:-3]})
    assert (damaged.status_code, code_of(damaged)) == (400, "InvalidRequest")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert api.call("GET", "/transfers", params={"since": later}).json()["items"] == []
    for odd in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert api.call("GET", "/transfers", params={"since": odd}).status_code == 400
    bad = api.call("GET", "/transfers", params={"since": "x", "top": 0, "status": "y"})
    assert bad.status_code == 400
    assert {each["field"] for each in bad.json()["error"]["details"]} == {"since", "top", "status"}


def test_an_attachment_is_described_downloaded_and_removed(api: Api, item: str) -> None:
    """It may be attached again by another request."""
    content = os.urandom(70_000)
    blob = api.put("after/räport.pdf", content)
    order = {"blob": blob, "mailbox": MAILBOX, "messageId": item}
    id_ = api.request_transfer(**order).json()["id"]
    attached = api.ended(id_)
    path = f"/transfers/{id_}/attachment"
    assert api.call("GET", path).json()["id"] == attached["attachmentId"]
    download = api.call("GET", f"{path}/content")
    assert download.content == content
    assert download.headers["Content-Disposition"].startswith("attachment; ")
    assert download.headers["X-Content-Type-Options"] == "nosniff"
    assert api.call("DELETE", path).status_code == 204
    assert api.call("GET", f"/transfers/{id_}").json()["state"] == "removed"
    removed = api.call("GET", "/transfers", params={"state": "removed", "blob": blob}).json()
    assert [each["id"] for each in removed["items"]] == [id_]
    assert contents(api.stack, item) == []
    assert api.record(blob)["attachmentstatus"] == "cancelled"
    for method, of in (("DELETE", path), ("GET", path), ("GET", f"{path}/content")):
        gone = api.call(method, of)
        assert (gone.status_code, code_of(gone)) == (404, "AttachmentNotFound")
    assert api.ended(api.request_transfer(**order).json()["id"])["state"] == "attached"
    assert contents(api.stack, item) == [content]


def test_unknown_transfers_are_not_found(api: Api) -> None:
    """An entity is no transfer either."""
    for id_ in ("nope", "@mailbox_budget@x", "0" * 33):
        answer = api.call("GET", f"/transfers/{id_}")
        assert (answer.status_code, code_of(answer)) == (404, "TransferNotFound")


def test_health_is_shallow_for_all_and_deep_with_the_key(api: Api) -> None:
    """Each part by its name."""
    alive = requests.get(f"{api.url}/health", timeout=10)
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    ready = api.call("GET", "/health/ready").json()
    assert ready["ready"] is True
    assert [each["name"] for each in ready["checks"]] == [
        "identity",
        "container",
        "ledger",
        "graph",
    ]


GOOD: dict[str, Any] = {"blob": "x", "mailbox": MAILBOX, "messageId": "M"}
BAD_BODIES: list[tuple[object, set[str]]] = [
    ({}, {"mailbox", "blob", "messageId"}),
    (GOOD | {"blobs": ["y"]}, {"blobs"}),
    (GOOD | {"eventId": "E"}, {"eventId"}),
    (GOOD | {"blob": "../x"}, {"blob"}),
    (GOOD | {"blob": "a/../../x"}, {"blob"}),
    (GOOD | {"blob": "/../x"}, {"blob"}),
    (GOOD | {"blob": "https://evil.example/x"}, {"blob"}),
    (GOOD | {"blob": "x" * 1_025}, {"blob"}),
    (GOOD | {"blob": "a\ud800b"}, {"blob"}),
    (GOOD | {"blob": 5, "mailbox": None, "messageId": []}, {"blob", "mailbox", "messageId"}),
    (GOOD | {"mailbox": "a@b@c"}, {"mailbox"}),
    (GOOD | {"messageId": "../../users"}, {"messageId"}),
    (GOOD | {"messageId": "a b"}, {"messageId"}),
    (GOOD | {"force": "yes"}, {"force"}),
    (GOOD | {"extra": 1}, {"extra"}),
    (GOOD | {"isInline": True}, {"contentId"}),
    (GOOD | {"contentType": "text/html\r\nX: y"}, {"contentType"}),
    ({"blobs": [], "mailbox": MAILBOX, "eventId": "E"}, {"blobs"}),
    ([GOOD], {""}),
    ("text", {""}),
]


@pytest.mark.parametrize(("body", "fields"), BAD_BODIES)
def test_every_fault_of_a_body_is_named_at_once(api: Api, body: object, fields: set[str]) -> None:
    """400 with exactly the wrong fields."""
    answer = api.call("POST", "/transfers", json=body)
    assert (answer.status_code, code_of(answer)) == (400, "InvalidRequest")
    assert {each["field"] for each in answer.json()["error"]["details"]} == fields


RAW_BODIES = [
    b"",
    b"{",
    b"\xff\xfe",
    b'{"blob": "a", "blob": "b"}',
    b'{"force": NaN}',
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" * 60_000,
    b'{"n": ' + b"9" * 6_000 + b"}",
    b" " * 1_000_000,
]


@pytest.mark.parametrize("body", RAW_BODIES, ids=lambda body: repr(body[:12]))
def test_a_body_that_is_no_json_is_refused(api: Api, body: bytes) -> None:
    """Deep, large, with duplicate keys, malformed: 400, and the app keeps running."""
    answer = api.call("POST", "/transfers", data=body)
    assert (answer.status_code, code_of(answer)) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "blob", ["%2e%2e/secret", "a%00b", "..%2f..%2fx", "x?comp=metadata", "a#b"]
)
def test_hostile_blob_names_reach_nothing_else(api: Api, item: str, blob: str) -> None:
    """They are names in the container, without a blob."""
    answer = api.request_transfer(blob=blob, mailbox=MAILBOX, messageId=item)
    assert (answer.status_code, code_of(answer)) == (404, "BlobNotFound")


@pytest.mark.parametrize("item_id", ["a/b+c==", "100%", "it's", 'say"hi"', "%2e%2e%2f"])
def test_unusual_item_ids_are_only_ids(api: Api, item_id: str) -> None:
    """Graph gets them as one path segment, and finds no such item."""
    blob = api.put("odd/id.pdf", os.urandom(8))
    placed = api.request_transfer(blob=blob, mailbox=MAILBOX, messageId=item_id)
    assert placed.status_code == 202
    ended = api.ended(placed.json()["id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "ItemNotFound")


def test_a_file_over_the_limit_is_refused_before_any_call_to_graph(stack: Stack, api: Api) -> None:
    """413 by the blob's size."""
    blob = api.container.get_blob_client("big.bin")
    blob.upload_blob(b"", blob_type="PageBlob", length=512 * 400_000, overwrite=True)
    answer = api.request_transfer(blob="big.bin", mailbox=MAILBOX, messageId="M")
    assert (answer.status_code, code_of(answer)) == (413, "AttachmentTooLarge")
