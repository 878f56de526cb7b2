"""The local stack with the far side elsewhere, no window of bytes, and no blob trigger."""

from pathlib import Path

from infra.local.stack import Stack
from tests.benchmarks.outlook_process import FarSide

NO_WINDOW = {"MAILBOX_WINDOW_BYTES": str(10**12)}
# Transfers begin when the benchmark says so, and not at the next look of the local host.
_NO_BLOB_TRIGGER = {"AzureWebJobs.blob_arrived.Disabled": "true"}


def lifted_stack(far: FarSide, access_log: Path | None = None) -> Stack:
    """A stack that is about to start."""
    settings = NO_WINDOW | _NO_BLOB_TRIGGER
    return Stack(graph_url=far.url, settings=settings, access_log=access_log)
