"""What kills of the worker did to transfers, counted."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Self


@dataclass
class KillFigures:
    """The result of kills. ``resent`` are ranges sent again, ``over`` transfers with too many."""

    tried: int = 0
    killed: int = 0
    transfers: int = 0
    lost: int = 0
    doubled: int = 0
    corrupted: int = 0
    misreported: int = 0
    resent: int = 0
    over: int = 0
    by_point: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Self) -> None:
        """Add another run's figures."""
        for each in fields(self):
            counted = getattr(self, each.name) + getattr(other, each.name)
            setattr(self, each.name, counted)

    @property
    def bad(self) -> int:
        """The sum of the figures that must be zero."""
        return self.lost + self.doubled + self.corrupted + self.misreported + self.over

    def __str__(self) -> str:
        return (
            f"figure 3: kills tried {self.tried}, killed {self.killed}, "
            f"transfers {self.transfers}, attachments lost {self.lost}, doubled {self.doubled}, "
            f"corrupted {self.corrupted}, misreported {self.misreported}, "
            f"ranges sent again {self.resent}, "
            f"transfers with more than an activity's ranges sent again per kill {self.over}"
        )
