"""(e) 10, 100 and 1,000 files of 100 KB to 5 MB to 100 mailboxes: what does a file cost?

The sizes of each batch are distributed evenly in their logarithm. Events start the transfers of
blobs that are already there; the clock runs until the last has ended. Requests are counted by
the emulator, storage operations by Azurite's own log, processor time by the worker's. Each batch
has a stack of its own, since the local engine deletes nothing. A thousand are sent only once: they
take two minutes.
"""

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import psutil
import requests
from azure.storage.blob import ContainerClient
from durabletask.client import TaskHubGrpcClient

from infra.local.drop import source_container
from infra.local.stack import Stack
from shared.storage.source_container import SourceContainer
from shared.transfer.transfer_id import instance_id
from tests.benchmarks.measurement import ROUNDS, Report, Target
from tests.benchmarks.outlook_process import OutlookProcess
from tests.benchmarks.unlimited_stack import unlimited_stack

SMALLEST, LARGEST, MAILBOXES = 100_000, 5_000_000, 100
# Number of files, and how often a batch of that size is sent.
COUNTS = {10: ROUNDS, 100: ROUNDS, 1_000: 1}
AT_MOST = 1.1
_LINE = re.compile(
    r'"(?P<method>[A-Z]+) /devstoreaccount1/(?P<container>[^/? ]+)(?P<rest>\S*) HTTP'
)


_SHARES = {
    "seconds": "seconds",
    "processor": "CPU seconds",
    "requests": "requests",
    "storage": "storage operations",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """The average cost of a file of a batch."""

    seconds: float
    processor: float
    requests: float
    storage: float


def run() -> Report:
    """Measure the batches, the smaller ones around the largest."""
    costs: dict[int, list[Cost]] = {count: [] for count in COUNTS}
    with OutlookProcess() as outlook, TemporaryDirectory(prefix="many-files-") as folder:
        for number in range(MAILBOXES):
            outlook.add_mailbox(_mailbox(number))
        for number in range(ROUNDS):
            for count, times in COUNTS.items():
                if number < times:
                    log = Path(folder) / f"{count} {number}.log"
                    with unlimited_stack(outlook, log) as stack:
                        sender = FileSender(stack, outlook, log)
                        sender.send(10)
                        costs[count].append(sender.send(count))
    return _report(costs)


class FileSender:
    """Sends batches of files through one stack."""

    def __init__(self, stack: Stack, outlook: OutlookProcess, access_log: Path) -> None:
        self._stack, self._outlook, self._log = stack, outlook, access_log
        self._container = source_container(stack.info)
        self._worker = psutil.Process(stack.info.worker_pid)

    def send(self, count: int) -> Cost:
        """The cost of each of so many files."""
        ids = dict(self._put(count))
        self._outlook.requests()
        logged, processor = self._log.stat().st_size, self._processor()
        began = perf_counter()
        self._announce(ids)
        with closing(TaskHubGrpcClient(host_address=self._stack.info.durable_address)) as app:
            for id_ in ids.values():
                ended = app.wait_for_orchestration_completion(id_, timeout=300)
                assert ended is not None
                assert '"attached"' in (ended.serialized_output or ""), ended
        seconds = perf_counter() - began
        requests_seen = self._outlook.requests()
        assert not requests_seen["refused"]
        storage = operations(self._log, logged)
        return Cost(
            seconds / count,
            (self._processor() - processor) / count,
            requests_seen.total() / count,
            storage.total() / count,
        )

    def _processor(self) -> float:
        times = self._worker.cpu_times()
        return float(times.user + times.system)

    def _put(self, count: int) -> Iterator[tuple[str, str]]:
        """Blobs that name their items, and the transfers they will have."""
        ratio = LARGEST / SMALLEST
        sizes = [int(SMALLEST * ratio ** ((n + 0.5) / count)) for n in range(count)]
        source = SourceContainer(self._container)
        with ThreadPoolExecutor(4) as threads:
            yield from threads.map(partial(self._put_one, source), range(count), sizes)

    def _put_one(self, source: SourceContainer, number: int, size: int) -> tuple[str, str]:
        mailbox = _mailbox(number % MAILBOXES)
        item = self._outlook.add_item(mailbox)
        name = secrets.token_hex(8)
        _upload(self._container, name, size, mailbox, item)
        return name, instance_id(source.look(name), f"{mailbox}/messages/{item}")

    def _announce(self, names: Iterable[str]) -> None:
        account, container = self._container.account_name, self._container.container_name
        events = [
            {
                "id": name,
                "topic": f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage"
                f"/storageAccounts/{account}",
                "eventType": "Microsoft.Storage.BlobCreated",
                "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
                "eventTime": "2026-11-24T00:00:00Z",
                "data": {"api": "PutBlob", "url": self._container.get_blob_client(name).url},
                "dataVersion": "1",
            }
            for name in names
        ]
        answer = requests.post(
            f"{self._stack.info.functions_url}/runtime/webhooks/eventgrid",
            params={"functionName": "event_received", "code": self._stack.info.function_key},
            headers={"aeg-event-type": "Notification"},
            json=events,
            timeout=300,
        )
        assert answer.status_code == 202, answer.text


def operations(log: Path, since: int) -> Counter[str]:
    """Storage operations by container and kind, from the access log after a position.

    Listings of a container are the local host's own.
    """
    seen: Counter[str] = Counter()
    with log.open("rb") as lines:
        lines.seek(since)
        for line in lines:
            found = _LINE.search(line.decode())
            if found and "comp=list" not in found["rest"]:
                kind = " metadata" if "comp=metadata" in found["rest"] else ""
                seen[f"{found['container']}: {found['method']}{kind}"] += 1
    return seen


def _mailbox(number: int) -> str:
    return f"many-{number}@contoso.com"


def _upload(container: ContainerClient, name: str, size: int, mailbox: str, item: str) -> None:
    metadata = {"mailbox": mailbox, "messageid": item}
    container.upload_blob(name, secrets.token_bytes(size), metadata=metadata)


def _report(costs: dict[int, list[Cost]]) -> Report:
    medians = {
        count: {name: median(getattr(cost, name) for cost in each) for name in _SHARES}
        for count, each in costs.items()
    }
    fewest, most = medians[min(medians)], medians[max(medians)]
    return Report(
        title="(e) Files of 100 KB to 5 MB to 100 mailboxes, each file's share",
        columns=("files", "files/s", *_SHARES.values()),
        rows=[(count, 1 / each["seconds"], *each.values()) for count, each in medians.items()],
        targets=[
            Target(f"{what} a file at 1,000 against 10", most[name] / fewest[name], AT_MOST)
            for name, what in _SHARES.items()
        ],
        samples={str(count): [each.seconds for each in seen] for count, seen in costs.items()},
    )
