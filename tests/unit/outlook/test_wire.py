"""What is really sent, byte for byte, and how much of a response is read."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import takewhile
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken, TokenCredential

from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.graph_client import MAX_PAGES, GraphClient
from shared.outlook.graph_http import MAX_JSON_BYTES
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.transfer.retry_policy import RESPONSE_RULES

ITEM = OutlookItem("reports@contoso.com", "message", "AAkA=")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class SocketServer:
    """Accepts connections, and sends what ``respond`` sends for each request."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.respond: Callable[[socket.socket], object] = lambda sock: sock.sendall(OK)
        self.stopping = threading.Event()
        self.cut = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.root = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), closing(sock), sock.makefile("rb") as stream:
            while head := b"".join(
                takewhile(lambda line: bytes(line).strip(), iter(stream.readline, b""))
            ):
                length = 0
                for line in head.splitlines():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                stream.read(length)
                self.requests.append(head)
                try:
                    self.respond(sock)
                except OSError:
                    self.cut.set()
                    return

    def dribble(self, sock: socket.socket, head: bytes, again: bytes) -> None:
        """Send the head, then ``again`` a hundred times a second, without an end."""
        sock.sendall(head)
        while not self.stopping.wait(0.01):
            sock.sendall(again)

    @property
    def targets(self) -> list[str]:
        """The targets of all requests, as they were sent."""
        return [request.split(b" ")[1].decode() for request in self.requests]

    def close(self) -> None:
        self.stopping.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(2)


class FixedToken:
    """A credential with one token."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token-1", 2**31)


def client_of(root: str, *, total_seconds: float = 30) -> GraphClient:
    endpoint = GraphEndpoint(f"{root}/v1.0", "s", frozenset(), loopback_uploads=True)
    credential = cast("TokenCredential", FixedToken())
    return GraphClient(endpoint, lambda: credential, RESPONSE_RULES, total_seconds=total_seconds)


@pytest.fixture
def server() -> Iterator[SocketServer]:
    server = SocketServer()
    yield server
    server.close()


@pytest.fixture
def client(server: SocketServer) -> Iterator[GraphClient]:
    with closing(client_of(server.root)) as graph:
        yield graph


@pytest.fixture
def hasty(server: SocketServer) -> Iterator[GraphClient]:
    with closing(client_of(server.root, total_seconds=0.3)) as graph:
        yield graph


TARGETS = [
    "/api/v2.0/Users('a%40b')/AttachmentSessions('S%3d%3D')?authtoken=eyJ%2bx%2By",
    "/x?authtoken=%7E~%27'%2d-%2E.%5f_%41A",
    '/x?a=1&a=&&b==%zz%&c=100%&d=[]{}|^`<>"',
    "/a/../b/./c//d?x=/../y",
    "//double//slash",
    "/x?",
    "/x??a?",
    "/x;p=1,2:3@4!$*+",
    "?authtoken=a",
    "/",
]


@pytest.mark.parametrize("target", TARGETS)
def test_an_upload_url_is_sent_as_it_came(
    client: GraphClient, server: SocketServer, target: str
) -> None:
    """No escape, dot or slash is rewritten, by any method, on new and on kept connections."""
    url = client.upload_url(server.root + target)
    client.put_range(url, ByteRange(0, 3), 9, b"abc")
    client.session_state(url)
    client.cancel_upload_session(url)
    assert set(server.targets) == {target if target.startswith("/") else f"/{target}"}
    assert len(server.targets) == 3
    for request in server.requests:
        assert b"authorization" not in request.lower()
        assert b"\r\nAccept-Encoding: identity\r\n" in request


def test_a_page_link_is_sent_as_it_came(client: GraphClient, server: SocketServer) -> None:
    """It is as opaque as an upload URL."""
    target = "/v1.0/users/x?%24skiptoken=%7e%2f'%27"
    bodies = [{"value": [], "@odata.nextLink": server.root + target}, {"value": []}]
    server.respond = lambda sock: sock.sendall(response(json.dumps(bodies.pop(0)).encode()))
    assert client.list_attachments(ITEM)[0].status == 200
    assert server.targets[1] == target


def test_a_redirect_is_not_followed(client: GraphClient, server: SocketServer) -> None:
    """Not even to the same host."""
    server.respond = lambda sock: sock.sendall(
        b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    )
    assert client.session_state(client.upload_url(f"{server.root}/x")).status == 307
    assert server.targets == ["/x"]


def response(body: bytes, *, status: str = "200 OK", coding: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Encoding: {coding}\r\n" if coding else ""
    return f"{head}\r\n".encode() + body


SLOW = {
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b""),
    "a body without end": (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "a body of a million bytes": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "an empty compression": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", b"\x1f"),
    "a refusal": (b"HTTP/1.1 503 No\r\n\r\n", b" "),
}


@pytest.mark.parametrize(("head", "again"), SLOW.values(), ids=SLOW)
def test_a_response_that_never_ends_is_cut(
    hasty: GraphClient, server: SocketServer, head: bytes, again: bytes
) -> None:
    """The outcome is unknown after the total time, though a byte comes all the time."""
    server.respond = lambda sock: server.dribble(sock, head, again)
    url = hasty.upload_url(f"{server.root}/x")
    began = time.monotonic()
    assert hasty.put_range(url, ByteRange(0, 3), 9, b"abc").no_response is NoResponse.UNKNOWN
    assert hasty.reach().no_response is NoResponse.UNKNOWN
    assert time.monotonic() - began < 10


def test_a_server_that_reads_slowly_is_cut(server: SocketServer) -> None:
    """The time counts for the request's bytes, too."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        root = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with closing(client_of(root, total_seconds=0.3)) as graph:
            big = ByteRange(0, 20_000_000)
            url = graph.upload_url(f"{root}/x")
            sent = graph.put_range(url, big, big.stop, bytes(big.stop))
    assert sent.no_response is NoResponse.UNKNOWN


def test_a_call_in_time_is_not_cut_later(hasty: GraphClient, server: SocketServer) -> None:
    """Its connection is used again after the time."""
    url = hasty.upload_url(f"{server.root}/x")
    for _ in range(3):
        assert hasty.session_state(url).status == 200
        server.stopping.wait(0.2)
    assert len(server.requests) == 3


CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", CODINGS)
def test_compression_is_bounded(client: GraphClient, server: SocketServer, coding: str) -> None:
    """What comes out counts. A refusal is a refusal with any body."""
    url = client.upload_url(f"{server.root}/x")

    def answer(body: bytes, status: str = "200 OK") -> GraphResponse:
        packed = CODINGS[coding](body)
        server.respond = lambda sock: sock.sendall(
            response(packed, status=status, coding=coding.upper())
        )
        return client.session_state(url)

    assert answer(b'{"ID": "a"}').body == {"id": "a"}
    assert answer(b" " * (MAX_JSON_BYTES - 2) + b"{}").status == 200
    assert answer(b" " * (MAX_JSON_BYTES - 1) + b"{}").no_response is NoResponse.UNKNOWN
    assert answer(b" " * 2**26 + b"{}").no_response is NoResponse.UNKNOWN
    assert answer(b" " * 2**26, "413 Large").status == 413


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"{}", "gzip"),
        (gzip.compress(b"{}")[:-3], "gzip"),
        (gzip.compress(b"{}") + b"x", "gzip"),
        (b"{}", "br"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip"),
    ],
    # The bytes have the time in them, and every worker has to name the tests the same.
    ids=["not compressed", "cut", "with more", "unknown kind", "twice"],
)
def test_content_that_cannot_be_decoded_is_a_lost_response(
    client: GraphClient, server: SocketServer, body: bytes, coding: str
) -> None:
    """Damaged, cut, with more after it, or of an unknown kind."""
    server.respond = lambda sock: sock.sendall(response(body, coding=coding))
    url = client.upload_url(f"{server.root}/x")
    assert client.session_state(url).no_response is NoResponse.UNKNOWN


def test_compressed_content_of_an_attachment_is_bounded(
    client: GraphClient, server: SocketServer
) -> None:
    """The bytes that come out count towards the limit of a download."""
    packed = gzip.compress(b"0123456789" * 100_000)
    server.respond = lambda sock: sock.sendall(response(packed, coding="gzip"))
    assert client.attachment_content(ITEM, "A=", 1_000_000)[1] == b"0123456789" * 100_000


@pytest.mark.parametrize("link", ["the same", "always another"])
def test_a_listing_without_end_is_cut(client: GraphClient, server: SocketServer, link: str) -> None:
    """Empty pages in a circle, and pages that always have a next one."""

    def page(sock: socket.socket) -> None:
        number = len(server.requests) if link == "always another" else 0
        following = f"{server.root}/v1.0/next?{number}"
        sock.sendall(response(json.dumps({"value": [], "@odata.nextLink": following}).encode()))

    server.respond = page
    response_, found = client.list_attachments(ITEM)
    assert (response_.no_response, found) == (NoResponse.UNKNOWN, [])
    assert len(server.requests) == (2 if link == "the same" else MAX_PAGES)


def test_a_creation_that_is_cut_after_its_url_is_deleted(
    client: GraphClient, server: SocketServer
) -> None:
    """What arrived of it is read."""
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n"
    created = f'{{"uploadUrl": "{server.root}/session?authtoken=a%3d", "expir'.encode()

    def cut(sock: socket.socket) -> None:
        sock.sendall(head + created)
        sock.shutdown(socket.SHUT_RDWR)

    server.respond = cut
    file = OutlookFile("a", 4_000_000, "text/plain")
    assert client.create_upload_session(ITEM, file).no_response is NoResponse.UNKNOWN
    assert server.requests[1].startswith(b"DELETE /session?authtoken=a%3d HTTP/1.1\r\n")
