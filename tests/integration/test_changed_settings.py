"""An app setting that changes between two deliveries: a restart of the app comes with it."""

from functools import partial

import pytest

from infra.local.outlook import Rules
from tests.conftest import MakeHarness
from tests.support.files import content_of
from tests.support.virtual_app import MAILBOX

R = 1_000_000
SIZE = 8 * R
BEFORE = {"range_bytes": R, "ranges_per_activity": 2}
# Every setting that a transfer could decide by, lower and higher.
CHANGES = {
    "fewer ranges": {"ranges_per_activity": 1},
    "more ranges": {"ranges_per_activity": 8},
    "shorter ranges": {"range_bytes": R // 2},
    "longer ranges": {"range_bytes": 2 * R},
    "all in one activity": {"range_bytes": 4 * R - 96_000, "ranges_per_activity": 1_000},
    "no patience": {
        "reconcile_seconds": 0,
        "transfer_deadline_minutes": 0.001,
        "queue_deadline_hours": 0.001,
    },
    "smaller files": {"max_attachment_bytes": 1},
    "one at a time": {"mailbox_concurrency": 1},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_a_setting_changed_at_any_step_does_no_harm(
    make_harness: MakeHarness, change: dict[str, float], *, twice: bool
) -> None:
    """Between two deliveries of each activity in turn, or before it: attached once."""
    # From the first activity after the inspection on.
    for at in range(1, 7):
        harness = make_harness(Rules(), **BEFORE)
        item = harness.emulator.add_item(MAILBOX, "message")
        harness.put("in/report.pdf", content_of(SIZE), mailbox=MAILBOX, messageid=item)
        engine = harness.begin("in/report.pdf")
        settings = harness.settings.model_copy(update=change)
        restart = partial(harness.restart, settings)

        step = 0
        while not engine.is_over:
            is_activity = engine.next_activity is not None
            if is_activity and step == at and not twice:
                restart()
            deliveries = 2 if twice and is_activity and step == at else 1
            engine.advance(deliveries, between=restart)
            step += is_activity
        assert engine.output is not None
        assert engine.output["state"] == "attached", (at, engine.output)
        (attached,) = harness.emulator.attachments(MAILBOX, item)
        assert attached.content == content_of(SIZE)
