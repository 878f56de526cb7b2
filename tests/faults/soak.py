"""``make soak``: ten thousand seeded schedules on two processes, and the figures they give.

``python -m tests.faults.soak --count 10000 [--seed S] [--minutes 55] [--processes 2]``
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context

from infra.local.azurite import Azurite
from tests.faults.bench import Bench
from tests.faults.schedules import run_all
from tests.faults.verdict import Tally

FIRST_SEED = 1_000_000
_BETWEEN_WORDS = 250


def soak(seeds: Sequence[int], until: float) -> Tally:
    """Run the schedules of these seeds one after the other, on an Azurite of its own.

    ``until``: the moment, on the wall clock, after which no other is begun.
    """
    tally = Tally()
    with Azurite() as azurite, Bench.open(azurite.connection_string) as bench:
        for seed in seeds:
            if time.time() > until:
                break
            tally.merge(run_all(bench, [seed]))
            if tally.tried % _BETWEEN_WORDS == 0:
                print(f"… seed {seed}: {tally.tried} of {len(seeds)}", file=sys.stderr, flush=True)
    return tally


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    said = subprocess.run(
        [git, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"


def main() -> None:
    """Run, print the table, and fail when a figure is not zero or not all were tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    began = time.time()
    until = began + asked.minutes * 60
    seeds = range(asked.seed, asked.seed + asked.count)
    shares = [seeds[n :: asked.processes] for n in range(asked.processes)]
    whole = Tally()
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        for tally in pool.map(soak, shares, [until] * len(shares)):
            whole.merge(tally)
    minutes = (time.time() - began) / 60
    print(f"figure 1: schedules from seed {asked.seed}, commit {_commit()}, ", end="")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.1f} minutes")
    print(whole.account())
    if whole.red or whole.tried < asked.count:
        sys.exit(1)


if __name__ == "__main__":
    main()
