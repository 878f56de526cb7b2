"""A few transient faults of Outlook, beside the adversities of the engine."""

import random

from infra.local.outlook import Arrival, Fault, SeededFaults
from tests.support.engine.adversary import Adversary
from tests.support.faults.fault_sets import TRANSIENT


class FewFaults:
    """Transient faults at this rate, at most so many; they count as adversities.

    Each only once: a fresh token that is refused as well, say, is no transient fault.
    """

    def __init__(self, seed: int, rate: float, most: int, adversary: Adversary) -> None:
        self._drawn = SeededFaults(random.Random(f"{seed} faults"), rate, TRANSIENT)
        self._left = most
        self._chosen: set[str] = set()
        self._adversary = adversary

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault for this request, if any."""
        fault = self._drawn.choose(arrival) if self._left else None
        if fault is None or fault.misbehaviour.name in self._chosen:
            return None
        self._chosen.add(fault.misbehaviour.name)
        self._left -= 1
        return fault

    def confirm(self, fault: Fault) -> None:  # noqa: ARG002 (only their number counts)
        """Count it as fired."""
        self._adversary.confirm("fault of Outlook")
