"""The worker's peak memory over idle while a file goes up: ``make memory``.

Prints MiB at idle, at the peak, and their difference, for a small and the largest file. Run with
MAILBOX_WINDOW_BYTES=200000000 so that the largest file meets no pause of the service's window.
"""

import re
import secrets
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.local.drop import drop, follow
from infra.local.stack import MAILBOXES, Stack

MIB = 1024 * 1024
SIZES = (4 * MIB, 32 * MIB, 150 * MIB)
ALLOWED_MIB = 64


def peak_mib(pid: int) -> float:
    """The highest resident memory of a process since it was last reset, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


def reset_peak(pid: int) -> None:
    """Let the peak begin at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def transfer(stack: Stack, size: int, console: Console) -> float:
    """Seconds for one file, which must end attached."""
    item = stack.outlook.add_item(MAILBOXES[0], "message")
    began = time.monotonic()
    to = f"{MAILBOXES[0]}/messages/{item}"
    dropped = drop(stack.info, secrets.token_bytes(size), "big.bin", to, "application/octet-stream")
    (end,) = follow(stack.info, [dropped], console)
    assert end.state == "attached", end.error
    return time.monotonic() - began


def main() -> int:
    """Measure, print the table; fails when a peak is over what is allowed."""
    console = Console()
    table = Table("file, MiB", "idle, MiB", "peak, MiB", "over idle, MiB", "seconds")
    worst = 0.0
    with Stack() as stack:
        # A worker that has not done anything yet.
        idle = peak_mib(stack.info.worker_pid)
        for size in SIZES:
            pid = stack.info.worker_pid
            reset_peak(pid)
            seconds = transfer(stack, size, console)
            peak = peak_mib(pid)
            worst = max(worst, peak - idle)
            row = (size / MIB, idle, peak, peak - idle, seconds)
            table.add_row(*(f"{figure:.1f}" for figure in row))
    console.print(table)
    console.print(f"Allowed over idle: {ALLOWED_MIB} MiB; worst: {worst:.1f} MiB")
    return 0 if worst < ALLOWED_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
