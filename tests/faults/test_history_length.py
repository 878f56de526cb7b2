"""The histories of transfers that wait for their mailbox for a day."""

from infra.local.outlook.rules import Rules
from tests.support.figures import ReportLine
from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

MAX_EVENTS = 1_000
FILES = 27
WINDOW_SECONDS = 3_600


def test_a_day_in_the_queue_is_a_short_history(report_line: ReportLine) -> None:
    """A window of an hour takes one file: the last of 27 waits for more than a day."""
    app = InMemoryApp(
        rules=Rules(),
        mailbox_window_bytes=4_000_000,
        mailbox_window_seconds=WINDOW_SECONDS,
        queue_deadline_hours=48,
    )
    items = [app.add_message() for _ in range(FILES)]
    began = app.clock()
    for number, item in enumerate(items):
        metadata = {"mailbox": MAILBOX, "messageid": item}
        app.blobs.put(f"{number}.bin", bytes([number]) * 2_900_000, None, metadata)
        app.deliver(f"{number}.bin")
    app.finish_in_time()
    hours = (app.clock() - began).total_seconds() / 3600
    assert all(len(app.attachments(item)) == 1 for item in items)
    longest = max(len(each.history) for each in app.engines.values())
    report_line(f"a queue of {hours:.1f} hours: at most {longest} events in a history")
    assert hours > 24
    assert longest <= MAX_EVENTS
