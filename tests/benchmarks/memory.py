"""(d) The worker's peak memory over idle while files go up, from 4 to 150 MiB and eight at once.

Idle is what is resident once a first transfer has loaded what any transfer needs.
"""

import re
import secrets
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from rich.console import Console

from infra.local.drop import drop, follow
from infra.local.stack import Stack
from tests.benchmarks.measurement import MIB, ROUNDS, SLICE, Report, Target
from tests.benchmarks.outlook_process import OutlookProcess
from tests.benchmarks.unlimited_stack import NO_WINDOW

ALLOWED_MIB = 4 * SLICE / MIB
# Bytes of each file, and how many at once.
LOADS = ((4 * MIB, 1), (32 * MIB, 1), (150 * MIB, 1), (32 * MIB, 8))


def run() -> Report:
    """Measure each load a few times, in rounds."""
    peaks: dict[tuple[int, int], list[float]] = {load: [] for load in LOADS}
    with ExitStack() as running:
        outlook = running.enter_context(OutlookProcess())
        for number in range(8):
            outlook.add_mailbox(f"memory-{number}@contoso.com")
        stack = running.enter_context(Stack(graph_url=outlook.url, settings=NO_WINDOW))
        _transfer(stack, outlook, 4 * MIB, 1)
        idle = _resident(stack.info.worker_pid, "VmRSS")
        for _ in range(ROUNDS):
            for load in LOADS:
                Path(f"/proc/{stack.info.worker_pid}/clear_refs").write_text("5")
                _transfer(stack, outlook, *load)
                peaks[load].append(_resident(stack.info.worker_pid, "VmHWM") - idle)
    return _report(idle, peaks)


def _resident(pid: int, which: str) -> float:
    """Resident memory of a process now, or its highest since that was last cleared, in MiB."""
    match = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def _transfer(stack: Stack, outlook: OutlookProcess, size: int, at_once: int) -> None:
    # Slow enough for several to overlap, although they are dropped one by one.
    outlook.behave(range_seconds=2 if at_once > 1 else 0.05)
    outlook.requests()
    mailboxes = [f"memory-{number}@contoso.com" for number in range(at_once)]
    items = {mailbox: outlook.add_item(mailbox) for mailbox in mailboxes}
    dropped = [
        drop(stack.info, secrets.token_bytes(size), "m.bin", f"{mailbox}/messages/{item}", "a/b")
        for mailbox, item in items.items()
    ]
    ends = follow(stack.info, dropped, Console(quiet=True))
    assert {end.state for end in ends} == {"attached"}, ends
    assert outlook.uploads_at_once() == at_once
    for mailbox, item in items.items():
        outlook.remove_item(item, mailbox)


def _report(idle: float, peaks: dict[tuple[int, int], list[float]]) -> Report:
    rows: list[tuple[str | float, ...]] = []
    targets = []
    for (size, at_once), seen in peaks.items():
        each = median(seen) / at_once
        rows.append((size // MIB, at_once, idle, median(seen), max(seen), each))
        what = f"MiB over idle for each of {at_once} of {size // MIB} MiB"
        targets.append(Target(what, each, ALLOWED_MIB))
    return Report(
        title="(d) Peak memory of the worker over idle, MiB",
        columns=("file", "at once", "idle", "over idle", "worst", "per transfer"),
        rows=rows,
        targets=targets,
        samples={f"{size} x {at_once}": seen for (size, at_once), seen in peaks.items()},
    )
