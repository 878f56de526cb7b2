"""Faults as the emulator chooses them, by a schedule."""

import random

from infra.local.outlook import Arrival, Fault, Misbehaviour, SeededFaults
from tests.support.faults.fault_sets import MAX_BY_STATUS, PERMANENT, SURVIVED, TRANSIENT
from tests.support.faults.schedule import Schedule


class ScheduledFaults:
    """The faults of a schedule: transient ones at its rate, and its permanent one.

    A permanent misbehaviour affects every later request of its kind.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.fired: list[Fault] = []
        generator = random.Random(f"{schedule.seed} faults")
        self._left = schedule.max_faults
        self._many = schedule.max_faults > SURVIVED
        self._drawn = SeededFaults(generator, schedule.fault_rate, TRANSIENT)
        self._permanent = next((m for m in PERMANENT if m.name == schedule.permanent), None)
        self._begins = generator.randint(0, 6)
        self._of_status: dict[int, int] = {}

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault for this request, if any."""
        permanent = self._permanent
        if permanent and arrival.index >= self._begins and arrival.kind in permanent.kinds:
            return Fault(misbehaviour=permanent, index=arrival.index)
        fault = self._drawn.choose(arrival)
        if fault is None or self._left <= 0 or self._is_too_often(fault.misbehaviour):
            return None
        self._left -= 1
        return fault

    def confirm(self, fault: Fault) -> None:
        """Record a fault that had an effect."""
        self.fired.append(fault)

    def _is_too_often(self, misbehaviour: Misbehaviour) -> bool:
        refusal = misbehaviour.refusal
        if self._many or refusal is None or refusal.status not in MAX_BY_STATUS:
            return False
        met = self._of_status.get(refusal.status, 0)
        self._of_status[refusal.status] = met + 1
        return met >= MAX_BY_STATUS[refusal.status]
