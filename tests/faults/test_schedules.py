"""Figure 1: nothing lost, doubled or corrupted over seeded random schedules."""

from dataclasses import replace

import pytest

from tests.support.faults.schedule import draw
from tests.support.faults.schedule_run import run, run_all
from tests.support.faults.testbed import Testbed
from tests.support.figures import AddTally

FIRST_SEED = 1
BATCHES, BATCH = 20, 25
FIGURE = f"figure 1: schedules from seed {FIRST_SEED}"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_schedule_does_harm(testbed: Testbed, add_tally: AddTally, batch: int) -> None:
    """Every figure is zero; a failed seed is printed with its findings."""
    first = FIRST_SEED + batch * BATCH
    tally = run_all(testbed, range(first, first + BATCH))
    add_tally(FIGURE, tally)
    assert tally.tried == BATCH
    assert not tally.failures, tally.report()


# Each showed a bug in a soak.
ONCE_FAILED = (
    5207,
    7039,
    1_000_256,
    1_000_532,
    1_000_651,
    1_000_699,
    1_001_558,
    1_002_027,
    1_002_682,
    1_002_878,
    1_003_515,
    1_003_855,
    1_003_935,
    1_003_961,
    1_005_151,
    1_006_642,
    1_007_782,
    1_007_965,
    1_008_318,
    1_009_264,
    1_009_904,
)


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_schedule_that_once_failed_does_no_harm(testbed: Testbed, seed: int) -> None:
    """The bug that it showed stays fixed."""
    # As it was drawn at that time.
    outcome = run(testbed, replace(draw(seed), between=()))
    assert not outcome.findings, str(outcome)


def test_a_single_byte_is_overwritten_with_another() -> None:
    """Versions of this schedule once had the same byte by chance."""
    schedule = draw(1_008_028)
    assert schedule.size == 1
    assert len({schedule.content(version) for version in range(3)}) == 3


@pytest.mark.parametrize("seed", [2, 30, 164])
def test_a_seed_gives_the_same_run_again(testbed: Testbed, seed: int) -> None:
    """The same requests at the same times, the same faults and the same findings."""
    first, again = (run(testbed, draw(seed)) for _ in range(2))
    assert first.trace == again.trace
    assert [fault.misbehaviour.name for fault in first.fired] == [
        fault.misbehaviour.name for fault in again.fired
    ]
    assert first.findings == again.findings


def test_the_seeds_cover_every_kind_of_event() -> None:
    """Every event, both small and large files, single and double deliveries are drawn."""
    drawn = [draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + BATCHES * BATCH)]
    events = {event for each in drawn for _, event in each.events}
    assert len(events) == 5
    assert {each.rules.session_state for each in drawn} == {"answered", "405"}
    assert {each.rules.repeated_range for each in drawn} == {"416", "400", "200"}
    assert {each.rules.minimum_session_bytes for each in drawn} == {1, 3_000_000, 3_145_728}
    assert len({each.size for each in drawn}) >= 12
    assert sum(each.must_attach for each in drawn) > len(drawn) / 3
    assert any(each.delivered_twice for each in drawn)
    assert len({event for each in drawn for _, event in each.between}) == 6
