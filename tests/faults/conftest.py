"""What the fault suites share: a bench to try transfers on, and the figures at the end of a run."""

from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.faults.bench import Bench
from tests.faults.verdict import Tally

FIGURES = pytest.StashKey[defaultdict[str, Tally]]()


def _figures(config: pytest.Config) -> defaultdict[str, Tally]:
    return config.stash.setdefault(FIGURES, defaultdict(Tally))


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> defaultdict[str, Tally]:
    """The tallies that are printed at the end, by the name of the figure."""
    return _figures(pytestconfig)


@pytest.fixture(scope="module")
def bench(azurite: str) -> Iterator[Bench]:
    """A bench for a module's transfers, one after the other."""
    with Bench.open(azurite) as opened:
        yield opened


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures."""
    for name, tally in sorted(_figures(config).items()):
        terminalreporter.section(name)
        terminalreporter.write_line(tally.table())
