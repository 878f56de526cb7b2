"""Time in which the app does not run is not trouble of a transfer: no deadline passes untried."""

from typing import Any

import pytest

from shared.settings import Settings
from shared.transfer.activity_payloads import Inspection
from shared.transfer.payloads import TransferRequest
from shared.transfer.workflow.mailbox_budget import lock_entities
from shared.transfer.workflow.orchestrator import attach_blob, predecessor_done
from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.script import REQUEST, Script
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.jobs import BUSY, STORE_AWAY, job, result

HOUR = 3_600


def start(script: Script, request: TransferRequest = REQUEST) -> VirtualEngine:
    parts = (request.to_json(), script.activities, VirtualEntities(()))
    return VirtualEngine(VirtualClock(), attach_blob, "f-1", *parts)


def end_after_outages(engine: VirtualEngine, hours: float, *, at_waits: set[int]) -> dict[str, Any]:
    """Run to the end; the app is down for so long during each of these waits."""
    while not engine.is_over:
        if not engine.is_active and len(engine.waits) in at_waits:
            engine.clock.advance(hours * HOUR)
        engine.advance()
    assert engine.output is not None, engine.failed
    return engine.output


@pytest.mark.parametrize("hours", [2.5, 25, 200])
def test_a_file_that_waits_for_its_mailbox_is_still_tried(hours: float) -> None:
    """QUEUE_DEADLINE_HOURS pass while the app is down, twice."""
    locked = result("locked", retry_after=60.0)
    script = Script(attach_small_file=[locked, locked, result("attached", attachment_id="A")])
    output = end_after_outages(start(script), hours, at_waits={0, 1})
    assert output["state"] == "attached"


@pytest.mark.parametrize("hours", [1.5, 5, 200])
def test_a_transfer_goes_on_after_an_activity_that_took_hours(hours: float) -> None:
    """The worker was gone: the engine delivered the activity again when the app was back."""
    upload = [*[result("progress", offset=n) for n in (1_000, 2_000)]]
    script = Script(
        inspect_blob=[Inspection(job=job(3_000_500))],
        upload_ranges=[*upload, result("attached", attachment_id="A")],
    )
    engine = start(script)
    ranges = script.activities["upload_ranges"]

    def after_an_outage(payload: dict[str, Any]) -> dict[str, Any]:
        engine.clock.advance(hours * HOUR)
        return ranges(payload)

    engine.activities["upload_ranges"] = after_an_outage
    assert engine.run()["state"] == "attached"
    assert script.names.count("upload_ranges") == 3


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"attach_small_file": [result("retry", failure=BUSY)] * 9}, "failed"),
        (
            {
                "attach_small_file": [
                    *[result("retry", failure=BUSY)] * 9,
                    result("attached", attachment_id="A"),
                ]
            },
            "attached",
        ),
        (
            {
                "attach_small_file": [result("reconcile")],
                "find_attachment": [
                    *[result("not_attached")] * 3,
                    result("attached", attachment_id="A"),
                ],
            },
            "attached",
        ),
        (
            {"inspect_blob": [*[Inspection(unavailable=STORE_AWAY)] * 9, Inspection(job=job(5))]},
            "attached",
        ),
    ],
    ids=["always refused", "refused for a while", "found late", "no storage"],
)
def test_an_outage_during_retries_is_not_counted(given: dict[str, Any], state: str) -> None:
    """Nine tries are within the patience without the outages between them, and so they are with."""
    assert end_after_outages(start(Script(**given)), 30, at_waits={1, 3})["state"] == state


def test_an_outage_does_not_make_a_file_overtake_its_predecessor() -> None:
    """It waits for 24 hours of the app's time."""
    request = REQUEST.model_copy(update={"follows": "f-0"})
    script = Script()
    engine = start(script, request)
    engine.clock.advance(30 * HOUR)
    engine.advance()
    waits_still = engine.next_activity is None
    engine.raise_event(predecessor_done("f-0"))
    assert waits_still
    assert engine.next_activity == "inspect_blob"


def test_a_transfer_of_1_0_decides_as_its_history_does() -> None:
    """There, the deadline passes during the outage."""
    script = Script(
        inspect_blob=[Inspection(job=job(3_000_500))],
        create_upload_session=[result("retry", failure=BUSY), result("progress")],
    )
    clock = VirtualClock()
    entities = VirtualEntities(lock_entities(Settings.model_validate({}), clock))
    parts = (REQUEST.to_json(), script.activities, entities)
    engine = VirtualEngine(clock, attach_blob, "f-1", *parts, version="1.0")
    assert end_after_outages(engine, 5, at_waits={0})["error"]["code"] == "DeadlineExceeded"
