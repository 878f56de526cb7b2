"""Responses whose keys come in another case, and creations that cannot be read."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from azure.core.credentials import TokenCredential

from infra.local.outlook import Fault, OutlookEmulator, catalogue
from infra.local.outlook.faults.schedule import Misbehaviour
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import NoResponse, parse_response
from shared.outlook.item import OutlookFile, OutlookItem
from shared.outlook.upload_session import Position, UploadSession
from shared.settings import Settings
from shared.transfer.retry_policy import RESPONSE_RULES, decide, effective_retry_after
from shared.transfer.retry_table import Action, Call
from tests.support.harness import EmulatorCredential

MAILBOX = "reports@contoso.com"
FILE = OutlookFile("big.bin", 4_000_000, "application/octet-stream")
CASES = {"upper": str.upper, "lower": str.lower, "swapped": str.swapcase, "title": str.capitalize}


@pytest.fixture
def outlook() -> Iterator[OutlookEmulator]:
    with OutlookEmulator() as emulator:
        emulator.add_mailbox(MAILBOX)
        yield emulator


@pytest.fixture
def client(outlook: OutlookEmulator) -> Iterator[GraphClient]:
    endpoint = graph_endpoint(Settings.model_validate({"graph_base_url": outlook.url}))
    credential = cast("TokenCredential", EmulatorCredential(outlook))
    credential.get_token(endpoint.scope)
    graph = GraphClient(endpoint, lambda: credential, RESPONSE_RULES, timeouts=(2.0, 2.0))
    yield graph
    graph.close()


@pytest.fixture
def item(outlook: OutlookEmulator) -> OutlookItem:
    return OutlookItem(MAILBOX, "message", outlook.add_item(MAILBOX, "message"))


def every_response(misbehaviour: Misbehaviour, outlook: OutlookEmulator) -> None:
    outlook.faults.add(Fault(misbehaviour=misbehaviour, index=0, times=None))


@pytest.mark.parametrize("change", CASES.values(), ids=CASES)
def test_every_call_reads_keys_in_any_case(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem, change: Callable[[str], str]
) -> None:
    """Creation, ranges, state, small POST, both pages of a listing, description, refusal."""
    every_response(catalogue.other_case(change), outlook)
    created = client.create_upload_session(item, FILE)
    url = client.upload_url(created.body["uploadUrl"])
    session = UploadSession(FILE.size, 2_000_000, offset=0, stop=FILE.size)
    put = client.put_range(url, ByteRange(0, 2_000_000), FILE.size, bytes(2_000_000))
    assert session.update(put.body) is Position.KNOWN
    assert session.update(client.session_state(url).body) is Position.KNOWN
    assert session.offset == 2_000_000
    assert client.cancel_upload_session(url).status == 204
    for number in range(12):
        posted = client.attach_small_file(item, OutlookFile(f"{number}", 1, "text/plain"), b"x")
    response, found = client.list_attachments(item)
    assert response.succeeded
    assert sorted(int(each.name) for each in found) == [*range(12)]
    assert all(each.id and each.size for each in found)
    described = client.describe_attachment(item, str(posted.body["id"]))
    assert {"id", "name", "size", "contentType", "isInline"} <= described.body.keys()
    refused = client.describe_attachment(item, "A=")
    assert (refused.code, bool(refused.message)) == ("ErrorItemNotFound", True)
    assert outlook.open_sessions() == []


def test_an_empty_key_in_another_case_hides_nothing() -> None:
    """Whichever of the two comes first."""
    for content in (
        b'{"uploadUrl": "u", "UploadUrl": null}',
        b'{"UPLOADURL": null, "uploadurl": "u"}',
    ):
        assert parse_response(201, {}, content).body["uploadUrl"] == "u"


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "cut after the URL": lambda body: body.rstrip(b"}"),
    "a list": lambda body: b"[" + body + b"]",
    "two objects": lambda body: body + body,
    "in HTML": lambda body: b"<html><pre>" + body.replace(b"&", b"&amp;") + b"</pre></html>",
    "not UTF-8": lambda body: b"\xff\xff" + body,
    "escaped slashes": lambda body: body.replace(b"/", rb"\/") + b"]",
    "another key": lambda body: body.replace(b"uploadUrl", b"url"),
    "a nested object": lambda body: b'{"session": ' + body + b"}",
}


@pytest.mark.parametrize("around", UNREADABLE.values(), ids=UNREADABLE)
def test_a_session_whose_creation_cannot_be_read_is_deleted(
    client: GraphClient,
    outlook: OutlookEmulator,
    item: OutlookItem,
    around: Callable[[bytes], bytes],
) -> None:
    """By its URL in the text. The creation is tried again after the usual wait, as a lost one."""
    broken = catalogue.unreadable(around, kinds=frozenset({"create"}))
    outlook.faults.add(Fault(misbehaviour=broken, kind="create"))
    response = client.create_upload_session(item, FILE)
    assert response.no_response is NoResponse.UNKNOWN
    row = decide(Call.CREATE, response)
    assert (row.action, effective_retry_after(row, response)) == (Action.RETRY, None)
    assert [request.kind for request in outlook.requests[1:]] == ["create", "cancel"]
    assert outlook.open_sessions() == []
    assert "authtoken" not in repr(response)


@pytest.mark.parametrize(
    "content",
    [
        b'{"uploadUrl": "https://outlook.office.com/x?authtoken=cut-of',
        b'["https://evil.example/x?authtoken=a"]',
        b"<html>Wait.</html>",
    ],
)
def test_where_no_url_is_found_nothing_is_sent(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem, content: bytes
) -> None:
    """A URL that is cut off, one on another host, none. The session expires."""
    broken = catalogue.unreadable(lambda _: content, kinds=frozenset({"create"}))
    outlook.faults.add(Fault(misbehaviour=broken, kind="create"))
    assert client.create_upload_session(item, FILE).no_response is NoResponse.UNKNOWN
    assert [request.kind for request in outlook.requests[1:]] == ["create"]
