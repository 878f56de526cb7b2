"""The figures that tests come to: kept in their reports, and printed at the end of the run.

In the reports, since tests may run in several processes, whose own output nobody sees.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from tests.support.faults.referee import Tally

type Say = Callable[[str], None]
type AddUp = Callable[[str, Tally], None]

_SAID, _COUNTED = "figure", "tally"


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Say:
    """Takes a line that is printed at the end."""
    return lambda line: record_property(_SAID, line)


@pytest.fixture
def add_up(record_property: Callable[[str, object], None]) -> AddUp:
    """Takes a tally that is printed at the end, added up with all others of the same name."""
    return lambda name, tally: record_property(_COUNTED, (name, tally.figures()))


def _told(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, object]]:
    for reports in reporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from report.user_properties


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    said: list[str] = []
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    for key, value in _told(terminalreporter):
        if key == _SAID:
            said.append(str(value))
        elif key == _COUNTED and isinstance(value, list | tuple):
            name, figures = value
            tallies[name].merge(Tally.of(figures))
    if not (said or tallies):
        return
    terminalreporter.section("figures")
    for line in sorted(said):
        terminalreporter.write_line(line)
    for name, tally in sorted(tallies.items()):
        terminalreporter.write_line(f"{name}\n{tally.table()}")
