"""No upload URL or token leaks, and no byte is sent to a host that is not allowed."""

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
from typing import Any, cast
from urllib.parse import unquote

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from infra.local.outlook import Fault, Kind, Misbehaviour, OutlookEmulator, Rules, catalogue
from shared.app import LOG_LEVELS
from shared.errors import Permanent, TransferError, UploadHostNotAllowed
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import CLOUDS, GraphEndpoint, graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.item import OutlookFile
from shared.outlook.upload_url import UploadUrl
from shared.secret import Secret
from shared.settings import Settings, is_loopback
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.source_container import SourceContainer
from shared.transfer.addressing import read_address
from shared.transfer.retry_policy import RESPONSE_RULES
from tests.conftest import MakeHarness
from tests.support.faults.hostile_blob_names import blob_names
from tests.support.faults.hostile_urls import upload_urls
from tests.support.figures import ReportLine
from tests.support.harness import Harness
from tests.support.in_memory.app import InMemoryApp
from tests.support.telemetry import Telemetry
from tests.support.virtual_app import MAILBOX

SEED = 7
COUNT = 5_000
CANARY = "eyJcanary-of-the-upload-url"
R = 4_000
SIZE = 4 * R + 1
RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=4_000)

BREAKAGES = [
    *(catalogue.lost_answer("close"), catalogue.lost_answer("reset")),
    *(catalogue.cut_answer("close"), catalogue.cut_answer("reset")),
    *(catalogue.reset_mid_body(), catalogue.closed_unread()),
    *(catalogue.truncated_json(), catalogue.not_json(), catalogue.refused(502)),
    *(catalogue.session_gone(404), catalogue.throttled("1"), catalogue.unauthorized()),
]
KINDS: list[Kind] = [
    *("list", "get_item", "small_post", "create", "range", "last_range"),
    *("session_state", "cancel", "raw_content"),
]


# What causes a request of this kind where a transfer without faults sends none.
BEFORE: dict[Kind, list[tuple[Kind, Misbehaviour]]] = {
    "session_state": [("range", catalogue.failed_after_acceptance(502))],
    "cancel": [("range", catalogue.session_gone(410))],
    "raw_content": [("last_range", catalogue.without_location())],
}


@pytest.fixture
def as_the_app_logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Captures the log at the levels that the app sets."""
    caplog.set_level(logging.DEBUG)
    assert set(LOG_LEVELS) == {"azure", "urllib3"}
    for name, level in LOG_LEVELS.items():
        caplog.set_level(level, logger=name)
    return caplog


@dataclass
class Connections:
    """Where this process wanted to connect; nothing but loopback is reached."""

    looked_up: list[tuple[str, object]] = field(default_factory=list)
    connected: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def external(self) -> list[object]:
        """Lookups and connections other than loopback."""
        names = [host for host, _ in self.looked_up if host not in {"127.0.0.1", "localhost"}]
        return names + [each for each in self.connected if each[0] not in {"127.0.0.1", "::1"}]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Records every DNS lookup and connection, and blocks those to other machines."""
    seen = Connections()
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def guarded_look_up(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        seen.looked_up.append((str(host), port))
        if host not in {"127.0.0.1", "localhost"}:
            raise socket.gaierror("DNS lookups are blocked")
        return look_up(host, port, *rest, **options)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        seen.connected.append(tuple(address) if isinstance(address, tuple) else (address,))
        if seen.connected[-1][0] not in {"127.0.0.1", "::1"}:
            raise ConnectionRefusedError("connections to other machines are blocked")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    return seen


@pytest.fixture
def traced_requests(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Every span, including those of the HTTP libraries, which the worker in Azure turns on."""
    instrumentors = (RequestsInstrumentor(), URLLib3Instrumentor())
    for each in instrumentors:
        each.instrument()
    yield telemetry
    for each in instrumentors:
        each.uninstrument()


def rendered(error: BaseException) -> str:
    """The exception as logs and histories show it, with its chain."""
    return "".join(traceback.TracebackException.from_exception(error).format())


def stored_by(harness: Harness) -> str:
    """All that Durable, the blobs and the session store have after the transfers."""
    blobs = list(harness.container.list_blobs(include=["metadata"]))
    metadata = [str(each.metadata) for each in blobs]
    outputs = [f"{each.output} {each.failed}" for each in harness.started]
    assert harness.open_entries() == []
    return "\n".join([harness.durable_state, *metadata, *outputs])


@pytest.mark.parametrize("misbehaviour", BREAKAGES, ids=lambda each: str(each.name))
def test_no_secret_outlives_a_transfer(
    make_harness: MakeHarness,
    as_the_app_logs: pytest.LogCaptureFixture,
    traced_requests: Telemetry,
    misbehaviour: Misbehaviour,
) -> None:
    """Not in logs, traces, histories, statuses or metadata, after any break of any request."""
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
    # The libraries' own tracing is on: it contains complete URLs of storage.
    assert f"/{harness.container.container_name}/in/0" in traces
    assert "PUT 127.0.0.1" in traces
    everything = stored_by(harness) + as_the_app_logs.text + traces
    secrets = harness.emulator.secrets()
    assert len(secrets) > len(KINDS)
    assert not [secret for secret in secrets if secret in everything]


def test_no_secret_is_in_a_failure(
    make_harness: MakeHarness, as_the_app_logs: pytest.LogCaptureFixture
) -> None:
    """Nor in anything that a permanently refused transfer leaves, even if Outlook quotes a URL."""
    harness = make_harness(RULES, range_bytes=R)
    for number, kind in enumerate(KINDS[:5]):
        item = harness.emulator.add_item(MAILBOX, "message")
        harness.emulator.clear()
        refused = catalogue.refused(400, "ErrorInvalidRequest")
        harness.emulator.faults.add(Fault(misbehaviour=refused, kind=kind, times=None))
        harness.put(f"in/{number}", bytes(SIZE), mailbox=MAILBOX, messageid=item)
        assert harness.transfer(f"in/{number}").state == "failed"
    everything = stored_by(harness) + as_the_app_logs.text
    assert not [secret for secret in harness.emulator.secrets() if secret in everything]


def test_no_exception_shows_a_url(make_harness: MakeHarness) -> None:
    """Neither what the client raises or returns while Outlook fails, nor its traceback."""
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
            except Exception as error:  # noqa: BLE001 (any error must be free of secrets)
                texts.append(rendered(error))
    # The response to the creation of a session is the URL itself, which only the store gets.
    shown = "\n".join(each for each in texts if "uploadUrl" not in each)
    assert shown.count("UNKNOWN") > 10
    assert not [secret for secret in harness.emulator.secrets() if secret in shown]


def test_an_unreachable_ledger_does_not_show_its_rows() -> None:
    """Neither the sentence nor the traceback of the error contains the upload URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1:{port}/a;"
    with TableServiceClient.from_connection_string(text, retry_total=0) as service:
        url = Secret(f"https://outlook.office.com/x?authtoken={CANARY}", "upload URL")
        entry = LedgerEntry("t-1", "2026", 1, upload_url=url)
        with pytest.raises(TransferError) as caught:
            Ledger(service).put(entry)
    assert CANARY not in rendered(caught.value)
    assert CANARY not in repr(entry)


class NoCredential:
    """A credential that fails: no request may be sent to Graph."""

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
    """The URL if the app accepts it; if not, the error shows no token."""
    refusal = ""
    try:
        return client.upload_url(text)
    except UploadHostNotAllowed as error:
        refusal = rendered(error)
    assert CANARY not in refusal, text
    return None


def test_no_hostile_upload_url_gets_a_connection(
    connections: Connections, report_line: ReportLine
) -> None:
    """5,000 of them: refused without showing the token, or an allowed host on port 443."""
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
    report_line(
        f"figure 7: upload URLs {COUNT}, refused {refused}, to allowed hosts {sent}, "
        f"to other hosts {len(elsewhere)} (seed {SEED})"
    )
    assert not elsewhere
    assert not connections.connected
    assert 0 < len(connections.looked_up) < COUNT / 4


def test_a_loopback_graph_allows_no_other_hosts(connections: Connections) -> None:
    """On a developer's machine, too, only this machine and allowed hosts are reached."""
    endpoint = graph_endpoint(Settings.model_validate({"graph_base_url": "http://127.0.0.1:9"}))
    client = client_of(endpoint)
    for text in upload_urls(random.Random(SEED + 1), COUNT, CANARY):
        url = checked(client, text)
        if url is None:
            continue
        answer = client.put_range(url, ByteRange(0, 1), 1, b"x")
        assert CANARY not in repr(answer) + repr(url)
    client.close()
    external = {host for host, _ in connections.looked_up if not is_loopback(host)}
    assert external <= CLOUDS["global"].upload_hosts
    assert all(is_loopback(str(each[0])) for each in connections.connected)


def test_a_transfer_with_a_hostile_url_fails_clearly(connections: Connections) -> None:
    """As UploadHostNotAllowed in the record, without the token and without a request."""
    app = InMemoryApp(rules=RULES, range_bytes=R, transfer_deadline_minutes=1)
    draw = random.Random(SEED + 2)
    refused = 0
    for number, text in enumerate(upload_urls(draw, 120, CANARY)):
        item = app.add_message()
        app.service.faults.clear()
        fault = Fault(misbehaviour=catalogue.upload_url(text), kind="create", times=None)
        app.service.faults.add(fault)
        metadata = {"mailbox": MAILBOX, "messageid": item}
        app.blobs.put(f"{number}", bytes(SIZE), None, metadata)
        engine = app.engines[app.deliver(f"{number}")]
        app.finish()
        assert engine.failed is None, text
        assert CANARY not in f"{engine.history} {engine.statuses} {engine.output}"
        record = app.blobs.blob(f"{number}").metadata
        assert CANARY not in str(record)
        assert record["attachmentstatus"] == "failed"
        refused += record["attachmenterror"].startswith("UploadHostNotAllowed")
    app.close()
    assert refused > 80
    external = {host for host, _ in connections.looked_up if not is_loopback(host)}
    assert external <= CLOUDS["global"].upload_hosts


ITEM_PATH = re.compile(
    r"/v1\.0/users/([^/?#]+)/(messages|events)/([^/?#]+)/attachments\?\$select=[\w,]+"
)


def test_no_blob_name_reaches_another_item_at_graph(
    connections: Connections, report_line: ReportLine
) -> None:
    """5,000 of them: refused, or a request path with one mailbox, one item and nothing else."""
    addressed = 0
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
            addressed += 1
            target = emulator.requests[-1].target
            match = ITEM_PATH.fullmatch(target)
            named = (unquote(match[1]), unquote(match[3])) if match else None
            if named != (item.mailbox, item.id) or {".", ".."} & set(named):
                outside[name] = target
            emulator.clear()
        client.close()
    report_line(
        f"figure 7: blob names {COUNT}, addressed {addressed}, "
        f"outside their item {len(outside)} (seed {SEED})"
    )
    assert not outside
    assert addressed > COUNT / 10
    assert not connections.external


@pytest.fixture
def storage_paths() -> Iterator[tuple[str, list[str]]]:
    """A storage account without blobs; its connection string, and the paths of its requests."""
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
            """ReportLine nothing."""

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


def test_no_blob_name_reaches_another_container(
    storage_paths: tuple[str, list[str]],
    connections: Connections,
    report_line: ReportLine,
) -> None:
    """5,000 of them: refused, or requested by their own name in the watched container."""
    text, paths = storage_paths
    outside: dict[str, str] = {}
    requested = 0
    with BlobServiceClient.from_connection_string(text) as service:
        source = SourceContainer(service.get_container_client("source"))
        for name in blob_names(random.Random(SEED), COUNT):
            paths.clear()
            with suppress(TransferError, ValueError):
                source.look(name)
            for path in paths:
                requested += 1
                if not path.startswith("/a/source/") or unquote(path) != f"/a/source/{name}":
                    outside[name] = path
    report_line(
        f"figure 7: blob names {COUNT}, requested {requested}, "
        f"elsewhere {len(outside)} (seed {SEED})"
    )
    assert not connections.external
    assert requested > COUNT / 4
    assert not outside
