"""``make soak``: ten thousand seeded schedules of two kinds, a thousand kills, and their figures.

``python -m tests.faults.soak [--count 10000] [--unkind 10000] [--kills 1000]
[--seed S] [--minutes 55]``

The schedules of faults run on two processes, the kills on two others, the schedules on the unkind
engine on two more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context

from infra.local.azurite import Azurite
from tests.support.faults import kills
from tests.support.faults.findings import Tally
from tests.support.faults.kill_figures import KillFigures
from tests.support.faults.schedule_run import run_all
from tests.support.faults.testbed import Testbed
from tests.support.faults.unkind_figures import UnkindFigures
from tests.support.faults.unkind_figures import run_all as run_unkind

FIRST_SEED = 1_000_000
PROCESSES = 2
_PROGRESS_EVERY = 250


def soak(seeds: Sequence[int], until: float) -> Tally:
    """Run the schedules of these seeds one after the other, on an Azurite of its own.

    None is started after ``until``, a time of the wall clock.
    """
    tally = Tally()
    with Azurite() as azurite, Testbed.open(azurite.connection_string) as testbed:
        for seed in seeds:
            if time.time() > until:
                break
            tally.merge(run_all(testbed, [seed]))
            if tally.tried % _PROGRESS_EVERY == 0:
                print(f"… seed {seed}: {tally.tried} of {len(seeds)}", file=sys.stderr, flush=True)
    return tally


def kill(times: int, seed: int, until: float) -> KillFigures:
    """Kill the worker so many times, or until that time of the wall clock."""
    log = os.open(os.devnull, os.O_WRONLY)
    try:
        return kills.run(times, seed, log=log, end_at=until)
    finally:
        os.close(log)


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    result = subprocess.run(
        [git, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


@dataclass
class Figures:
    """The figures of all parts."""

    schedules: Tally = field(default_factory=Tally)
    unkind: UnkindFigures = field(default_factory=UnkindFigures)
    kills: KillFigures = field(default_factory=KillFigures)

    def is_good(self, arguments: argparse.Namespace) -> bool:
        """Whether every figure is zero and nothing is missing."""
        return not (
            self.schedules.failures
            or self.unkind.tally.failures
            or self.schedules.tried < arguments.count
            or self.unkind.tally.tried < arguments.unkind
            or self.kills.bad
            or self.kills.killed < arguments.kills
        )


def _run(arguments: argparse.Namespace, until: float) -> Figures:
    figures, ends = Figures(), [until] * PROCESSES

    def shares(number: int) -> list[range]:
        seeds = range(arguments.seed, arguments.seed + number)
        return [seeds[n::PROCESSES] for n in range(PROCESSES)]

    with ProcessPoolExecutor(3 * PROCESSES, mp_context=get_context("spawn")) as pool:
        counts = map(len, shares(arguments.kills))
        killing = pool.map(kill, counts, count(arguments.seed), ends)
        judging = pool.map(run_unkind, shares(arguments.unkind), ends)
        for tally in pool.map(soak, shares(arguments.count), ends):
            figures.schedules.merge(tally)
        for killed in killing:
            figures.kills.merge(killed)
        for unkind in judging:
            figures.unkind.merge(unkind)
    return figures


def main() -> None:
    """Run, print the figures, and exit with 1 when one is not zero or runs are missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--unkind", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--minutes", type=float, default=55)
    arguments = parser.parse_args()
    began = time.time()
    figures = _run(arguments, began + arguments.minutes * 60)
    minutes = (time.time() - began) / 60
    print(f"seed {arguments.seed}, commit {_commit()}, ", end="")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.1f} minutes")
    print(f"figure 1: schedules\n{figures.schedules.report()}")
    print(f"figure 9: schedules on the unkind engine\n{figures.unkind}")
    print(figures.kills)
    if not figures.is_good(arguments):
        sys.exit(1)


if __name__ == "__main__":
    main()
