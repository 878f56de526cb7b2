"""Records histories of transfers on the virtual engine; ``test_replay.py`` replays them.

    python -m tests.faults.record_histories SCENARIO…

A recorded history stands for transfers that run while the app is updated, so it is never recorded
again. A change of the orchestrator that breaks its replay needs a new ``defaultVersion`` in
host.json, a branch for instances of the versions before, and new histories, which go to a folder
of that version. The histories outside these folders were recorded before there were versions.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]

from infra.local.outlook import Fault, catalogue
from tests.support.engine.virtual_engine import VERSION, VirtualEngine
from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

FOLDER = Path(__file__).parents[2] / "data" / "histories"
R = 4_000


@dataclass(frozen=True)
class Scenario:
    """A transfer of so many bytes with these faults; ``cancel_after`` is a number of steps."""

    name: str
    size: int
    faults: tuple[Fault, ...] = ()
    cancel_after: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()


def _fault(misbehaviour: Any, kind: Any, **which: Any) -> Fault:
    return Fault(misbehaviour=misbehaviour, kind=kind, **which)


SCENARIOS = (
    Scenario("small", 100),
    Scenario("small_reconciled", 100, (_fault(catalogue.commits_late(5), "small_post"),)),
    Scenario("large", 5 * R + 1),
    Scenario("last_answer_lost", 5 * R + 1, (_fault(catalogue.commits_late(20), "last_range"),)),
    Scenario(
        "throttled",
        5 * R + 1,
        (
            _fault(catalogue.throttled("17.5"), "range", occurrence=2),
            _fault(catalogue.throttled_until(90, status=503), "create"),
            _fault(catalogue.throttled(), "list"),
        ),
    ),
    Scenario("session_gone", 5 * R + 1, (_fault(catalogue.session_gone(404), "range"),)),
    Scenario("cancelled", 5 * R + 1, cancel_after=4),
    Scenario(
        "cancelled_while_waiting",
        5 * R + 1,
        (_fault(catalogue.throttled("3000"), "list", occurrence=1),),
        cancel_after=2,
    ),
    Scenario("failed", 5 * R + 1, (_fault(catalogue.forbidden(), "create", times=None),)),
    Scenario("refused_midway", 5 * R + 1, (_fault(catalogue.too_large(), "range"),)),
    Scenario("unaddressed", 100, metadata=(("owner", "nobody"),)),
)


def record(scenario: Scenario) -> VirtualEngine:
    """Run the scenario; the engine at its end."""
    app = InMemoryApp(range_bytes=R, ranges_per_activity=2)
    try:
        app.service.faults.add(*scenario.faults)
        address = {"mailbox": MAILBOX, "messageid": app.add_message()}
        metadata = dict(scenario.metadata) or address
        app.blobs.put("in/report.pdf", bytes(scenario.size), bytes(16), metadata)
        engine = app.engines[app.deliver("in/report.pdf")]
        steps = 0
        while not engine.is_over:
            if steps == scenario.cancel_after:
                engine.raise_event("cancel")
            engine.advance()
            steps += 1
        assert not app.service.faults.unfired, scenario.name
        return engine
    finally:
        app.close()


def as_data(engine: VirtualEngine) -> dict[str, Any]:
    """The history with its output."""
    to_dict: Callable[..., dict[str, Any]] = json_format.MessageToDict
    return {
        "instanceId": engine.instance_id,
        "output": engine.output,
        "events": [to_dict(event) for event in engine.history],
    }


def main() -> int:
    """Write a file for each scenario named on the command line."""
    folder = FOLDER / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in (each for each in SCENARIOS if each.name in sys.argv[1:]):
        data = as_data(record(scenario))
        path = folder / f"{scenario.name}.json"
        with path.open("x") as file:
            file.write(json.dumps(data, indent=1) + "\n")
        print(f"{path.name}: {len(data['events'])} events, {data['output']['state']}")
    return 0
