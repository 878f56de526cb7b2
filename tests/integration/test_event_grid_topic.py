"""The end of a transfer, published to a topic over TLS; and topics that fail."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential

from infra.local.outlook import OutlookEmulator
from shared.settings import Settings
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.announce_end import Announcer
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import Failure, RecordedStatus, TransferStatus
from tests.support.engine.clock import VirtualClock
from tests.support.event_grid_topic import Topic, running_topic
from tests.support.in_memory.storage import MemoryContainer

TOKEN = "eyJ0eXAi-the-token"
STATUS = TransferStatus(
    state="attached",
    blob="Rechnung ä.pdf",
    size=12,
    bytes_sent=12,
    mailbox="reports@contoso.com",
    item_type="message",
    item_id="M=",
    file_name="Rechnung ä.pdf",
    attachment_id="A=",
)
MakeAnnouncer = Callable[..., Announcer]


class Credential:
    """Always the same token, or none."""

    def __init__(self, token: str | None = TOKEN) -> None:
        self.token = token
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        if self.token is None:
            raise ClientAuthenticationError(f"{TOKEN} is no token")
        return AccessToken(self.token, 2**40)


@pytest.fixture
def topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    """A topic whose certificate is signed by the test's own authority."""
    with running_topic(tmp_path) as topic:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(topic.authority))
        yield topic


@pytest.fixture
def make_announcer() -> Iterator[MakeAnnouncer]:
    """Makes an announcer for this endpoint, which retries at once."""
    with ExitStack() as running:

        def make(endpoint: str | None, credential: TokenCredential | None = None) -> Announcer:
            source = SourceContainer(MemoryContainer("inbox", VirtualClock()).as_client())
            settings = Settings.model_validate({"event_grid_topic_endpoint": endpoint})
            new = lambda: credential or Credential()  # noqa: E731 (a factory, as the app gives)
            announcer = Announcer(settings, source, new, backoff=0)
            running.callback(announcer.close)
            return announcer

        yield make


def end(record: RecordedStatus = "attached", **changed: Any) -> RecordAttachment:
    status = STATUS.model_copy(update=changed)
    return RecordAttachment(transfer_id="t-1", status=status, record=record)


def warning_of(caplog: pytest.LogCaptureFixture) -> str:
    """The only warning; no token was logged at any level."""
    (entry,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert TOKEN not in caplog.text
    assert TOKEN not in entry.getMessage()
    return entry.getMessage()


def test_the_topic_gets_a_cloud_event_with_the_apps_identity(
    topic: Topic, make_announcer: MakeAnnouncer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its data is the transfer; the token is in one header, and in no log entry."""
    credential = Credential()
    with caplog.at_level(logging.DEBUG):
        assert make_announcer(topic.url, credential).announce(end()).sent
    ((path, headers, body),) = topic.requests
    assert path == "/api/events?api-version=2018-01-01"
    assert headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert credential.scopes == ["https://eventgrid.azure.net/.default"]
    (event,) = body
    assert event.pop("id").startswith("t-1-")
    assert event.pop("time").startswith("20")
    assert event == {
        "specversion": "1.0",
        "type": "BlobToOutlook.Attached",
        "source": "/blob-to-outlook/memory/inbox",
        "subject": "Rechnung ä.pdf",
        "data": {
            "id": "t-1",
            "state": "attached",
            "blob": "Rechnung ä.pdf",
            "size": 12,
            "bytesSent": 12,
            "mailbox": "reports@contoso.com",
            "itemType": "message",
            "itemId": "M=",
            "fileName": "Rechnung ä.pdf",
            "attachmentId": "A=",
        },
    }
    assert TOKEN not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_managed_identity_gives_the_token(
    topic: Topic, make_announcer: MakeAnnouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real credential, as the app makes it, for Event Grid."""
    with OutlookEmulator() as emulator:
        monkeypatch.setenv("IDENTITY_ENDPOINT", emulator.identity_endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", emulator.identity_header)
        credential = ManagedIdentityCredential(client_id="c")
        assert make_announcer(topic.url, credential).announce(end()).sent
    ((_, headers, _),) = topic.requests
    assert headers["Authorization"].startswith("Bearer ey")


@pytest.mark.parametrize(
    ("record", "type_"),
    [("failed", "BlobToOutlook.Failed"), ("cancelled", "BlobToOutlook.Cancelled")],
)
def test_every_outcome_has_its_own_type(
    topic: Topic, make_announcer: MakeAnnouncer, record: RecordedStatus, type_: str
) -> None:
    """With the error, if there is one."""
    error = Failure(code="ItemNotFound", message="No such message.")
    assert make_announcer(topic.url).announce(end(record, state=record, error=error)).sent
    ((_, _, (event,)),) = topic.requests
    assert event["type"] == type_
    assert event["data"]["state"] == record
    assert event["data"]["error"] == {"code": "ItemNotFound", "message": "No such message."}


def test_the_same_outcome_has_the_same_id(topic: Topic, make_announcer: MakeAnnouncer) -> None:
    """A duplicate can be recognised; the end of a restarted transfer is another event."""
    announcer = make_announcer(topic.url)
    for work in (end(), end(), end("failed", state="failed"), end(attachment_id="B=")):
        announcer.announce(work)
    ids = [body[0]["id"] for _, _, body in topic.requests]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_unaddressed_blobs_are_not_announced(topic: Topic, make_announcer: MakeAnnouncer) -> None:
    """They wait for an address."""
    assert not make_announcer(topic.url).announce(end("unaddressed")).sent
    assert topic.requests == []


def test_without_a_topic_nothing_is_sent(make_announcer: MakeAnnouncer) -> None:
    """Not even a token is requested."""
    credential = Credential()
    assert not make_announcer(None, credential).announce(end()).sent
    assert credential.scopes == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failing_topic_is_tried_again(
    topic: Topic,
    make_announcer: MakeAnnouncer,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    """Without waiting for its Retry-After, with the same event, and without a warning."""
    topic.answers = [(status, {"Retry-After": "3600"}), (status, {})]
    assert make_announcer(topic.url).announce(end()).sent
    bodies = [body for _, _, body in topic.requests]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("status", "requests", "shown"),
    [
        (500, 4, "HttpResponseError (500)"),
        (429, 4, "HttpResponseError (429)"),
        (400, 1, "HttpResponseError (400)"),
        (401, 1, "ClientAuthenticationError (401)"),
        (403, 1, "HttpResponseError (403)"),
        (404, 1, "ResourceNotFoundError"),
        (413, 1, "HttpResponseError (413)"),
    ],
)
def test_a_topic_that_accepts_nothing_fails_no_transfer(
    topic: Topic,
    make_announcer: MakeAnnouncer,
    caplog: pytest.LogCaptureFixture,
    *,
    status: int,
    requests: int,
    shown: str,
) -> None:
    """A bounded number of tries, and one warning without anything from the topic's response."""
    topic.answers = [(status, {})] * 20
    with caplog.at_level(logging.DEBUG):
        assert not make_announcer(topic.url).announce(end()).sent
    assert len(topic.requests) == requests
    expected = "transfer t-1: the topic accepted no event of type BlobToOutlook.Attached: "
    assert warning_of(caplog) == expected + shown


def test_a_topic_that_cannot_be_reached_fails_no_transfer(
    make_announcer: MakeAnnouncer, caplog: pytest.LogCaptureFixture
) -> None:
    """No server listens on its port."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    with caplog.at_level(logging.INFO):
        assert not make_announcer(f"https://localhost:{port}/api/events").announce(end()).sent
    assert "ServiceRequestError" in warning_of(caplog)


def test_a_topic_with_an_untrusted_certificate_gets_nothing(
    topic: Topic,
    make_announcer: MakeAnnouncer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its certificate is verified before the token is sent."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert not make_announcer(topic.url).announce(end()).sent
    assert topic.requests == []
    assert "accepted no event" in warning_of(caplog)


def test_without_an_identity_nothing_is_sent(
    topic: Topic, make_announcer: MakeAnnouncer, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning has nothing of the identity's error text."""
    assert not make_announcer(topic.url, Credential(None)).announce(end()).sent
    assert topic.requests == []
    assert "ClientAuthenticationError" in warning_of(caplog)
