"""Writes the histories that `test_replay.py` replays, from transfers on the virtual engine.

    python -m tests.faults.record_histories SCENARIO…

The histories that are kept stand for transfers that are under way while the app is updated: they
are never recorded anew. A change of the orchestrator that they do not survive takes a new
``defaultVersion`` in host.json, a branch for the instances of the versions before, and histories
of its own, which go to a folder of that version. Those beside the folders have no version: they
are of the time before there were any.
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
from tests.support.harness import MAILBOX
from tests.support.in_memory.app import Hub

FOLDER = Path(__file__).parents[1] / "data" / "histories"
R = 4_000


@dataclass(frozen=True)
class Scenario:
    """A transfer of so many bytes that meets these faults; ``cancel_after`` so many steps."""

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
    hub = Hub(range_bytes=R, ranges_per_activity=2)
    try:
        hub.service.faults.add(*scenario.faults)
        address = {"mailbox": MAILBOX, "messageid": hub.add_message()}
        metadata = dict(scenario.metadata) or address
        hub.blobs.put("in/report.pdf", bytes(scenario.size), bytes(16), metadata)
        engine = hub.engines[hub.deliver("in/report.pdf")]
        steps = 0
        while not engine.is_over:
            if steps == scenario.cancel_after:
                engine.raise_event("cancel")
            engine.advance()
            steps += 1
        assert not hub.service.faults.unfired, scenario.name
        return engine
    finally:
        hub.close()


def as_data(engine: VirtualEngine) -> dict[str, Any]:
    """The history, and the end it led to."""
    to_dict: Callable[..., dict[str, Any]] = json_format.MessageToDict
    return {
        "instanceId": engine.instance_id,
        "output": engine.output,
        "events": [to_dict(event) for event in engine.history],
    }


def main() -> int:
    """Write a file for each of the named scenarios."""
    folder = FOLDER / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for scenario in (each for each in SCENARIOS if each.name in sys.argv[1:]):
        data = as_data(record(scenario))
        path = folder / f"{scenario.name}.json"
        with path.open("x") as file:
            file.write(json.dumps(data, indent=1) + "\n")
        print(f"{path.name}: {len(data['events'])} events, {data['output']['state']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
