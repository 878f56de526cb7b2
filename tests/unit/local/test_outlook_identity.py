"""Tokens: how they are issued, and which ones Graph accepts."""

import pytest
import requests
from azure.identity import ManagedIdentityCredential

from infra.local.outlook import OutlookEmulator, Rules
from tests.unit.local.outlook_client import MAILBOX, Client, Clock, refusal


def test_azure_identity_gets_a_token_that_graph_accepts(
    emulator: OutlookEmulator, client: Client, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real `ManagedIdentityCredential` works with the endpoint, also with a client id."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", emulator.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", emulator.identity_header)
    with ManagedIdentityCredential(client_id="3d2f") as credential:
        client.token = credential.get_token("https://graph.microsoft.com/.default").token
    assert client.graph("GET", client.item_url(message)).status_code == 200
    assert "client_id=3d2f" in emulator.requests[-2].target


def test_token_response_has_the_fields_of_app_service(client: Client, clock: Clock) -> None:
    """`expires_on` is a string of Unix seconds, a day from now."""
    answer = client.request_token("https://graph.microsoft.us").json()
    assert set(answer) == {"access_token", "expires_on", "resource", "token_type"}
    assert answer["expires_on"] == str(int(clock.now.timestamp()) + 86_400)
    assert answer["resource"] == "https://graph.microsoft.us"
    assert answer["token_type"] == "Bearer"


def test_token_needs_the_secret_header(client: Client) -> None:
    """Without the right `X-IDENTITY-HEADER` there is no token."""
    assert client.request_token(**{"X-IDENTITY-HEADER": "guessed"}).status_code == 401


@pytest.mark.parametrize(
    "query", ["api-version=2019-08-01", "resource=https://graph.microsoft.com", ""]
)
def test_token_request_must_be_complete(emulator: OutlookEmulator, query: str) -> None:
    """A missing resource or api-version is a bad request."""
    secret = {"X-IDENTITY-HEADER": emulator.identity_header}
    url = f"{emulator.identity_endpoint}?{query}"
    assert requests.get(url, headers=secret, timeout=5).status_code == 400
    assert requests.post(url, headers=secret, timeout=5).status_code == 405


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer made-up", "Basic dTpw"])
def test_graph_refuses_a_token_it_did_not_issue(
    client: Client, message: str, authorization: str
) -> None:
    """No token, another scheme or an unknown token is 401."""
    answer = client.graph("GET", client.item_url(message), {"Authorization": authorization})
    assert refusal(answer) == (401, "InvalidAuthenticationToken")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_graph_refuses_a_token_for_another_resource(client: Client, message: str) -> None:
    """A token for storage is not valid for Graph."""
    client.token = client.request_token("https://storage.azure.com").json()["access_token"]
    answer = client.graph("GET", client.item_url(message))
    assert refusal(answer) == (401, "InvalidAuthenticationToken")


def test_graph_refuses_an_expired_token(client: Client, message: str, clock: Clock) -> None:
    """A token expires after a day."""
    clock.advance(86_399)
    assert client.graph("GET", client.item_url(message)).status_code == 200
    clock.advance(1)
    answer = client.graph("GET", client.item_url(message))
    assert refusal(answer) == (401, "InvalidAuthenticationToken")


def test_each_kind_of_item_needs_its_own_permission(
    emulator: OutlookEmulator, client: Client, message: str, event: str
) -> None:
    """`Mail.ReadWrite` gives access to messages and not to events."""
    emulator.rules = Rules(permissions=frozenset({"Mail.ReadWrite"}))
    assert client.graph("GET", client.item_url(message)).status_code == 200
    answer = client.graph("GET", client.item_url(event, "event"))
    assert refusal(answer) == (403, "ErrorAccessDenied")
    assert emulator.attachments(MAILBOX, event) == []
