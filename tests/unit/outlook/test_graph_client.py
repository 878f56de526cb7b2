"""Tokens, lost responses, and what the client never shows."""

import logging
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential

from infra.local.outlook import Fault, OutlookEmulator, catalogue
from shared.errors import UploadHostNotAllowed
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.settings import Settings
from shared.transfer.retry_policy import RESPONSE_RULES

MAILBOX = "reports@contoso.com"
FILE = OutlookFile("big.bin", 4_000_000, "application/octet-stream")


@pytest.fixture
def outlook(monkeypatch: pytest.MonkeyPatch) -> Iterator[OutlookEmulator]:
    with OutlookEmulator() as emulator:
        emulator.add_mailbox(MAILBOX)
        monkeypatch.setenv("IDENTITY_ENDPOINT", emulator.identity_endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", emulator.identity_header)
        yield emulator


@pytest.fixture
def client(outlook: OutlookEmulator) -> Iterator[GraphClient]:
    endpoint = graph_endpoint(Settings.model_validate({"graph_base_url": outlook.url}))
    graph = GraphClient(endpoint, ManagedIdentityCredential, RESPONSE_RULES, timeouts=(2.0, 1.0))
    yield graph
    graph.close()


@pytest.fixture
def item(outlook: OutlookEmulator) -> OutlookItem:
    return OutlookItem(MAILBOX, "message", outlook.add_item(MAILBOX, "message", old_form=True))


def test_the_real_managed_identity_gets_the_token(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem
) -> None:
    """One token for the cloud's Graph serves every call, with immutable ids."""
    for _ in range(3):
        response, _ = client.list_attachments(item)
        assert response.status == 200
    kinds = [request.kind for request in outlook.requests]
    assert kinds == ["token", "list", "list", "list"]
    assert outlook.requests[1].headers["Prefer"] == 'IdType="ImmutableId"'


def test_a_refused_token_is_renewed_once(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem
) -> None:
    """The library's cache does not return the refused one again."""
    outlook.faults.add(Fault(misbehaviour=catalogue.unauthorized(), kind="list"))
    assert client.list_attachments(item)[0].status == 200
    outlook.faults.add(Fault(misbehaviour=catalogue.unauthorized(), kind="list", times=None))
    assert client.list_attachments(item)[0].status == 401
    kinds = [request.kind for request in outlook.requests]
    assert kinds == ["token", "list", "token", "list", "list", "token", "list"]


def test_without_an_identity_nothing_is_sent(outlook: OutlookEmulator, item: OutlookItem) -> None:
    """The response says why, without the library's text."""

    class NoIdentity:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise ClientAuthenticationError("secret detail")

    endpoint = graph_endpoint(Settings.model_validate({"graph_base_url": outlook.url}))
    client = GraphClient(endpoint, lambda: cast("TokenCredential", NoIdentity()), RESPONSE_RULES)
    response, _ = client.list_attachments(item)
    client.close()
    assert response.no_response is NoResponse.NO_IDENTITY
    assert "secret" not in response.message
    assert outlook.requests == []


def test_every_page_of_a_listing_is_followed(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem
) -> None:
    """23 attachments in pages of 10, each once."""
    for number in range(23):
        file = OutlookFile(f"{number}.txt", 1, "text/plain")
        assert client.attach_small_file(item, file, b"x").status == 201
    response, found = client.list_attachments(item)
    assert response.succeeded
    assert sorted(each.name for each in found) == sorted(f"{n}.txt" for n in range(23))
    assert {each.id for each in found} == {a.id for a in outlook.attachments(MAILBOX, item.id)}


def test_a_refused_connection_was_never_sent(item: OutlookItem) -> None:
    """No server: nothing can have happened."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = graph_endpoint(
        Settings.model_validate({"graph_base_url": f"http://127.0.0.1:{port}"})
    )
    client = GraphClient(endpoint, ManagedIdentityCredential, RESPONSE_RULES)
    response = client.session_state(client.upload_url(f"http://127.0.0.1:{port}/x"))
    client.close()
    assert response.no_response is NoResponse.NEVER_SENT


@pytest.mark.parametrize(
    "misbehaviour",
    [
        catalogue.lost_answer(),
        catalogue.lost_answer("reset"),
        catalogue.lost_answer("hang", hang_seconds=3),
        catalogue.cut_answer(),
        catalogue.reset_mid_body(),
    ],
    ids=lambda misbehaviour: misbehaviour.name,
)
def test_a_broken_connection_makes_the_outcome_unknown(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem, misbehaviour: Any
) -> None:
    """However it breaks, the call returns without a response; the request is sent once."""
    created = client.create_upload_session(item, FILE)
    url = client.upload_url(created.body["uploadUrl"])
    outlook.faults.add(Fault(misbehaviour=misbehaviour, kind="range"))
    response = client.put_range(url, ByteRange(0, 1000), FILE.size, bytes(1000))
    assert response.no_response is NoResponse.UNKNOWN
    assert [request.kind for request in outlook.requests].count("range") == 1


def test_a_session_without_a_url_is_a_lost_response(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem
) -> None:
    """A truncated response to the creation has no URL."""
    outlook.faults.add(Fault(misbehaviour=catalogue.cut_answer(), kind="create"))
    assert client.create_upload_session(item, FILE).no_response is NoResponse.UNKNOWN


def test_a_hostile_upload_url_gets_no_request(
    client: GraphClient, outlook: OutlookEmulator, item: OutlookItem
) -> None:
    """The host is checked before a byte is sent."""
    bad = catalogue.upload_url("https://evil.example/x?authtoken=canary")
    outlook.faults.add(Fault(misbehaviour=bad, kind="create"))
    response = client.create_upload_session(item, FILE)
    with pytest.raises(UploadHostNotAllowed):
        client.upload_url(response.body["uploadUrl"])


def test_no_url_or_token_is_logged(
    client: GraphClient,
    outlook: OutlookEmulator,
    item: OutlookItem,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the levels the app sets, not even a broken connection shows them."""
    caplog.set_level(logging.DEBUG)
    for name in ("azure", "urllib3"):
        caplog.set_level(logging.WARNING, logger=name)
    created = client.create_upload_session(item, FILE)
    url = client.upload_url(created.body["uploadUrl"])
    outlook.faults.add(Fault(misbehaviour=catalogue.lost_answer("reset"), kind="range"))
    responses = [client.put_range(url, ByteRange(0, 9), FILE.size, bytes(9)) for _ in range(2)]
    shown = caplog.text + repr(responses)
    assert not [secret for secret in outlook.secrets() if secret in shown]
