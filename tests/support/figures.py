"""Figures that tests measure, printed at the end of the run.

They travel in the tests' reports, since tests may run in several processes.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.support.faults.findings import Tally

type ReportLine = Callable[[str], None]
type AddTally = Callable[[str, Tally], None]

_LINE, _TALLY = "figure", "tally"


@pytest.fixture
def report_line(record_property: Callable[[str, object], None]) -> ReportLine:
    """Prints a line at the end of the run."""
    return lambda line: record_property(_LINE, line)


@pytest.fixture
def add_tally(record_property: Callable[[str, object], None]) -> AddTally:
    """Prints a tally at the end of the run, summed with all others of the same name."""
    return lambda name, tally: record_property(_TALLY, (name, tally.figures()))


def _reported(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, object]]:
    for reports in reporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from report.user_properties


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    lines: list[str] = []
    tallies: dict[str, Tally] = {}
    for key, value in _reported(terminalreporter):
        if key == _LINE:
            lines.append(str(value))
        elif key == _TALLY and isinstance(value, list | tuple):
            name, figures = value
            tally = Tally.of(figures)
            tallies.setdefault(name, Tally(columns=tally.columns)).merge(tally)
    if not (lines or tallies):
        return
    terminalreporter.section("figures")
    for line in sorted(lines):
        terminalreporter.write_line(line)
    for name, tally in sorted(tallies.items()):
        terminalreporter.write_line(f"{name}\n{tally.table()}")
