"""The requests for one attachment, and how much of a response is read."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken, TokenCredential

from infra.local.outlook import OutlookEmulator
from shared.outlook.clouds import GraphEndpoint, graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_http import ResponseTooLarge
from shared.outlook.graph_response import NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.settings import Settings
from shared.transfer.retry_policy import RESPONSE_RULES
from tests.support.harness import EmulatorCredential

MAILBOX = "reports@contoso.com"
ITEM = OutlookItem(MAILBOX, "message", "AAkA+/=")
_BLOCK = bytes(65_536)


class FixedToken:
    """A credential with one token."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token-1", 2**31)


@pytest.fixture
def outlook() -> Iterator[OutlookEmulator]:
    with OutlookEmulator() as emulator:
        emulator.add_mailbox(MAILBOX)
        yield emulator


@pytest.fixture
def client(outlook: OutlookEmulator) -> Iterator[GraphClient]:
    endpoint = graph_endpoint(Settings.model_validate({"graph_base_url": outlook.url}))
    credential = cast("TokenCredential", EmulatorCredential(outlook))
    graph = GraphClient(endpoint, lambda: credential, RESPONSE_RULES, timeouts=(2.0, 2.0))
    yield graph
    graph.close()


@pytest.fixture
def endless() -> Iterator[tuple[GraphClient, threading.Event]]:
    """A client of a Graph whose response is endless, and the event that the client closed it."""
    closed = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Accept-Encoding"] == "identity"
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(_BLOCK)
            except OSError:
                closed.set()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    root = f"http://127.0.0.1:{server.server_address[1]}/v1.0"
    endpoint = GraphEndpoint(root, "s", frozenset(), loopback_uploads=True)
    graph = GraphClient(endpoint, lambda: cast("TokenCredential", FixedToken()), RESPONSE_RULES)
    yield graph, closed
    graph.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endless_response_is_closed_at_the_limit(
    endless: tuple[GraphClient, threading.Event],
) -> None:
    """The rest is not read."""
    client, closed = endless
    with pytest.raises(ResponseTooLarge):
        client.attachment_content(ITEM, "A=", 1_000_000)
    assert closed.wait(10)


def test_an_endless_response_is_closed_at_the_deadline(
    endless: tuple[GraphClient, threading.Event],
) -> None:
    """Even if there is no time-out between two bytes."""
    client, closed = endless
    response, data = client.attachment_content(ITEM, "A=", 2**40, seconds=-1)
    assert (response.no_response, data) == (NoResponse.UNKNOWN, None)
    assert closed.wait(10)


def test_an_attachment_is_described_read_and_removed(
    client: GraphClient, outlook: OutlookEmulator
) -> None:
    """With ids in any form, by the paths and the properties that Graph documents."""
    item = OutlookItem(MAILBOX, "event", outlook.add_item(MAILBOX, "event", old_form=True))
    posted = client.attach_small_file(item, OutlookFile("a.txt", 5, "text/plain", "cid"), b"hello")
    id_ = str(posted.body["id"])
    described = client.describe_attachment(item, id_)
    assert (described.body["name"], described.body["contentId"]) == ("a.txt", "cid")
    assert "contentBytes" not in described.body
    response, data = client.attachment_content(item, id_, 5)
    assert (response.status, data) == (200, b"hello")
    assert client.remove_attachment(item, id_).status == 204
    assert client.remove_attachment(item, id_).status == 404
    assert client.attachment_content(item, id_, 5)[1] is None
    assert outlook.attachments(MAILBOX, item.id) == []


@pytest.mark.parametrize("id_", ["", ".", ".."])
def test_an_id_that_is_a_path_to_the_item_is_not_sent(
    client: GraphClient, outlook: OutlookEmulator, id_: str
) -> None:
    """A DELETE of attachments/.. would delete the message."""
    with pytest.raises(ValueError, match="not an attachment's id"):
        client.remove_attachment(ITEM, id_)
    assert outlook.requests == []
