"""``make soak``: ten thousand seeded schedules, a thousand kills, and their figures.

``python -m tests.faults.soak [--count 10000] [--kills 1000] [--seed S] [--minutes 55]``

The schedules run on two processes, the kills on two others.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context

from infra.local.azurite import Azurite
from tests.support.faults import kills
from tests.support.faults.findings import Tally
from tests.support.faults.kill_figures import KillFigures
from tests.support.faults.schedule_run import run_all
from tests.support.faults.testbed import Testbed

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


def main() -> None:
    """Run, print the figures, and exit with 1 when one is not zero or runs are missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--minutes", type=float, default=55)
    arguments = parser.parse_args()
    began = time.time()
    until = began + arguments.minutes * 60
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    total, killed = Tally(), KillFigures()
    with ProcessPoolExecutor(2 * PROCESSES, mp_context=get_context("spawn")) as pool:
        counts = [len(range(n, arguments.kills, PROCESSES)) for n in range(PROCESSES)]
        killing = pool.map(kill, counts, count(arguments.seed), [until] * PROCESSES)
        shares = [seeds[n::PROCESSES] for n in range(PROCESSES)]
        for tally in pool.map(soak, shares, [until] * PROCESSES):
            total.merge(tally)
        for figures in killing:
            killed.merge(figures)
    minutes = (time.time() - began) / 60
    print(f"seed {arguments.seed}, commit {_commit()}, ", end="")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.1f} minutes")
    print(f"figure 1: schedules\n{total.report()}")
    print(killed)
    if (
        total.failures
        or total.tried < arguments.count
        or killed.bad
        or killed.killed < arguments.kills
    ):
        sys.exit(1)


if __name__ == "__main__":
    main()
