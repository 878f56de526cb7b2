"""Upload URLs and tokens show up nowhere, and no byte goes to a host that nobody allowed."""

import http.server
import logging
import random
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from infra.local.outlook import Fault, Kind, Misbehaviour, OutlookEmulator, Rules, catalogue
from shared.errors import Permanent, TransferError, UploadHostNotAllowed
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import CLOUDS, GraphEndpoint, graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.item import OutlookFile
from shared.outlook.upload_url import UploadUrl
from shared.secret import Secret
from shared.settings import Settings, is_loopback
from shared.storage.session_store import SessionNotes, SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.addressing import read_address
from shared.transfer.retry_policy import RESPONSE_RULES
from tests.conftest import MakeHarness
from tests.faults.hostile import blob_names, upload_urls
from tests.faults.hub import Hub
from tests.figures import Say
from tests.harness import MAILBOX, Harness
from tests.telemetry import Telemetry

SEED = 7
COUNT = 5_000
CANARY = "eyJcanary-of-the-upload-url"
R = 4_000
SIZE = 4 * R + 1
RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=4_000)
FUNCTION_APP = Path(__file__).parents[2] / "function_app.py"
QUIET = re.compile(r'getLogger\("([\w.]+)"\)\.setLevel\(logging\.([A-Z]+)\)')

BREAKAGES = [
    *(catalogue.lost_answer("close"), catalogue.lost_answer("reset")),
    *(catalogue.cut_answer("close"), catalogue.cut_answer("reset")),
    *(catalogue.reset_mid_body(), catalogue.closed_unread()),
    *(catalogue.truncated_json(), catalogue.not_json(), catalogue.refused(502)),
    *(catalogue.session_gone(404), catalogue.throttled("1"), catalogue.unauthorized()),
]
KINDS: list[Kind] = [
    *("list", "small_post", "create", "range", "last_range"),
    *("session_state", "cancel", "raw_content"),
]


# What leads to a request of the kind, when an undisturbed transfer makes none.
BEFORE: dict[Kind, list[tuple[Kind, Misbehaviour]]] = {
    "session_state": [("range", catalogue.failed_after_acceptance(502))],
    "cancel": [("range", catalogue.session_gone(410))],
    "raw_content": [("last_range", catalogue.without_location())],
}


@pytest.fixture
def as_the_app_logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything is captured, but for what function_app.py itself keeps quiet."""
    caplog.set_level(logging.DEBUG)
    quieted = QUIET.findall(FUNCTION_APP.read_text())
    assert {name for name, _ in quieted} == {"azure", "urllib3"}
    for name, level in quieted:
        caplog.set_level(level, logger=name)
    return caplog


@dataclass
class Connections:
    """Where this process wanted to connect; nothing but loopback is reached."""

    looked_up: list[tuple[str, object]] = field(default_factory=list)
    connected: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def abroad(self) -> list[object]:
        """What was not loopback."""
        names = [host for host, _ in self.looked_up if host not in {"127.0.0.1", "localhost"}]
        return names + [each for each in self.connected if each[0] not in {"127.0.0.1", "::1"}]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Records every look-up and connection, and forbids those that leave this machine."""
    seen = Connections()
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def guarded_look_up(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        seen.looked_up.append((str(host), port))
        if host not in {"127.0.0.1", "localhost"}:
            raise socket.gaierror("no name is resolved here")
        return look_up(host, port, *rest, **options)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        seen.connected.append(tuple(address) if isinstance(address, tuple) else (address,))
        if seen.connected[-1][0] not in {"127.0.0.1", "::1"}:
            raise ConnectionRefusedError("no connection leaves this machine")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    return seen


@pytest.fixture
def traced_requests(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Every span, those of the HTTP libraries included, as the worker in Azure turns them on."""
    instrumentors = (RequestsInstrumentor(), URLLib3Instrumentor())
    for each in instrumentors:
        each.instrument()
    yield telemetry
    for each in instrumentors:
        each.uninstrument()


def rendered(error: BaseException) -> str:
    """The exception as logs and histories show it, chain and all."""
    return "".join(traceback.TracebackException.from_exception(error).format())


def shown_by(harness: Harness) -> str:
    """All that Durable, the blobs and the session store keep once transfers are over."""
    blobs = list(harness.container.list_blobs(include=["metadata"]))
    metadata = [str(each.metadata) for each in blobs]
    outputs = [f"{each.output} {each.failed}" for each in harness.engines]
    assert harness.notes() == []
    return "\n".join([harness.kept, *metadata, *outputs])


@pytest.mark.parametrize("misbehaviour", BREAKAGES, ids=lambda each: str(each.name))
def test_no_secret_outlives_a_transfer(
    make_harness: MakeHarness,
    as_the_app_logs: pytest.LogCaptureFixture,
    traced_requests: Telemetry,
    misbehaviour: Misbehaviour,
) -> None:
    """Logs, traces, histories, statuses, metadata, after every break at every kind of request."""
    harness = make_harness(RULES, range_bytes=R, ranges_per_activity=2, reconcile_seconds=2)
    fired = 0
    for number, kind in enumerate(KINDS):
        item = harness.emulator.add_item(MAILBOX, "message")
        harness.emulator.clear()
        faults = [Fault(misbehaviour=each, kind=of) for of, each in BEFORE.get(kind, [])]
        harness.emulator.faults.add(*faults, Fault(misbehaviour=misbehaviour, kind=kind))
        harness.put(f"in/{number}", bytes(SIZE), mailbox=MAILBOX, messageid=item)
        assert harness.transfer(f"in/{number}").state == "attached"
        fired += len(harness.emulator.faults.fired)
    assert fired >= 2
    traces = "".join(span.to_json() for span in traced_requests.spans)
    # The libraries' own tracing is on: it shows whole URLs, if they are storage's.
    assert f"/{harness.container.container_name}/in/0" in traces
    assert "PUT 127.0.0.1" in traces
    everything = shown_by(harness) + as_the_app_logs.text + traces
    secrets = harness.emulator.secrets()
    assert len(secrets) > len(KINDS)
    assert not [secret for secret in secrets if secret in everything]


def test_no_secret_is_in_a_failure(
    make_harness: MakeHarness, as_the_app_logs: pytest.LogCaptureFixture
) -> None:
    """Nor in what a transfer that Outlook refuses for good leaves behind, quoted URL or not."""
    harness = make_harness(RULES, range_bytes=R)
    for number, kind in enumerate(KINDS[:5]):
        item = harness.emulator.add_item(MAILBOX, "message")
        harness.emulator.clear()
        refused = catalogue.refused(400, "ErrorInvalidRequest")
        harness.emulator.faults.add(Fault(misbehaviour=refused, kind=kind, times=None))
        harness.put(f"in/{number}", bytes(SIZE), mailbox=MAILBOX, messageid=item)
        assert harness.transfer(f"in/{number}").state == "failed"
    everything = shown_by(harness) + as_the_app_logs.text
    assert not [secret for secret in harness.emulator.secrets() if secret in everything]


def test_no_exception_shows_a_url(make_harness: MakeHarness) -> None:
    """What the client raises and returns while Outlook is away, its traceback included."""
    harness = make_harness(RULES)
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("x", b"x", mailbox=MAILBOX, messageid=item)
    target = read_address("x", harness.metadata("x")).item
    graph = harness.graph
    created = graph.create_upload_session(target, OutlookFile("x", 9, "text/plain"))
    url = graph.upload_url(created.body["uploadUrl"])
    calls: list[Callable[[], object]] = [
        lambda: graph.put_range(url, ByteRange(0, 4), 9, b"1234"),
        lambda: graph.session_state(url),
        lambda: graph.cancel_upload_session(url),
        lambda: graph.list_attachments(target),
        lambda: graph.create_upload_session(target, OutlookFile("x", 9, "text/plain")),
    ]
    texts = []
    for misbehaviour in (*BREAKAGES, None):
        if misbehaviour is None:
            harness.emulator.stop()
        for call in calls:
            harness.emulator.faults.clear()
            if misbehaviour is not None:
                for kind in KINDS:
                    fault = Fault(misbehaviour=misbehaviour, kind=kind, times=None)
                    harness.emulator.faults.add(fault)
            try:
                texts.append(repr(call()))
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not tell)
                texts.append(rendered(error))
    # What a session's creation answers is the URL itself: it goes nowhere but to the store.
    shown = "\n".join(each for each in texts if "uploadUrl" not in each)
    assert shown.count("UNKNOWN") > 10
    assert not [secret for secret in harness.emulator.secrets() if secret in shown]


def test_a_store_that_is_away_does_not_show_its_notes() -> None:
    """Neither the sentence nor the traceback of the error holds the upload URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:{port}/a;"
    with BlobServiceClient.from_connection_string(text, retry_total=0) as service:
        store = SessionStore(service.get_container_client("sessions"))
        url = Secret(f"https://outlook.office.com/x?authtoken={CANARY}", "upload URL")
        notes = SessionNotes(1, (), upload_url=url)
        with pytest.raises(TransferError) as caught:
            store.put("t", notes)
    assert CANARY not in rendered(caught.value)
    assert CANARY not in repr(notes)


class NoCredential:
    """A credential that is never asked: nothing may go to Graph."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        raise AzureError("no token is needed for an upload URL")


def client_of(endpoint: GraphEndpoint) -> GraphClient:
    return GraphClient(
        endpoint,
        lambda: cast("TokenCredential", NoCredential()),
        RESPONSE_RULES,
        timeouts=(0.5, 0.5),
    )


def checked(client: GraphClient, text: str) -> UploadUrl | None:
    """The URL if the product takes it; if not, its refusal shows no token."""
    refusal = ""
    try:
        return client.upload_url(text)
    except UploadHostNotAllowed as error:
        refusal = rendered(error)
    assert CANARY not in refusal, text
    return None


def test_no_hostile_upload_url_gets_a_connection(connections: Connections, say: Say) -> None:
    """5,000 of them: refused without showing the token, or a host of the list on port 443."""
    endpoint = graph_endpoint(Settings.model_validate({}))
    client = client_of(endpoint)
    refused = 0
    for text in upload_urls(random.Random(SEED), COUNT, CANARY):
        url = checked(client, text)
        if url is None:
            refused += 1
            continue
        answer = client.put_range(url, ByteRange(0, 1), 1, b"x")
        assert answer.no_response, text
        assert CANARY not in repr(answer) + repr(url)
    client.close()
    elsewhere = {
        each
        for each in connections.looked_up
        if each[0] not in CLOUDS["global"].upload_hosts or each[1] != 443
    }
    sent = len(connections.looked_up)
    say(
        f"figure 7: upload URLs {COUNT}, refused {refused}, to hosts of the list {sent}, "
        f"to other hosts {len(elsewhere)} (seed {SEED})"
    )
    assert not elsewhere
    assert not connections.connected
    assert 0 < len(connections.looked_up) < COUNT / 4


def test_a_loopback_graph_lets_urls_go_no_further(connections: Connections) -> None:
    """On a developer's machine, too, hostile URLs reach nothing but this machine or the list."""
    endpoint = graph_endpoint(Settings.model_validate({"graph_base_url": "http://127.0.0.1:9"}))
    client = client_of(endpoint)
    for text in upload_urls(random.Random(SEED + 1), COUNT, CANARY):
        url = checked(client, text)
        if url is None:
            continue
        answer = client.put_range(url, ByteRange(0, 1), 1, b"x")
        assert CANARY not in repr(answer) + repr(url)
    client.close()
    abroad = {host for host, _ in connections.looked_up if not is_loopback(host)}
    assert abroad <= CLOUDS["global"].upload_hosts
    assert all(is_loopback(str(each[0])) for each in connections.connected)


def test_a_transfer_with_a_hostile_url_fails_clearly(connections: Connections) -> None:
    """The whole way: said as UploadHostNotAllowed in the record, without the token or a request."""
    hub = Hub(rules=RULES, range_bytes=R, transfer_deadline_minutes=1)
    draw = random.Random(SEED + 2)
    refused = 0
    for number, text in enumerate(upload_urls(draw, 120, CANARY)):
        item = hub.add_message()
        hub.service.faults.clear()
        fault = Fault(misbehaviour=catalogue.upload_url(text), kind="create", times=None)
        hub.service.faults.add(fault)
        metadata = {"mailbox": MAILBOX, "messageid": item}
        hub.blobs.put(f"{number}", bytes(SIZE), None, metadata)
        engine = hub.engines[hub.deliver(f"{number}")]
        hub.finish()
        assert engine.failed is None, text
        assert CANARY not in f"{engine.history} {engine.statuses} {engine.output}"
        record = hub.blobs.blob(f"{number}").metadata
        assert CANARY not in str(record)
        assert record["attachmentstatus"] == "failed"
        refused += record["attachmenterror"].startswith("UploadHostNotAllowed")
    hub.close()
    assert refused > 80
    abroad = {host for host, _ in connections.looked_up if not is_loopback(host)}
    assert abroad <= CLOUDS["global"].upload_hosts


ITEM_PATH = re.compile(
    r"/v1\.0/users/([^/?#]+)/(messages|events)/([^/?#]+)/attachments\?\$select=[\w,]+"
)


def test_no_blob_name_leaves_its_item_at_graph(connections: Connections, say: Say) -> None:
    """5,000 of them: refused, or one mailbox, one item and nothing beside, as it is on the wire."""
    asked = 0
    outside: dict[str, str] = {}
    with OutlookEmulator() as emulator:
        settings = Settings.model_validate({"graph_base_url": emulator.url})
        token = AccessToken("t", 2_000_000_000)

        class Token:
            def get_token(self, *_: str, **__: Any) -> AccessToken:
                return token

        client = GraphClient(
            graph_endpoint(settings), lambda: cast("TokenCredential", Token()), RESPONSE_RULES
        )
        for name in blob_names(random.Random(SEED), COUNT):
            try:
                item = read_address(name, {}).item
            except Permanent:
                continue
            client.list_attachments(item)
            asked += 1
            target = emulator.requests[-1].target
            match = ITEM_PATH.fullmatch(target)
            named = (unquote(match[1]), unquote(match[3])) if match else None
            if named != (item.mailbox, item.id) or {".", ".."} & set(named):
                outside[name] = target
            emulator.clear()
        client.close()
    say(
        f"figure 7: blob names {COUNT}, addressed {asked}, "
        f"outside of their item {len(outside)} (seed {SEED})"
    )
    assert not outside
    assert asked > COUNT / 10
    assert not connections.abroad


@pytest.fixture
def storage_paths() -> Iterator[tuple[str, list[str]]]:
    """A storage account that knows no blob; its connection string, and what it is asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            paths.append(self.path)
            self.send_response(404)
            self.send_header("x-ms-error-code", "BlobNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port = server.server_address[1]
    yield (
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
        f"BlobEndpoint=http://127.0.0.1:{port}/a;",
        paths,
    )
    server.shutdown()
    server.server_close()
    thread.join()


def test_no_blob_name_leaves_its_container(
    storage_paths: tuple[str, list[str]],
    connections: Connections,
    say: Say,
) -> None:
    """5,000 of them: refused, or asked for under their own name in the watched container."""
    text, paths = storage_paths
    outside: dict[str, str] = {}
    asked = 0
    with BlobServiceClient.from_connection_string(text) as service:
        source = SourceContainer(service.get_container_client("source"))
        for name in blob_names(random.Random(SEED), COUNT):
            paths.clear()
            with suppress(TransferError, ValueError):
                source.look(name)
            for path in paths:
                asked += 1
                if not path.startswith("/a/source/") or unquote(path) != f"/a/source/{name}":
                    outside[name] = path
    say(f"figure 7: blob names {COUNT}, asked for {asked}, elsewhere {len(outside)} (seed {SEED})")
    assert not connections.abroad
    assert asked > COUNT / 4
    assert not outside
