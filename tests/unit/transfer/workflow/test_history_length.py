"""The history of a transfer stays short, however long it waits: all of it is replayed each time."""

import pytest

from shared.transfer.activity_payloads import Inspection
from shared.transfer.workflow.orchestrator import attach_blob
from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.script import REQUEST, Given, Script
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.jobs import BUSY, STORE_AWAY, job, result

MAX_EVENTS = 1_000
DAY = 24 * 3600
PATIENT = job().model_copy(
    update={"queue_seconds": DAY, "deadline_seconds": DAY, "reconcile_seconds": DAY}
)
FOR_EVER: dict[str, dict[str, Given]] = {
    "no storage": {"inspect_blob": Inspection(unavailable=STORE_AWAY)},
    "no record": {"record_attachment": result("retry", failure=STORE_AWAY)},
    "Graph is busy": {"create_upload_session": result("retry", failure=BUSY)},
    "Graph names seconds": {
        "create_upload_session": result("retry", retry_after=5.0, failure=BUSY)
    },
    "ranges are refused": {"upload_ranges": result("retry", failure=BUSY)},
    "the session is lost": {"upload_ranges": result("new_session", failure=BUSY)},
    "unknown": {
        "upload_ranges": result("reconcile"),
        "find_attachment": result("not_attached"),
    },
    "no listing": {
        "upload_ranges": result("reconcile"),
        "find_attachment": result("retry", failure=BUSY),
    },
    "no deletion": {
        "upload_ranges": result("failed", failure=BUSY),
        "cancel_upload_session": result("retry"),
    },
}


@pytest.mark.parametrize("results", FOR_EVER.values(), ids=FOR_EVER.keys())
def test_what_fails_for_a_day_is_tried_less_and_less_often(
    results: dict[str, Given],
) -> None:
    """Until the transfer ends, it has fewer than a thousand events."""
    usual: dict[str, Given] = {"inspect_blob": Inspection(job=PATIENT)}
    given: dict[str, list[Given]] = {name: [each] for name, each in (usual | results).items()}
    script = Script(**given)
    parts = (REQUEST.to_json(), script.activities, VirtualEntities(()))
    engine = VirtualEngine(VirtualClock(), attach_blob, "f-1", *parts)
    engine.run()
    assert len(engine.history) <= MAX_EVENTS
