"""(c) A complete transfer against the engine alone: HTTP call, orchestration, record.

On the local stack: its Functions host, worker and in-memory backend. The clock runs from the call
of the HTTP trigger to the end of the orchestration, whose last activity writes the record. The
engine of (a) reads the same account. Azure's storage-backed Durable takes longer for each step: not
measured here.
"""

import secrets
import time
from contextlib import ExitStack, closing
from functools import partial
from statistics import median

import requests
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient

from infra.local.drop import source_container
from infra.local.stack import Stack
from tests.benchmarks.engine import SERVICES, Engine
from tests.benchmarks.measurement import MIB, Measure, Report, Target, in_rounds, median_ratio
from tests.benchmarks.outlook_process import MAILBOX, OutlookProcess
from tests.benchmarks.unlimited_stack import unlimited_stack

SIZE = 150 * MIB
AT_MOST = 1.15
_BLOB = "whole-path.bin"


def run() -> Report:
    """Measure, in rounds of everything."""
    with ExitStack() as running:
        outlook = running.enter_context(OutlookProcess())
        stack = running.enter_context(unlimited_stack(outlook))
        app = TaskHubGrpcClient(host_address=stack.info.durable_address)
        running.enter_context(closing(app))
        engine = Engine(stack.info.blob_connection_string, outlook)
        blob = running.enter_context(engine).put(SIZE)
        source_container(stack.info).upload_blob(_BLOB, secrets.token_bytes(SIZE))
        transfer = partial(_transfer, stack, outlook, app)
        transfer()
        measures: dict[str, Measure] = {}
        for name, (seconds, rate) in SERVICES.items():
            measures[f"{name}: engine"] = outlook.with_latency(
                seconds, rate, partial(engine.upload, blob)
            )
            measures[f"{name}: whole"] = outlook.with_latency(seconds, rate, transfer)
        return _report(in_rounds(measures))


def _transfer(stack: Stack, outlook: OutlookProcess, app: TaskHubGrpcClient) -> float:
    item = outlook.add_item()
    began = time.perf_counter()
    started = requests.post(
        f"{stack.info.functions_url}/api/transfers",
        headers={"x-functions-key": stack.info.function_key},
        json={"blob": _BLOB, "mailbox": MAILBOX, "messageId": item},
        timeout=60,
    )
    assert started.status_code == 202, started.text
    ended = app.wait_for_orchestration_completion(started.json()["id"], timeout=120)
    seconds = time.perf_counter() - began
    assert ended is not None
    assert ended.runtime_status is OrchestrationStatus.COMPLETED, ended
    assert len(outlook.remove_item(item)) == 1
    return seconds


def _report(samples: dict[str, list[float]]) -> Report:
    rows: list[tuple[str | float, ...]] = []
    targets = []
    for name in SERVICES:
        engine, whole = samples[f"{name}: engine"], samples[f"{name}: whole"]
        ratio = median_ratio(whole, engine)
        rows.append((name, median(engine), median(whole), ratio))
        targets.append(Target(f"whole path, {name}", ratio, AT_MOST))
    return Report(
        title="(c) From the trigger's call to the record, against the engine: 150 MiB",
        columns=("a PUT", "engine, s", "whole path, s", "ratio"),
        rows=rows,
        targets=targets,
        samples=samples,
    )
