"""The figures of many schedules on the unkind engine.

``python -m tests.faults.unkind --seed N`` prints a schedule, its run and the findings; with
``--count`` it runs so many schedules and prints their figures.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.engine.adversary import ADVERSITIES, Adversity
from tests.support.faults.findings import UNKIND_FIGURES, Tally
from tests.support.faults.unkind_run import run
from tests.support.faults.unkind_schedule import draw
from tests.support.in_memory.unkind_app import Alter

_PROGRESS_EVERY = 250


@dataclass
class UnkindFigures:
    """What was found, and how often each adversity fired."""

    tally: Tally = field(default_factory=lambda: Tally(columns=UNKIND_FIGURES))
    fired: Counter[Adversity] = field(default_factory=Counter)

    def merge(self, other: "UnkindFigures") -> None:
        """Add other schedules' figures."""
        self.tally.merge(other.tally)
        self.fired.update(other.fired)

    def __str__(self) -> str:
        width = max(map(len, ADVERSITIES))
        lines = [f"  {each:<{width}}  {self.fired[each]:>9,}" for each in ADVERSITIES]
        return "\n".join([self.tally.report(), "fired:", *lines])


def run_all(
    seeds: Sequence[int], until: float = float("inf"), alter: Alter | None = None
) -> UnkindFigures:
    """Run the schedules of these seeds; none is started after ``until``, a time of the clock."""
    figures = UnkindFigures()
    for seed in seeds:
        if time.time() > until:
            break
        outcome = run(draw(seed), alter)
        figures.fired.update(outcome.fired)
        figures.tally.add(f"unkind seed {seed}", outcome.fired.total(), outcome.findings)
        if figures.tally.tried % _PROGRESS_EVERY == 0:
            done = f"{figures.tally.tried} of {len(seeds)}"
            print(f"… unkind seed {seed}: {done}", file=sys.stderr, flush=True)
    return figures


def main() -> None:
    """Print one schedule with its run, or the figures of many."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.unkind")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.count == 1:
        print(run(draw(arguments.seed)))
        return
    figures = run_all(range(arguments.seed, arguments.seed + arguments.count))
    print(f"unkind engine, from seed {arguments.seed}\n{figures}")
    if figures.tally.failures:
        sys.exit(1)
