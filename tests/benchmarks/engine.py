"""(a) The transfer engine, from a blob to Outlook, against the two loops that bound it.

The engine is the activity ``upload_ranges``, called until the file is attached, as the
orchestrator calls it. Creating the session is left out of it as it is of the loop of PUTs. The
protocol is ordered, so nothing can be faster than the slower loop, and nothing can be sent before
the first slice is there.
"""

import hashlib
import secrets
from contextlib import ExitStack
from functools import partial
from statistics import median
from types import TracebackType
from typing import Self

from azure.identity import ManagedIdentityCredential

from infra.local.azurite import Azurite
from shared.app import Clients, activities, utc_now
from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.item import OutlookFile, OutlookItem
from shared.settings import Settings, StorageConnection
from shared.storage.accounts import blob_service, table_service
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activity_payloads import Inspect, Job, UploadRanges
from shared.transfer.payloads import TransferRequest
from shared.transfer.retry_policy import RESPONSE_RULES
from shared.transfer.transfer_id import instance_id
from tests.benchmarks.bare_loops import put_loop, read_loop, readable_url
from tests.benchmarks.measurement import (
    MIB,
    SLICE,
    Measure,
    Report,
    Target,
    in_rounds,
    median_ratio,
    timed,
)
from tests.benchmarks.outlook_process import MAILBOX, OutlookProcess

SIZES = (32 * MIB, 150 * MIB)
# Seconds a PUT, bytes a second.
SERVICES: dict[str, tuple[float, float]] = {
    "0 ms": (0, float("inf")),
    "50 ms": (0.05, float("inf")),
    "50 ms, 40 MB/s": (0.05, 40e6),
}
AT_MOST = 1.10


class Engine:
    """The app's parts between a container of blobs and Outlook, without Durable."""

    def __init__(self, connection_string: str, outlook: OutlookProcess) -> None:
        self._outlook = outlook
        self._account = blob_service(StorageConnection("", connection_string=connection_string))
        self._container = self._account.get_container_client("bench")
        self._settings = Settings(graph_base_url=outlook.url, allowed_mailboxes=("*",))
        self._source = SourceContainer(self._container)
        self._graph = GraphClient(
            graph_endpoint(self._settings), ManagedIdentityCredential, RESPONSE_RULES
        )
        connection = StorageConnection("", connection_string=connection_string)
        clients = Clients(
            self._source,
            SessionStore(self._account.get_container_client("bench-sessions")),
            table_service(connection),
            self._graph,
            ManagedIdentityCredential,
        )
        self._activities = activities(self._settings, clients, utc_now)
        self._attacher = self._activities.attacher
        self._contents: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._container.create_container()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._graph.close()
        self._account.close()

    def put(self, size: int) -> str:
        """A blob of so many random bytes; its name."""
        name = f"{size}.bin"
        self._contents[name] = secrets.token_bytes(size)
        self._container.upload_blob(name, self._contents[name])
        return name

    def upload(self, blob: str) -> float:
        """Seconds from the first ``upload_ranges`` to the attachment, which is checked."""
        item = self._outlook.add_item()
        job = self._job(blob, item)
        created = self._attacher.create_upload_session(job)
        assert created.outcome == "progress", created
        seconds = timed(lambda: self._run(job))
        self._check(blob, item)
        return seconds

    def attach(self, blob: str) -> float:
        """The same with the creation of the session."""
        item = self._outlook.add_item()
        job = self._job(blob, item)

        def attach() -> None:
            assert self._attacher.create_upload_session(job).outcome == "progress"
            self._run(job)

        seconds = timed(attach)
        self._check(blob, item)
        return seconds

    def put_from_memory(self, blob: str) -> float:
        """Seconds of the bare loop of PUTs."""
        content = self._contents[blob]
        item = self._outlook.add_item()
        file = OutlookFile(blob, len(content), "application/octet-stream", None)
        created = self._graph.create_upload_session(OutlookItem(MAILBOX, "message", item), file)
        pieces = [content[start : start + SLICE] for start in range(0, len(content), SLICE)]
        seconds = put_loop(str(created.body["uploadUrl"]), pieces)
        self._check(blob, item)
        return seconds

    def read_only(self, blob: str) -> tuple[float, float]:
        """Seconds of the bare loop of reads, and of its first slice."""
        client = self._container.get_blob_client(blob)
        key = client.credential.account_key
        return read_loop(readable_url(client, key), len(self._contents[blob]))

    def _job(self, blob: str, item: str) -> Job:
        request = TransferRequest(
            blob=blob, mailbox=MAILBOX, item_type="message", item_id=item, file_name=blob
        )
        id_ = instance_id(self._source.look(blob), str(request.item))
        found = self._activities.inspector.inspect(Inspect(transfer_id=id_, request=request))
        assert found.job is not None, found
        return found.job

    def _run(self, job: Job) -> None:
        step = self._attacher.upload_ranges(UploadRanges(job=job, offset=0))
        while step.outcome == "progress":
            step = self._attacher.upload_ranges(UploadRanges(job=job, offset=step.offset))
        assert step.outcome == "attached", step

    def _check(self, blob: str, item: str) -> None:
        sent = hashlib.sha256(self._contents[blob]).hexdigest()
        assert self._outlook.remove_item(item) == [sent]


def run() -> Report:
    """Measure, in rounds of everything."""
    with ExitStack() as running:
        outlook = running.enter_context(OutlookProcess())
        azurite = running.enter_context(Azurite())
        engine = running.enter_context(Engine(azurite.connection_string, outlook))
        first: dict[str, list[float]] = {}
        measures: dict[str, Measure] = {}
        for size in SIZES:
            blob = engine.put(size)
            engine.upload(blob)
            measures[f"{blob} read"] = _read(engine, blob, first.setdefault(blob, []))
            for name, (seconds, rate) in SERVICES.items():
                for kind, measure in (("put", engine.put_from_memory), ("engine", engine.upload)):
                    work = partial(measure, blob)
                    measures[f"{blob} {name} {kind}"] = outlook.with_latency(seconds, rate, work)
        samples = in_rounds(measures)
    return _report(samples, first)


def _read(engine: Engine, blob: str, first: list[float]) -> Measure:
    def measure() -> float:
        whole, first_slice = engine.read_only(blob)
        first.append(first_slice)
        return whole

    return measure


def _report(samples: dict[str, list[float]], first: dict[str, list[float]]) -> Report:
    rows: list[tuple[str | float, ...]] = []
    targets = []
    for size in SIZES:
        blob = f"{size}.bin"
        reads = samples[f"{blob} read"]
        for name in SERVICES:
            puts, engine = samples[f"{blob} {name} put"], samples[f"{blob} {name} engine"]
            bounds = [
                max(put, read) + begin
                for put, read, begin in zip(puts, reads, first[blob], strict=True)
            ]
            ratio = median_ratio(engine, bounds)
            figures = (puts, reads, first[blob], engine)
            rows.append((f"{size // MIB}", name, *map(median, figures), ratio))
            targets.append(Target(f"{size // MIB} MiB, {name}", ratio, AT_MOST))
    return Report(
        title="(a) Transfer engine against (slower loop + first slice)",
        columns=("MiB", "a PUT", "PUTs, s", "reads, s", "first, s", "engine, s", "ratio"),
        rows=rows,
        targets=targets,
        samples={**samples, **{f"{blob} first slice": seen for blob, seen in first.items()}},
    )
