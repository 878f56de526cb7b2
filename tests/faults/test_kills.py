"""The worker is killed at exact points, on the local stack."""

import os

import pytest

from tests.support.faults import kills
from tests.support.faults.kill_points import POINTS
from tests.support.figures import ReportLine

SEED = 3
COUNT = 25


@pytest.mark.timeout(600)
def test_a_killed_worker_loses_and_doubles_nothing(report_line: ReportLine) -> None:
    """Before a request is read, after it is accepted, before the activity ends: one attachment."""
    log = os.open(os.devnull, os.O_WRONLY)
    try:
        figures = kills.run(COUNT, SEED, log=log)
    finally:
        os.close(log)
    report_line(f"{figures} (seed {SEED})")
    assert (figures.tried, figures.killed) == (COUNT, COUNT)
    assert len(figures.by_point) == len(POINTS)
    assert not figures.bad, figures
