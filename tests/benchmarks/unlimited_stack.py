"""The local stack with Outlook in another process, no window of bytes, and no blob trigger."""

from pathlib import Path

from infra.local.stack import Stack
from tests.benchmarks.outlook_process import OutlookProcess

NO_WINDOW = {"MAILBOX_WINDOW_BYTES": str(10**12)}
# Transfers begin when the benchmark starts them, and not at the next poll of the local host.
_NO_BLOB_TRIGGER = {"AzureWebJobs.blob_arrived.Disabled": "true"}


def unlimited_stack(outlook: OutlookProcess, access_log: Path | None = None) -> Stack:
    """A stack that is about to start."""
    settings = NO_WINDOW | _NO_BLOB_TRIGGER
    return Stack(graph_url=outlook.url, settings=settings, access_log=access_log)
