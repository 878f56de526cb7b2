"""Every failure of the identity endpoint or its library means that there is no token yet."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.data.tables import TableServiceClient
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import ContainerClient

from shared.errors import StorageUnavailable
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import NoResponse
from shared.outlook.item import OutlookItem
from shared.storage.accounts import StorageCredential
from shared.storage.ledger import Ledger
from shared.storage.source_container import SourceContainer
from shared.transfer.retry_policy import RESPONSE_RULES, decide
from shared.transfer.retry_table import Action, Call

ITEM = OutlookItem("reports@contoso.com", "message", "AAkA=")
ENDPOINT = GraphEndpoint("http://127.0.0.1:9/v1.0", "https://g/.default", frozenset(), True)
ERRORS = [
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RuntimeError),
    *(json.JSONDecodeError("secret", "secret", 0), UnicodeError, OverflowError),
    *(ClientAuthenticationError, RecursionError, AssertionError),
]


def check_no_token(credential: object) -> None:
    graph = GraphClient(ENDPOINT, lambda: cast("TokenCredential", credential), RESPONSE_RULES)
    response, _ = graph.list_attachments(ITEM)
    assert not graph.has_identity()
    graph.close()
    assert response.no_response is NoResponse.NO_IDENTITY
    assert "secret" not in response.message
    row = decide(Call.LIST, response)
    assert row.action is Action.RETRY
    assert row.tries


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_any_exception_means_no_token(error: Any) -> None:
    """Of any type, and without its text."""

    class Failing:
        def get_token(self, *_: str, **__: Any) -> None:
            raise error

    check_no_token(Failing())


@pytest.mark.parametrize("token", [None, "", 7, [], b"t", "a b", "a\r\nX: y", "\u20ac"], ids=repr)
def test_what_is_no_token_is_not_sent(token: object) -> None:
    """Not text, empty, or nothing that a header may hold."""

    class Odd:
        def get_token(self, *_: str, **__: Any) -> object:
            return type("Token", (), {"token": token})

    check_no_token(Odd())


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_without_a_token_storage_is_unavailable(error: Any) -> None:
    """Not a bug of this app, for any exception of the credential."""

    class Failing:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise error

    container = ContainerClient(
        "https://127.0.0.1:9", "c", credential=StorageCredential(Failing()), retry_total=0
    )
    with closing(container), pytest.raises(StorageUnavailable) as caught:
        SourceContainer(container).look("a.pdf")
    assert "secret" not in caught.value.sentence
    tables = TableServiceClient(
        "https://127.0.0.1:9", credential=StorageCredential(Failing()), retry_total=0
    )
    with closing(tables), pytest.raises(StorageUnavailable) as caught:
        Ledger(tables).get("0123-4567")
    assert "secret" not in caught.value.sentence


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, bytes]]]:
    """The response of an identity endpoint: the last one in the list."""
    responses: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = responses[-1]
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/msi/token"
    monkeypatch.setenv("IDENTITY_ENDPOINT", url)
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    yield responses
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>Wait.</html>", b"Wait.", b"[]", b"null", b"7", b"{}", b"\xff\xfe"),
        *(b'{"access_token": null}', b'{"access_token": "t", "expires_on": "soon"}'),
        b'{"access_token": "t", "expires_on": []}',
    ],
)
@pytest.mark.parametrize("status", [200, 400, 403])
def test_no_response_of_the_endpoint_is_an_exception(
    identity: list[tuple[int, bytes]], body: bytes, status: int
) -> None:
    """By the real credential."""
    identity.append((status, body))
    check_no_token(ManagedIdentityCredential(retry_total=0))
