"""(f) 12 files of 40 MB to one mailbox, against the ideal schedule of Outlook's window.

On a virtual clock that moves only while all transfers wait, so that only the budget takes time: no
PUT does, and there is one at a time. The emulator has Outlook's own limits. How many activities run
at once is checked by ``tests/faults/test_mailbox_locks.py``.
"""

from math import ceil

from infra.local.outlook.rules import Rules
from tests.benchmarks.measurement import Report, Target
from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

FILES, SIZE = 12, 40_000_000
AT_MOST = 1.05


def run() -> Report:
    """Run all transfers to their ends."""
    app = InMemoryApp(rules=Rules())
    began = app.clock()
    items = [app.add_message() for _ in range(FILES)]
    for number, item in enumerate(items):
        metadata = {"mailbox": MAILBOX, "messageid": item}
        app.blobs.put(f"{number}.bin", bytes(SIZE), None, metadata)
        app.deliver(f"{number}.bin")
    app.finish_in_time()
    seconds = (app.clock() - began).total_seconds()
    attached = [each for item in items for each in app.attachments(item)]
    assert [each.content_bytes for each in attached] == [SIZE] * FILES
    requests = app.service.recorder.requests
    refused = sum(each.status == 429 for each in requests)
    app.close()
    # The first window is empty; each further one has to be waited for.
    windows = ceil(FILES * SIZE / app.settings.mailbox_window_bytes)
    ideal = float((windows - 1) * app.settings.mailbox_window_seconds)
    return Report(
        title=f"(f) {FILES} files of {SIZE // 10**6} MB to one mailbox, virtual seconds",
        columns=("ideal", "taken", "ratio", "requests", "refused"),
        rows=[(ideal, seconds, seconds / ideal, len(requests), refused)],
        targets=[
            Target("schedule against the ideal one", seconds / ideal, AT_MOST),
            Target("requests refused", refused, 0),
        ],
    )
