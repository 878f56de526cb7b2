"""Rounds, medians, targets and reports of the benchmarks."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil
from rich.console import Console
from rich.table import Table

MIB = 1_048_576
SLICE = 3_932_160
ROUNDS = 5
LATEST = Path(__file__).parent / "results" / "latest.json"

_PARTS = ("azure-storage-blob", "azure-functions-durable", "requests", "urllib3", "aiohttp")

type Measure = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with a maximum."""

    what: str
    reached: float
    at_most: float

    @property
    def is_met(self) -> bool:
        """Whether the maximum is not exceeded."""
        return self.reached <= self.at_most

    def __str__(self) -> str:
        verdict = "met" if self.is_met else f"MISSED by {self.reached - self.at_most:.3f}"
        return f"{self.what}: {self.reached:.3f}, at most {self.at_most:.3f}: {verdict}"


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one benchmark: rows of a table, targets, and the samples."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]]
    targets: list[Target]
    remarks: tuple[str, ...] = ()
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print the table and the targets."""
        table = Table(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*(_text(cell) for cell in row))
        console.print(table)
        for line in (*self.remarks, *map(str, self.targets)):
            console.print(line, highlight=False, soft_wrap=True)


def _text(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if cell == int(cell) else f"{cell:,.3f}"


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def in_rounds(measures: Mapping[str, Measure], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Measure each of them once a round, so that a drift of the machine hits all alike.

    Each round begins with another one. What a measure returns is in seconds.
    """
    samples: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(measures[name]())
    return samples


def median_ratio(samples: Sequence[float], bounds: Sequence[float]) -> float:
    """The median of the rounds' own ratios."""
    return median(a / b for a, b in zip(samples, bounds, strict=True))


def keep(letter: str, report: Report, measured_on: Mapping[str, object]) -> None:
    """Replace the report in the file of the latest results."""
    kept = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    kept[letter] = {"measured_at": now, "machine": dict(measured_on), **asdict(report)}
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def revision() -> str:
    """The commit that is checked out, and whether anything differs from it."""
    command = ["git", "describe", "--always", "--dirty"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip()


def machine() -> dict[str, object]:
    """The machine, its software and its present load."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(each, 1) for each in os.getloadavg()],
        **{part: version(part) for part in _PARTS},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
