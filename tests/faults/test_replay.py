"""Recorded histories replay on the code of today: the same actions, the same output."""

import copy
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from durabletask.task import OrchestrationContext

from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.virtual_engine import VERSION, Activity, VirtualEngine
from tests.support.figures import ReportLine
from tests.support.histories.recording import FOLDER, SCENARIOS
from tests.support.histories.replaying import (
    HISTORIES,
    RecordedHistory,
    diverges,
    name_of,
    replay,
    wrong_end,
)


def test_every_scenario_has_its_history(report_line: ReportLine) -> None:
    """Small, large, reconciled, throttled, cancelled, failed: none is missing or unknown."""
    histories = [RecordedHistory.read(path) for path in HISTORIES]
    executions = sum(len(each.executions) for each in histories)
    diverged = sum(diverges(each) is not None for each in histories)
    report_line(
        f"figure 8: histories {len(histories)}, executions {executions}, diverged {diverged}"
    )
    assert {path.stem for path in HISTORIES} == {each.name for each in SCENARIOS}


@pytest.mark.parametrize("path", HISTORIES, ids=name_of)
def test_a_recorded_history_replays_without_divergence(path: Path) -> None:
    """Stopped after every execution, as by an update of the app: it continues as it did."""
    recorded = RecordedHistory.read(path)
    assert len(recorded.executions) >= 3
    assert diverges(recorded) is None


@pytest.mark.parametrize("path", HISTORIES, ids=name_of)
def test_a_recorded_history_replays_in_one_go(path: Path) -> None:
    """With all of the past and only the last events new: the same output."""
    recorded = RecordedHistory.read(path)
    last = recorded.executions[-1]
    actions = replay(recorded, recorded.events[:last], recorded.events[last:])
    assert wrong_end(recorded, actions) is None


def test_every_version_has_its_histories() -> None:
    """Of today's, and of earlier ones, whose transfers may still run."""
    versions = {path: RecordedHistory.read(path).version for path in HISTORIES}
    assert {"", VERSION} <= set(versions.values())
    for path, version in versions.items():
        assert path.parent == FOLDER / version


def test_the_version_is_compared_by_its_numbers() -> None:
    """The Functions host compares a version of a single part as text: 10 before 9."""
    assert re.fullmatch(r"\d+(\.\d+){1,3}", VERSION)


def test_a_history_of_other_code_is_noticed() -> None:
    """An activity with another name in the history is reported."""
    recorded = RecordedHistory.read(FOLDER / "large.json")
    events = [copy.deepcopy(event) for event in recorded.events]
    for event in events:
        if event.WhichOneof("eventType") == "taskScheduled" and event.eventId > 1:
            event.taskScheduled.name = "another_activity"
    assert diverges(RecordedHistory(recorded.instance_id, recorded.output, events)) is not None


@pytest.mark.parametrize("what", ["name", "input"])
def test_an_orchestrator_that_replays_differently_is_noticed(what: str) -> None:
    """The virtual engine replays every history at its end."""
    runs: list[object] = []

    def fickle(ctx: OrchestrationContext, payload: dict[str, Any]) -> Generator[Any, Any, Any]:
        runs.append(payload)
        yield ctx.call_activity(f"run {len(runs) if what == 'name' else 1}", input=len(runs))
        return payload

    def activity(_: object) -> dict[str, Any]:
        return {}

    activities: dict[str, Activity] = {"run 1": activity}
    engine = VirtualEngine(VirtualClock(), fickle, "id", {}, activities, VirtualEntities(()))
    with pytest.raises(AssertionError, match="a replay diverges"):
        engine.run()


@pytest.mark.parametrize("path", HISTORIES, ids=name_of)
def test_no_history_holds_a_secret(path: Path) -> None:
    """They are in the repository."""
    text = path.read_text().lower()
    assert not [word for word in ("authtoken", "bearer", "https://", "http://") if word in text]
