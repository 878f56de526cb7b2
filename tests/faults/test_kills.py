"""The worker is killed for real, at exact points, on the whole local stack."""

import os

import pytest

from tests.support.faults import kills
from tests.support.figures import Say

SEED = 3
COUNT = 25


@pytest.mark.timeout(600)
def test_a_killed_worker_loses_and_doubles_nothing(say: Say) -> None:
    """Before a send, after Outlook accepted, before the activity answers: exactly one each."""
    log = os.open(os.devnull, os.O_WRONLY)
    try:
        figures = kills.run(COUNT, SEED, log=log)
    finally:
        os.close(log)
    say(f"{figures} (seed {SEED})")
    assert (figures.tried, figures.killed) == (COUNT, COUNT)
    assert len(figures.by_point) == len(kills.POINTS)
    assert not figures.bad, figures
