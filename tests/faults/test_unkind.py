"""Figure 9: nothing lost, doubled or misreported on an engine that is as unkind as Azure's."""

from dataclasses import replace

import pytest

from tests.support.engine.adversary import ADVERSITIES, Adversity
from tests.support.faults.unkind_figures import run_all
from tests.support.faults.unkind_run import run
from tests.support.faults.unkind_schedule import UnkindSchedule, draw
from tests.support.figures import AddTally, ReportLine

FIRST_SEED = 1
BATCHES, BATCH = 20, 25
FIGURE = f"figure 9: schedules on the unkind engine from seed {FIRST_SEED}"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_schedule_on_the_unkind_engine_does_harm(add_tally: AddTally, batch: int) -> None:
    """Every figure is zero; a failed seed is printed with its findings."""
    first = FIRST_SEED + batch * BATCH
    tally = run_all(range(first, first + BATCH)).tally
    add_tally(FIGURE, tally)
    assert tally.tried == BATCH
    assert not tally.failures, tally.report()


def test_a_removed_file_stays_removed() -> None:
    """Late deliveries and events neither attach it again nor report that it is attached."""
    for seed in range(FIRST_SEED, FIRST_SEED + 5):
        schedule = replace(draw(seed), removed=frozenset({0}))
        findings = run(schedule).findings
        assert not findings, "\n".join(map(str, findings))


def _with(adversity: Adversity, seed: int) -> UnkindSchedule:
    """A schedule with an adversity that strikes often, and those that it needs."""
    rates = dict.fromkeys(ADVERSITIES, 0.05) | {adversity: 0.5}
    version = "1.0" if adversity.startswith(("signal", "entity")) else "1.1"
    schedule = draw(seed)
    everything = frozenset(range(len(schedule.files)))
    return replace(schedule, rates=rates, version=version, removed=everything)


# The app hardly ever makes them fire: test_unkind_engine does.
NEVER: frozenset[Adversity] = frozenset({"purge of a run", "long status", "event without receiver"})


@pytest.mark.parametrize("adversity", [each for each in ADVERSITIES if each not in NEVER])
def test_every_adversity_fires(report_line: ReportLine, adversity: Adversity) -> None:
    """None is only drawn: each has its effect in some of the first schedules."""
    for seed in range(FIRST_SEED, FIRST_SEED + 100):
        if fired := run(_with(adversity, seed)).fired[adversity]:
            report_line(f"unkind engine: {adversity} fired {fired} times (seed {seed})")
            return
    raise AssertionError(f"{adversity} never fired")


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_gives_the_same_run_again(seed: int) -> None:
    """The same requests at the same times, the same adversities and the same findings."""
    first, again = (run(draw(seed)) for _ in range(2))
    assert first.trace == again.trace
    assert first.fired == again.fired
    assert first.findings == again.findings
