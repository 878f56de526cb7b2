"""Each call's request: its method, URL, headers, body and timeouts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import Any, cast

import pytest
import requests
import urllib3
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from opentelemetry.trace import SpanKind
from requests.adapters import BaseAdapter

from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import graph_endpoint
from shared.outlook.connections import CONNECTIONS
from shared.outlook.graph_client import GraphClient, ListedAttachment
from shared.outlook.graph_http import BRIEF_TIMEOUTS, TIMEOUTS
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.settings import Settings
from shared.transfer.retry_policy import RESPONSE_RULES
from tests.support.telemetry import Telemetry

ROOT = "https://graph.microsoft.com/v1.0"
ITEM = OutlookItem("a b@contoso.com", "message", "M+/=")
OF_ITEM = "/users/a%20b@contoso.com/messages/M%2B%2F%3D"
ATTACHMENT = f"{OF_ITEM}/attachments/A%2B%2F%3D"
FILE = OutlookFile("a.pdf", 4, "application/pdf")
UPLOAD = "https://outlook.office.com/api/x?authtoken=%2f"


class Credential:
    """Counts its tokens."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token-{len(self.scopes)}", 2**31)


@dataclass
class Server(BaseAdapter):
    """Gives these responses, and keeps the requests and their timeouts."""

    responses: list[tuple[int, dict[str, str], object]]
    sent: list[requests.PreparedRequest] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append(request)
        self.options.append(options)
        status, headers, body = self.responses.pop(0)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        raw = urllib3.HTTPResponse(
            BytesIO(content), headers=headers, status=status, preload_content=False
        )
        return requests.adapters.HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""


type MakeClient = Callable[..., tuple[GraphClient, Server]]


@pytest.fixture
def client() -> Iterator[MakeClient]:
    """Makes a client, and the server that it sends everything to."""
    made = []

    def make(*responses: tuple[int, object]) -> tuple[GraphClient, Server]:
        endpoint = graph_endpoint(Settings.model_validate({}))
        graph = GraphClient(endpoint, lambda: cast("TokenCredential", Credential()), RESPONSE_RULES)
        server = Server([(status, {}, body) for status, body in responses])
        graph._http.mount("https://", server)
        made.append(graph)
        return graph, server

    yield make
    for graph in made:
        graph.close()


type Call = Callable[[GraphClient], object]


@pytest.mark.parametrize(
    ("call", "method", "path", "is_brief"),
    [
        (
            lambda graph: graph.create_upload_session(ITEM, FILE),
            "POST",
            f"{OF_ITEM}/attachments/createUploadSession",
            False,
        ),
        (
            lambda graph: graph.attach_small_file(ITEM, FILE, b"%PDF"),
            "POST",
            f"{OF_ITEM}/attachments",
            False,
        ),
        (
            lambda graph: graph.list_attachments(ITEM),
            "GET",
            f"{OF_ITEM}/attachments?$select=id,name,size",
            False,
        ),
        (
            lambda graph: graph.list_attachments(ITEM, brief=True),
            "GET",
            f"{OF_ITEM}/attachments?$select=id,name,size",
            True,
        ),
        (lambda graph: graph.attachment_md5(ITEM, "A+/="), "GET", f"{ATTACHMENT}/$value", False),
        (
            lambda graph: graph.attachment_content(ITEM, "A+/=", 99),
            "GET",
            f"{ATTACHMENT}/$value",
            True,
        ),
        (
            lambda graph: graph.describe_attachment(ITEM, "A+/="),
            "GET",
            f"{ATTACHMENT}?$select=id,name,contentType,size,isInline,lastModifiedDateTime,"
            "microsoft.graph.fileAttachment/contentId",
            True,
        ),
        (lambda graph: graph.remove_attachment(ITEM, "A+/="), "DELETE", ATTACHMENT, True),
        (lambda graph: graph.reach(), "GET", "", True),
    ],
)
def test_a_call_to_graph_has_a_token_and_immutable_ids(
    client: MakeClient,
    telemetry: Telemetry,
    call: Call,
    method: str,
    path: str,
    *,
    is_brief: bool,
) -> None:
    """Its path is encoded; calls on behalf of a caller who waits have shorter timeouts."""
    graph, server = client((200, {"value": []}))
    call(graph)
    (request,), (options,) = server.sent, server.options
    assert (request.method, request.url) == (method, ROOT + path)
    assert [span.name for span in telemetry.spans] == [f"{method} graph.microsoft.com"]
    assert request.headers["Authorization"] == "Bearer token-1"
    assert request.headers["Prefer"] == 'IdType="ImmutableId"'
    assert len(request.headers["client-request-id"]) == 36
    content_type = request.headers.get("Content-Type")
    assert content_type == ("application/json" if method == "POST" else None)
    assert request.headers["Accept-Encoding"] == "identity"
    assert options["timeout"] == (BRIEF_TIMEOUTS if is_brief else TIMEOUTS)
    assert options["stream"] is True


def test_a_brief_call_never_waits_longer_than_the_client() -> None:
    """The shorter of both timeouts counts."""
    endpoint = graph_endpoint(Settings.model_validate({}))
    credential = cast("TokenCredential", Credential())
    graph = GraphClient(endpoint, lambda: credential, RESPONSE_RULES, timeouts=(1.0, 99.0))
    server = Server([(200, {}, {}), (200, {}, {})])
    graph._http.mount("https://", server)
    graph.reach()
    graph.create_upload_session(ITEM, FILE)
    graph.close()
    assert [options["timeout"] for options in server.options] == [(1.0, 15.0), (1.0, 99.0)]


@pytest.mark.parametrize(
    ("call", "method", "headers", "body"),
    [
        (
            lambda graph, url: graph.put_range(url, ByteRange(2, 6), 9, b"cdef"),
            "PUT",
            {"Content-Range": "bytes 2-5/9", "Content-Type": "application/octet-stream"},
            b"cdef",
        ),
        (lambda graph, url: graph.session_state(url), "GET", {}, None),
        (lambda graph, url: graph.cancel_upload_session(url), "DELETE", {}, None),
    ],
)
def test_a_call_to_a_session_has_no_token(
    client: MakeClient,
    telemetry: Telemetry,
    *,
    call: Callable[[GraphClient, object], GraphResponse],
    method: str,
    headers: dict[str, str],
    body: bytes | None,
) -> None:
    """The URL is sent as it is; Outlook would refuse a token."""
    graph, server = client((200, {}))
    assert call(graph, graph.upload_url(UPLOAD)).succeeded
    (request,), (options,) = server.sent, server.options
    assert (request.method, request.url, request.body) == (method, UPLOAD, body)
    assert [span.name for span in telemetry.spans] == [f"{method} outlook.office.com"]
    assert headers.items() <= request.headers.items()
    assert "Authorization" not in request.headers
    assert "Prefer" not in request.headers
    assert (options["timeout"], options["stream"]) == (TIMEOUTS, True)


def test_accepted_bytes_are_counted(client: MakeClient, telemetry: Telemetry) -> None:
    """Those of a small file and of a range, each when it is accepted."""
    graph, _ = client((201, {"id": "A"}), (400, {}), (202, {}), (500, {}))
    url = graph.upload_url(UPLOAD)
    for _ in range(2):
        graph.attach_small_file(ITEM, FILE, b"%PDF")
    for _ in range(2):
        graph.put_range(url, ByteRange(2, 9), 9, b"cdefghi")
    figures = telemetry.figures()
    counted = {name: sum(p.value for p in points.values()) for name, points in figures.items()}
    assert counted["blob_to_outlook.bytes"] == 4 + 7
    assert counted["blob_to_outlook.ranges"] == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda graph: graph.create_upload_session(ITEM, FILE),
        lambda graph: graph.attach_small_file(ITEM, FILE, b"%PDF"),
        lambda graph: graph.list_attachments(ITEM)[0],
    ],
)
@pytest.mark.parametrize("body", [{}, {"uploadUrl": 1, "id": 2, "value": 3}, {"value": [None]}])
def test_a_success_without_its_content_is_a_lost_response(
    client: MakeClient, call: Callable[[GraphClient], GraphResponse], body: object
) -> None:
    """What happened is unknown."""
    graph, _ = client((200, body))
    assert call(graph) == GraphResponse(no_response=NoResponse.UNKNOWN)


def page(link: object, *ids: str) -> dict[str, object]:
    return {"value": [{"id": id_} for id_ in ids], "@odata.nextLink": link}


def test_a_listing_has_ids_names_and_sizes(client: MakeClient) -> None:
    """As Graph reports them."""
    graph, _ = client((200, {"value": [{"id": "A", "name": "a.pdf", "size": 7}]}))
    assert graph.list_attachments(ITEM)[1] == [ListedAttachment("A", "a.pdf", 7)]


def test_a_call_with_a_refused_token_is_repeated_as_it_was(client: MakeClient) -> None:
    """With a new token, the same timeouts, and the bytes where they belong."""
    created = {"uploadUrl": UPLOAD}
    graph, server = client((401, {}), (200, b"hello"), (401, {}), (201, created))
    assert graph.attachment_content(ITEM, "A", 9)[1] == b"hello"
    assert [each["timeout"] for each in server.options] == [BRIEF_TIMEOUTS] * 2
    graph.create_upload_session(ITEM, FILE)
    first, second = server.sent[2:]
    assert first.body == second.body == FILE.attachment_item()
    assert (first.method, first.url) == (second.method, second.url)


def test_a_file_is_sent_once_even_if_its_token_is_refused(client: MakeClient) -> None:
    """It may be attached all the same. The next request has a new token."""
    graph, server = client((401, {}), (201, {"id": "A"}))
    assert graph.attach_small_file(ITEM, FILE, b"%PDF").status == 401
    assert graph.attach_small_file(ITEM, FILE, b"%PDF").succeeded
    tokens = [each.headers["Authorization"] for each in server.sent]
    assert len(tokens) == 2


def test_without_a_token_the_response_says_why(client: MakeClient) -> None:
    """The kind of the failure, without the library's text."""

    class Refused:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise ClientAuthenticationError("secret detail")

    endpoint = graph_endpoint(Settings.model_validate({}))
    graph = GraphClient(endpoint, lambda: cast("TokenCredential", Refused()), RESPONSE_RULES)
    expected = "no token: ClientAuthenticationError"
    assert graph.reach() == GraphResponse(no_response=NoResponse.NO_IDENTITY, message=expected)
    assert not graph.has_identity()
    graph.close()
    assert client()[0].has_identity()


def test_a_listing_follows_the_links_of_graph(client: MakeClient) -> None:
    """An entry without id is left out; a size that is no number is unknown."""
    odd: dict[str, object] = {"value": [{"name": "x"}, {"id": 5, "name": None, "size": "9"}]}
    graph, server = client((200, page(f"{ROOT}/next?$skip=1", "A")), (200, odd))
    response, found = graph.list_attachments(ITEM)
    assert response.status == 200
    assert found == [ListedAttachment("A", "", None), ListedAttachment("5", "", None)]
    assert server.sent[1].url == f"{ROOT}/next?$skip=1"


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("https://evil.example/v1.0/next", "a page link points away from Graph"),
        (f"{ROOT}.evil.example/next", "a page link points away from Graph"),
    ],
)
def test_a_listing_never_leads_away_from_graph(client: MakeClient, link: str, message: str) -> None:
    """The token is sent to Graph only."""
    graph, server = client((200, page(link, "A")))
    response, found = graph.list_attachments(ITEM)
    assert response == GraphResponse(no_response=NoResponse.UNKNOWN, message=message)
    assert (found, len(server.sent)) == ([], 1)


@pytest.mark.parametrize(("count", "ends"), [(10_000, False), (10_001, True)])
def test_a_listing_ends(client: MakeClient, count: int, *, ends: bool) -> None:
    """Links that form a loop are followed until there are more than any item has."""
    many = page(f"{ROOT}/loop", *map(str, range(count)))
    graph, _ = client((200, many), (200, {"value": []}))
    response, found = graph.list_attachments(ITEM)
    if ends:
        expected = GraphResponse(no_response=NoResponse.UNKNOWN, message="the listing has no end")
        assert (response, found) == (expected, [])
    else:
        assert len(found) == count


@pytest.mark.parametrize("id_", ["", ".", ".."])
def test_an_id_that_names_the_item_itself_is_refused(client: MakeClient, id_: str) -> None:
    """A request to that URL would be about the item."""
    graph, server = client()
    with pytest.raises(ValueError, match="not an attachment's id"):
        graph.remove_attachment(ITEM, id_)
    assert server.sent == []


def test_a_refused_download_has_no_content(client: MakeClient) -> None:
    """Neither bytes nor MD5; the response has the error."""
    error = {"error": {"code": "ErrorItemNotFound", "message": "gone"}}
    graph, _ = client((404, error), (404, error))
    response, digest = graph.attachment_md5(ITEM, "A")
    assert (response.code, digest) == ("ErrorItemNotFound", "")
    response, content = graph.attachment_content(ITEM, "A", 9)
    assert (response.message, content) == ("gone", None)


def test_a_download_is_what_was_sent(client: MakeClient) -> None:
    """Its bytes and their MD5, in hex."""
    graph, _ = client((200, b"hello"), (200, b"hello"))
    assert graph.attachment_md5(ITEM, "A")[1] == "5d41402abc4b2a76b9719d911017c592"
    assert graph.attachment_content(ITEM, "A", 5)[1] == b"hello"


def test_a_redirect_is_not_followed(client: MakeClient) -> None:
    """It could lead a credential away."""
    graph, server = client()
    server.responses.append((302, {"Location": "https://evil.example/"}, {}))
    assert graph.reach().status == 302
    assert len(server.sent) == 1


def test_the_connections_use_no_netrc_and_no_cookie_of_the_machine() -> None:
    """Nothing may add a credential, and nothing is retried unseen."""
    endpoint = graph_endpoint(Settings.model_validate({}))
    credential = cast("TokenCredential", Credential())
    graph = GraphClient(endpoint, lambda: credential, RESPONSE_RULES, verify="ca.pem")
    http = graph._http
    assert (http.trust_env, http.verify) == (False, "ca.pem")
    for scheme in ("https://", "http://"):
        adapter = cast("requests.adapters.HTTPAdapter", http.get_adapter(scheme + "x"))
        assert adapter.max_retries.total == 0
        assert adapter._pool_maxsize == CONNECTIONS  # type: ignore[attr-defined]
    graph.close()


def test_certificates_are_checked_and_cookies_refused_by_default(client: MakeClient) -> None:
    """Of every host: the app itself names no other way."""
    http = client()[0]._http
    assert http.verify is True
    policy = cast("DefaultCookiePolicy", http.cookies.get_policy())
    assert policy.is_not_allowed("graph.microsoft.com")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {}), {"http.response.status_code": 200}),
        (
            (429, {"error": {"code": "TooManyRequests"}}),
            {"http.response.status_code": 429, "error.type": "429", "request_id": "r-1"},
        ),
        ((200, b"no JSON"), {"error.type": "UNKNOWN"}),
    ],
)
def test_each_request_has_a_span_without_its_path(
    client: MakeClient, telemetry: Telemetry, answer: Any, expected: dict[str, object]
) -> None:
    """Method, host and result; the path contains a mailbox."""
    graph, server = client()
    server.responses.append((answer[0], {"request-id": "r-1"}, answer[1]))
    graph.describe_attachment(ITEM, "A")
    (span,) = telemetry.spans
    assert span.name == "GET graph.microsoft.com"
    assert (span.kind, span.status.is_ok) == (SpanKind.CLIENT, "error.type" not in expected)
    attributes = dict(span.attributes or {})
    assert len(str(attributes.pop("client_request_id"))) == 36
    assert attributes == expected | {
        "http.request.method": "GET",
        "url.scheme": "https",
        "server.address": "graph.microsoft.com",
        "server.port": 443,
    }
    throttled = telemetry.figures().get("blob_to_outlook.throttled", {})
    assert sum(point.value for point in throttled.values()) == (answer[0] == 429)


def test_a_span_has_the_port_of_its_url(client: MakeClient, telemetry: Telemetry) -> None:
    """Of a local Graph, for example."""
    graph, _ = client((200, {}))
    graph.session_state(graph.upload_url(UPLOAD.replace("office.com", "office.com:443")))
    (span,) = telemetry.spans
    assert dict(span.attributes or {})["server.port"] == 443
    assert telemetry.figures()["blob_to_outlook.resynchronisations"]
