"""What must not happen, counted over many transfers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

Figure = Literal[
    "lost",
    "doubled",
    "corrupted",
    "misreported",
    "early",
    "late",
    "leaked",
    "left",
    "crashed",
    "held up",
    "crowded",
    "long",
    "purged",
]
# Those of one transfer at a time, and those of many on the unkind engine.
FIGURES: tuple[Figure, ...] = get_args(Figure)[:9]
UNKIND_FIGURES: tuple[Figure, ...] = (
    *("lost", "doubled", "corrupted", "misreported", "left", "crashed"),
    *("held up", "crowded", "long", "purged"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that went wrong: the figure that counts it, and a sentence."""

    figure: Figure
    sentence: str

    def __str__(self) -> str:
        return f"{self.figure}: {self.sentence}"


@dataclass
class Tally:
    """The figures of many transfers; ``failures`` has the findings by seed or case.

    ``columns`` are the figures that it shows.
    """

    tried: int = 0
    fired: int = 0
    found: Counter[Figure] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=dict)
    columns: tuple[Figure, ...] = FIGURES

    def add(self, name: str, fired: int, findings: list[Finding]) -> None:
        """Count one transfer."""
        self.tried += 1
        self.fired += fired
        self.found.update({each.figure for each in findings})
        if findings:
            self.failures[name] = [str(each) for each in findings]

    def merge(self, other: "Tally") -> None:
        """Add another tally's figures."""
        self.tried += other.tried
        self.fired += other.fired
        self.found.update(other.found)
        self.failures.update(other.failures)

    def figures(self) -> dict[str, int]:
        """The figures by name, without the findings."""
        found: dict[str, int] = {figure: self.found[figure] for figure in self.columns}
        return {"tried": self.tried, "fired": self.fired, **found}

    @classmethod
    def of(cls, figures: Mapping[str, int]) -> Self:
        """The tally with these figures."""
        columns = tuple(figure for figure in get_args(Figure) if figure in figures)
        found = Counter({figure: figures[figure] for figure in columns})
        tried, fired = figures["tried"], figures["fired"]
        return cls(tried=tried, fired=fired, found=found, columns=columns)

    def table(self) -> str:
        """The figures, one column each."""
        columns = self.figures()
        widths = {name: max(len(name), len(f"{value:,}")) for name, value in columns.items()}
        head = "  ".join(f"{name:>{widths[name]}}" for name in columns)
        row = "  ".join(f"{value:>{widths[name]},}" for name, value in columns.items())
        return f"{head}\n{row}"

    def report(self) -> str:
        """The table, and every failed seed or case with its findings."""
        lines = [self.table()]
        for name, findings in self.failures.items():
            lines += [name, *(f"    {each}" for each in findings)]
        return "\n".join(lines)
