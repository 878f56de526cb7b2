"""The Event Grid trigger: which events start transfers, and how the others are handled."""

import asyncio
import json
import logging
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import azure.durable_functions as df
import grpc
import pytest
from azure.storage.blob import BlobServiceClient

from shared.errors import (
    BlobDeleted,
    BlobNotFound,
    InternalError,
    MailboxNotAllowed,
    StorageUnavailable,
    TransferError,
)
from shared.settings import Settings
from shared.storage.listing import Listing
from shared.storage.source_container import SourceContainer
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.start import Started, Starter, StartResult
from shared.transfer.service.transfers import Transfer
from shared.triggers.event_grid import event_grid_functions
from tests.support.engine.clock import VirtualClock
from tests.support.in_memory.storage import MemoryContainer
from tests.support.in_memory.tables import MemoryTables

HOST = "account.blob.core.windows.net"
SECRET = "sv=2025&sig=SECRET"
REQUEST = {"blob": "a.pdf", "mailbox": "reports@contoso.com", "messageId": "M="}


@dataclass
class RecordingStarter:
    """Records the calls of the trigger. ``blobs``: the existing ones, None for all names."""

    blobs: set[str] | None = None
    results: tuple[StartResult, ...] = ()
    failure: Exception | None = None
    names: list[str] = field(default_factory=list)
    requests: list[tuple[AttachRequest, str]] = field(default_factory=list)

    async def from_blob(self, _client: object, name: str) -> Started:
        self.names.append(name)
        if self.failure:
            raise self.failure
        if self.blobs is not None and name not in self.blobs:
            raise BlobDeleted(name)
        return Started("transfer", joined=True)

    async def from_request(
        self, _client: object, attach: AttachRequest, key: str
    ) -> tuple[StartResult, ...]:
        self.requests.append((attach, key))
        if self.failure:
            raise self.failure
        return self.results


def no_listing() -> Listing:
    """A listing without transfers."""
    return Listing(MemoryTables().as_client(), VirtualClock())


def deliver(starter: object, event: object, client: object = None, host: str = HOST) -> None:
    """Hand one event to the function, as the worker does."""
    settings = Settings.model_validate({"source_container": "inbox"})
    app = df.DFApp()
    app.register_functions(event_grid_functions(settings, cast("Starter", starter), host))
    functions = {f.get_function_name(): f.get_user_function() for f in app.get_functions()}
    function: Any = functions["event_received"]
    text = event if isinstance(event, str) else json.dumps(event)
    asyncio.run(function.client_function(event=text, client=client))


def only_entry(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The only log entry of the app."""
    (entry,) = [record for record in caplog.records if record.name.startswith("shared.")]
    return entry


def _url(name: str) -> str:
    """The blob's URL as storage writes it."""
    return f"https://{HOST}/inbox/{quote(name, errors='surrogatepass')}?{SECRET}"


def created(name: str = "a.pdf", **changed: object) -> dict[str, Any]:
    """A ``BlobCreated`` event in the Event Grid schema, with some of its parts changed."""
    data = {"api": "PutBlob", "url": _url(name), "blobType": "Block"}
    event: dict[str, Any] = {
        "id": "event-1",
        "topic": "/subscriptions/s/providers/Microsoft.Storage/storageAccounts/account",
        "subject": f"/blobServices/default/containers/inbox/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2025-01-02T03:04:05.6789012Z",
        "dataVersion": "",
    }
    return (
        event
        | {"data": data | {k: v for k, v in changed.items() if k in data}}
        | {k: v for k, v in changed.items() if k not in data}
    )


def as_cloud_event(event: dict[str, Any]) -> dict[str, Any]:
    """The same event in the CloudEvents schema."""
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "type": event["eventType"],
        "subject": event["subject"],
        "time": "2025-01-02T05:04:05+02:00",
        "data": event["data"],
    }


def requested(data: object, **changed: object) -> dict[str, Any]:
    """An ``AttachRequested`` event in the CloudEvents schema."""
    return {
        "specversion": "1.0",
        "id": "event-2",
        "source": "/invoices",
        "type": "BlobToOutlook.AttachRequested",
        "data": data,
    } | changed


# --- blobs that were created ---


@pytest.mark.parametrize("api", ["PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"])
@pytest.mark.parametrize("schema", [dict, as_cloud_event], ids=["event grid", "cloud events"])
def test_a_complete_blob_is_started(api: str, schema: Any) -> None:
    """Once for each event, in either schema."""
    starter = RecordingStarter()
    deliver(starter, schema(created(api=api)))
    assert starter.names == ["a.pdf"]


def renamed(name: str = "final.pdf", host: str = HOST, **changed: object) -> dict[str, Any]:
    """A ``BlobRenamed`` event: its subject and one of its URLs name what the blob is called now."""
    data: dict[str, object] = {
        "api": "RenameFile",
        "sourceUrl": f"https://{host}/inbox/upload.tmp?{SECRET}",
        "destinationUrl": f"https://{host}/inbox/{quote(name)}?{SECRET}",
    }
    event = created(name, eventType="Microsoft.Storage.BlobRenamed", data=data)
    return event | changed


@pytest.mark.parametrize("schema", [dict, as_cloud_event], ids=["event grid", "cloud events"])
@pytest.mark.parametrize("host", [HOST, HOST.replace(".blob.", ".dfs.")])
@pytest.mark.parametrize("name", ["final.pdf", "r@contoso.com/messages/M=/a b.pdf", "a//b.pdf"])
def test_a_renamed_blob_is_started_under_its_new_name(schema: Any, host: str, name: str) -> None:
    """Once; by either endpoint of the account."""
    starter = RecordingStarter()
    deliver(starter, schema(renamed(name, host)))
    assert starter.names == [name]


def test_a_rename_by_sftp_is_a_rename() -> None:
    """The call that renamed it does not matter."""
    starter = RecordingStarter()
    event = renamed()
    deliver(starter, event | {"data": event["data"] | {"api": "SftpRename"}})
    assert starter.names == ["final.pdf"]


@pytest.mark.parametrize(
    "event",
    [
        renamed(subject="/blobServices/default/containers/other/blobs/final.pdf"),
        renamed(host="stranger.dfs.core.windows.net"),
        renamed(eventType="Microsoft.Storage.DirectoryRenamed"),
        renamed(data={"api": "RenameFile", "url": _url("final.pdf")}),
    ],
)
def test_another_rename_starts_nothing(event: dict[str, Any]) -> None:
    """Out of the container, of another account, of a folder, without the new URL."""
    starter = RecordingStarter()
    deliver(starter, event)
    assert starter.names == []


@pytest.mark.parametrize(
    "event",
    [
        created(api="CreateFile"),
        created(api="SftpCreate"),
        created(api="AppendFile"),
        created(subject="/blobServices/default/containers/other/blobs/a.pdf"),
        created(url=f"https://{HOST}/other/a.pdf?{SECRET}"),
        created(url=f"https://{HOST}/inbox-2/a.pdf?{SECRET}"),
        created(url=f"https://stranger.blob.core.windows.net/inbox/a.pdf?{SECRET}"),
        created(url=f"https://{HOST}@evil.example/inbox/a.pdf?{SECRET}"),
        created(url=f"https://{HOST}.evil.example/inbox/a.pdf?{SECRET}"),
        created(url=f"{HOST}/inbox/a.pdf?{SECRET}"),
        created(eventType="Microsoft.Storage.BlobDeleted"),
        created(eventType="microsoft.storage.blobcreated"),
        as_cloud_event(created(eventType="x\ny")),
    ],
)
def test_what_is_not_for_this_app_is_dropped(
    event: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged in one line without a secret, and causes no request."""
    starter = RecordingStarter()
    with caplog.at_level(logging.INFO):
        deliver(starter, event)
    assert (starter.names, starter.requests) == ([], [])
    entry = only_entry(caplog)
    assert entry.levelno == logging.INFO
    assert "'event-1' is dropped" in entry.getMessage()
    assert "SECRET" not in caplog.text
    assert "\n" not in entry.getMessage()


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "event",
    [
        "",
        "{",
        DEEP,
        '{"id": ' + DEEP,
        "[]",
        "null",
        '"text"',
        {},
        created(id=None),
        created(id=""),
        created(id={"a": 1}),
        created(eventType=7),
        created(subject=None),
        created(subject=""),
        created(subject="/blobServices/default/containers/inbox"),
        created(subject="/blobServices/default/containers/inbox/blobs/"),
        created(subject=f"https://{HOST}/inbox/a.pdf?{SECRET}"),
        created(data=None),
        created(data=[SECRET]),
        created(data={"url": SECRET}),
        created(data={"api": "PutBlob"}),
        created(api=["PutBlob"]),
        created(url={"sig": "SECRET"}),
        created("a" * 1_025),
        created("a\ud800b"),
        as_cloud_event(created(id="")),
        {"specversion": "1.0", "id": "x", "eventType": "Microsoft.Storage.BlobCreated"},
    ],
    ids=lambda event: json.dumps(event)[:60],
)
def test_a_malformed_event_is_refused_and_not_raised(
    event: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Another delivery would be malformed, too: one warning without its text."""
    starter = RecordingStarter()
    deliver(starter, event)
    assert (starter.names, starter.requests) == ([], [])
    entry = only_entry(caplog)
    assert entry.levelno == logging.WARNING
    assert "is refused" in entry.getMessage()
    assert "SECRET" not in caplog.text
    assert "\n" not in entry.getMessage()


@pytest.mark.parametrize(
    ("name", "requested_names"),
    [
        ("a b#?&+.pdf", ["a b#?&+.pdf"]),
        ("/leading.pdf", ["/leading.pdf"]),
        ("//two.pdf", ["//two.pdf"]),
        ("a//b.pdf", ["a//b.pdf"]),
        ("a\r\nb\u2028.pdf", ["a\r\nb\u2028.pdf"]),
        ("folder/blobs/a.pdf", ["folder/blobs/a.pdf"]),
        ("ä\u202e👩.pdf", ["ä\u202e👩.pdf"]),
        ("r@contoso.com/messages/A%2FB/a.pdf", ["r@contoso.com/messages/A%2FB/a.pdf"]),
        ("https://evil.example/a", ["https://evil.example/a"]),
    ],
)
def test_a_name_is_taken_as_the_subject_has_it(name: str, requested_names: list[str]) -> None:
    """For any URL in the event, which is never requested."""
    starter = RecordingStarter()
    deliver(starter, created(name))
    assert starter.names == requested_names


@pytest.mark.parametrize(
    ("subject", "blob"), [("a%20b.pdf", "a b.pdf"), ("M%252F.pdf", "M%2F.pdf")]
)
def test_a_name_that_its_sender_encoded_is_decoded_once(subject: str, blob: str) -> None:
    """When there is no blob of the name in the event."""
    starter = RecordingStarter(blobs={blob})
    deliver(starter, created(subject))
    assert starter.names == [subject, blob]


@pytest.mark.parametrize(
    ("subject", "blob"),
    [
        ("a_b.pdf", "a\nb.pdf"),
        ("a?.pdf", "a\u00e9.pdf"),
        ("ab", "a b"),
        ("a", "a#b?c.pdf"),
        ("a+b.pdf", "a%20b.pdf"),
        ("a", "a/b.pdf"),
    ],
)
@pytest.mark.parametrize("host", [HOST, HOST.upper(), HOST.replace(".blob.", ".dfs.")])
def test_the_url_counts_where_the_subject_differs(subject: str, blob: str, host: str) -> None:
    """A subject can lose characters; also when both blobs exist."""
    starter = RecordingStarter()
    deliver(starter, created(subject, url=f"https://{host}/inbox/{quote(blob)}?{SECRET}"))
    assert starter.names == [blob]


def test_an_url_that_is_not_encoded_does_no_harm() -> None:
    """Its blob does not exist, so the subject counts."""
    starter = RecordingStarter(blobs={"a%41?b.pdf"})
    deliver(starter, created("a%41?b.pdf", url=f"https://{HOST}/inbox/a%41?b.pdf?{SECRET}"))
    assert starter.names == ["aA", "a%41?b.pdf"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../secret.pdf", "UnsupportedBlob"),
        ("a/../../other/secret.pdf", "UnsupportedBlob"),
        ("..\\secret.pdf", "UnsupportedBlob"),
        ("%2e%2e/secret.pdf", "UnsupportedBlob"),
        ("%2E%2E%2Fsecret.pdf", "UnsupportedBlob"),
        ("%252e%252e/secret.pdf", "BlobDeleted"),
        ("/secret.pdf", "BlobDeleted"),
        ("gone.pdf", "BlobDeleted"),
    ],
)
def test_no_name_leads_out_of_the_container(
    name: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The real starter finds nothing there, and the event is over."""
    container = MemoryContainer("inbox", VirtualClock())
    container.put("secret.pdf", b"1", None, {})
    starter = Starter(Settings(), SourceContainer(container.as_client()), no_listing())
    deliver(starter, created(name))
    assert f"starts nothing: {code}" in caplog.text


def test_a_transfer_that_the_blob_trigger_started_is_joined() -> None:
    """The engine has its id already: nothing fails, and nothing is started again."""
    ids: list[str] = []

    class AlreadyRunning(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.ALREADY_EXISTS

    class Engine:
        async def schedule_new_orchestration(self, *_: object, instance_id: str, **__: Any) -> str:
            if instance_id in ids:
                raise AlreadyRunning
            ids.append(instance_id)
            return instance_id

    container = MemoryContainer("inbox", VirtualClock())
    container.put("a.pdf", b"1", None, {"mailbox": "reports@contoso.com", "messageid": "M="})
    starter = Starter(Settings(), SourceContainer(container.as_client()), no_listing())
    client = Engine()
    asyncio.run(starter.from_blob(cast("df.DurableFunctionsClient", client), "a.pdf"))
    deliver(starter, created(), client)
    deliver(starter, as_cloud_event(created()), client)
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (HOST, f"https://{HOST.replace('.blob.', '.dfs.')}/inbox/a.pdf"),
        (HOST, f"https://{HOST.upper()}/inbox/a.pdf"),
        ("127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1/inbox/a.pdf"),
    ],
)
def test_the_account_has_several_names(host: str, url: str) -> None:
    """Its Data Lake endpoint, in any case; an emulator has the account in its path."""
    starter = RecordingStarter()
    deliver(starter, created(url=url), host=host)
    assert starter.names == ["a.pdf"]


@pytest.mark.parametrize(
    "connection",
    [
        f"BlobEndpoint=https://{HOST}/;SharedAccessSignature={SECRET}",
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=c2VjcmV0;"
        "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;",
    ],
    ids=["signature", "emulator"],
)
def test_the_clients_of_the_account_name_it_well(connection: str) -> None:
    """By their host name, or by what follows the scheme of their URL."""
    with BlobServiceClient.from_connection_string(connection) as service:
        url = service.get_blob_client("inbox", "a.pdf").url
        for host in (service.primary_hostname, service.url.partition("://")[2]):
            starter = RecordingStarter()
            deliver(starter, created(url=url), host=host)
            assert starter.names == ["a.pdf"]


# --- attach requests ---


@pytest.mark.parametrize(
    "event",
    [
        requested(REQUEST),
        {
            "id": "event-2",
            "subject": "any",
            "eventType": "BlobToOutlook.AttachRequested",
            "data": REQUEST,
            "dataVersion": "1",
        },
    ],
    ids=["cloud events", "event grid"],
)
def test_a_request_is_started_under_the_events_id(event: dict[str, Any]) -> None:
    """So that another delivery of it is the same attempt."""
    starter = RecordingStarter()
    deliver(starter, event)
    assert starter.requests == [(AttachRequest.read(REQUEST), "event-2")]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (None, "InvalidRequest"),
        ("text", "InvalidRequest"),
        ({}, "mailbox"),
        (REQUEST | {"blob": f"https://{HOST}/inbox/a?{SECRET}"}, "not a URL"),
        (REQUEST | {"blob": "../a.pdf"}, "blob: should be a blob's name"),
        (REQUEST | {"blobs": ["b.pdf"]}, "blobs: cannot be combined with blob"),
        (REQUEST | {"sendTo": SECRET}, "sendTo: unknown field"),
        (REQUEST | {f"https://{HOST}?{SECRET}\n": 1}, "a field: unknown field"),
        (REQUEST | {"mailbox": "\ud800"}, "InvalidRequest"),
        (REQUEST | {"force": "yes"}, "force"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_request_that_cannot_be_read_is_refused(
    data: object, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its code and its faults are logged in one line, without its text."""
    starter = RecordingStarter()
    deliver(starter, requested(data))
    assert starter.requests == []
    entry = only_entry(caplog)
    assert "'event-2' starts nothing: InvalidRequest" in entry.getMessage()
    assert shown in entry.getMessage()
    assert "SECRET" not in caplog.text
    assert "\n" not in entry.getMessage()


def test_a_request_for_a_mailbox_that_is_not_allowed_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By its code; the event is over."""
    deliver(RecordingStarter(failure=MailboxNotAllowed("reports@contoso.com")), requested(REQUEST))
    assert "'event-2' starts nothing: MailboxNotAllowed" in caplog.text


def test_one_blob_of_a_request_that_cannot_be_started_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By its name; the others are on their way."""
    results = (
        StartResult("a.pdf", Transfer(id="t", state="queued", blob="a.pdf")),
        StartResult("b.pdf", BlobNotFound("b.pdf")),
    )
    deliver(RecordingStarter(results=results), requested(REQUEST))
    entry = only_entry(caplog)
    assert "blob 'b.pdf' is not transferred: BlobNotFound" in entry.getMessage()


# --- errors that justify another delivery, and errors that do not ---


@pytest.mark.parametrize(
    ("starter", "event"),
    [
        (RecordingStarter(failure=StorageUnavailable("busy", status=503)), created()),
        (RecordingStarter(failure=StorageUnavailable("gone")), created()),
        (RecordingStarter(failure=StorageUnavailable("no role", status=403)), requested(REQUEST)),
        (
            RecordingStarter(
                results=(
                    StartResult("a.pdf", StorageUnavailable("busy", status=503)),
                    StartResult("b.pdf", InternalError("x")),
                )
            ),
            requested(REQUEST),
        ),
    ],
    ids=["busy", "no answer", "no role", "one blob of a request"],
)
def test_storage_that_is_unavailable_is_raised(
    starter: RecordingStarter, event: dict[str, Any]
) -> None:
    """Event Grid delivers the event again."""
    with pytest.raises(StorageUnavailable):
        deliver(starter, event)


def test_an_engine_in_trouble_is_raised() -> None:
    """As with the other triggers."""

    class Unavailable(grpc.RpcError):
        """An answer of the engine."""

    with pytest.raises(grpc.RpcError):
        deliver(RecordingStarter(failure=Unavailable()), created())


BAD_REQUEST = StorageUnavailable("InvalidUri", status=400)


@pytest.mark.parametrize(
    ("starter", "event"),
    [
        (RecordingStarter(failure=BAD_REQUEST), created()),
        (RecordingStarter(results=(StartResult("a.pdf", BAD_REQUEST),)), requested(REQUEST)),
    ],
    ids=["blob", "request"],
)
def test_what_storage_calls_a_bad_request_is_not_raised(
    starter: RecordingStarter, event: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Another delivery would have the same result."""
    deliver(starter, event)
    entry = only_entry(caplog)
    assert "StorageUnavailable: InvalidUri" in entry.getMessage()


def test_every_permanent_error_ends_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """For any error of the app."""
    failure: TransferError = InternalError("t")
    deliver(RecordingStarter(failure=failure), created())
    assert "starts nothing: InternalError" in caplog.text
