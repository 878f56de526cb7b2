"""The client and the documented examples: it sends their requests and reads their responses."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from azure.core.credentials import AccessToken, TokenCredential

from shared.outlook.byte_ranges import ByteRange, next_expected_range
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.item import ItemType, OutlookFile, OutlookItem
from shared.transfer.retry_policy import RESPONSE_RULES

EXAMPLES = {
    example["name"]: example
    for example in json.loads(Path("tests/data/seed_examples.json").read_text())["examples"]
}
MAILBOX = "a8e8e219-4931-95c1-b73d-62626fd79c32"


@dataclass
class ExampleServer:
    """A server that sends one example's response, and records the requests."""

    url: str
    example: dict[str, Any] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[ExampleServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def response(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            seen = {"method": self.command, "path": self.path, "headers": self.headers}
            examples.seen.append(seen | {"body": self.rfile.read(length)})
            documented = examples.example["response"]
            content = json.dumps(documented["json"]).encode() if "json" in documented else b""
            self.send_response(documented["status"])
            for name, value in documented.get("headers", {}).items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            if documented["status"] != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = response  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    examples = ExampleServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield examples
    server.shutdown()
    thread.join()
    server.server_close()


class FixedToken:
    """A credential with one token."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token-1", 2**31)


@pytest.fixture
def client(server: ExampleServer) -> Iterator[GraphClient]:
    endpoint = GraphEndpoint(server.url + "/v1.0", "s", frozenset(), loopback_uploads=True)
    graph = GraphClient(endpoint, lambda: cast("TokenCredential", FixedToken()), RESPONSE_RULES)
    yield graph
    graph.close()


CREATES: list[tuple[str, ItemType, str | None]] = [
    ("create session, message", "message", None),
    ("create session, event", "event", None),
    ("create session, beta", "message", None),
    ("create session, inline picture", "message", "my_inline_picture"),
]


@pytest.mark.parametrize(("name", "type_", "content_id"), CREATES)
def test_creating_a_session(
    client: GraphClient,
    server: ExampleServer,
    name: str,
    type_: ItemType,
    content_id: str | None,
) -> None:
    """The documented body, with the content type in addition, for a mailbox instead of /me."""
    example = server.example = EXAMPLES[name]
    described = example["request"]["json"]["AttachmentItem"]
    item_id = example["request"]["url"].split("/")[-3]
    file = OutlookFile(described["name"], described["size"], "image/jpeg", content_id)
    response = client.create_upload_session(OutlookItem(MAILBOX, type_, item_id), file)
    (seen,) = server.seen
    sent = json.loads(seen["body"])["AttachmentItem"]
    assert sent.pop("contentType") == "image/jpeg"
    assert sent == described
    assert seen["path"] == (
        f"/v1.0/users/{MAILBOX}/{type_}s/{item_id.replace('=', '%3D')}"
        "/attachments/createUploadSession"
    )
    assert seen["headers"]["Authorization"] == "Bearer token-1"
    assert seen["headers"]["Prefer"] == 'IdType="ImmutableId"'
    assert response.body["uploadUrl"] == example["response"]["json"]["uploadUrl"]
    assert next_expected_range(response.body, file.size) == ByteRange(0, file.size)


@pytest.mark.parametrize("kind", ["message", "event"])
@pytest.mark.parametrize("which", ["first", "last"])
def test_putting_a_range(client: GraphClient, server: ExampleServer, kind: str, which: str) -> None:
    """Headers as documented, without a token; progress and the final id are read."""
    example = server.example = EXAMPLES[f"{which} range, {kind}"]
    documented = example["request"]["headers"]
    start, stop = (0, 2_097_152) if which == "first" else (2_097_152, 3_483_322)
    target = urlsplit(example["request"]["url"])
    path = f"{target.path}?{target.query}"
    url = client.upload_url(server.url + path)
    response = client.put_range(url, ByteRange(start, stop), 3_483_322, bytes(stop - start))
    (seen,) = server.seen
    assert seen["path"] == path
    assert {name: seen["headers"][name] for name in documented} == documented
    assert not [name for name in example["request"]["absent_headers"] if name in seen["headers"]]
    if which == "first":
        assert next_expected_range(response.body, 3_483_322) == ByteRange(2_097_152, 3_483_322)
        assert response.attachment_id is None
    else:
        assert response.attachment_id == example["expect"]["attachment_id"]


def test_cancelling_a_session(client: GraphClient, server: ExampleServer) -> None:
    """A DELETE of the URL as it is, without a token."""
    example = server.example = EXAMPLES["cancel session"]
    target = urlsplit(example["request"]["url"])
    path = f"{target.path}?{target.query}"
    response = client.cancel_upload_session(client.upload_url(server.url + path))
    (seen,) = server.seen
    assert (seen["method"], seen["path"], response.status) == ("DELETE", path, 204)
    assert "Authorization" not in seen["headers"]


def test_an_upload_url_is_sent_unchanged(client: GraphClient, server: ExampleServer) -> None:
    """It is opaque: it is not normalised as the library would do."""
    server.example = EXAMPLES["cancel session"]
    path = "/api/v2.0/Users('A%40b')/./x/../AttachmentSessions('S%3D')?authtoken=a+b%2Bc&d='e'"
    client.cancel_upload_session(client.upload_url(server.url + path))
    assert server.seen[0]["path"] == path


def test_a_redirect_is_not_followed(client: GraphClient, server: ExampleServer) -> None:
    """Neither bytes nor a token are sent to another host."""
    server.example = {
        "response": {"status": 307, "headers": {"Location": f"{server.url}/elsewhere"}}
    }
    response = client.cancel_upload_session(client.upload_url(f"{server.url}/x"))
    assert response.status == 307
    assert len(server.seen) == 1


def test_a_page_link_elsewhere_gets_no_token(client: GraphClient, server: ExampleServer) -> None:
    """A next link is followed only below Graph's own root."""
    elsewhere = f"{server.url}/elsewhere?page=2"
    server.example = {
        "response": {"status": 200, "json": {"value": [], "@odata.nextLink": elsewhere}}
    }
    response, found = client.list_attachments(OutlookItem(MAILBOX, "message", "M"))
    assert not response.succeeded
    assert found == []
    assert len(server.seen) == 1
