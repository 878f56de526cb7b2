"""How the service is told to misbehave, and when.

A `Misbehaviour` says what goes wrong with one request, as stages that compose: it is refused before
acceptance, or accepted in part or late; its true answer is altered; its connection is broken. A
`Fault` says which request meets it. `catalogue` holds the misbehaviours of the field by name.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from infra.local.outlook.protocol.addresses import KINDS, Kind
from infra.local.outlook.protocol.messages import Answer

ANY_KIND = frozenset(KINDS)


@dataclass(frozen=True, kw_only=True)
class Break:
    """A broken connection.

    `read`: how much of the request is read; only a request read whole is processed. `sent`: how
    much of the answer is sent. `end`: the connection hangs until the client goes away, the emulator
    stops or `hang_seconds` are over (then it is reset), or is closed (FIN), or is reset (RST).
    """

    read: Literal["nothing", "part", "whole"]
    sent: Literal["nothing", "part"] = "nothing"
    end: Literal["hang", "close", "reset"]
    hang_seconds: float = 30


@dataclass(frozen=True, kw_only=True)
class Misbehaviour:
    """What goes wrong with one request; the stages run in the order of the fields.

    `kinds`: the requests it makes sense for. `refusal`: the answer given instead of processing.
    `kept_share`: how much of a range is kept, from 0 to 1. `commit_delay`: seconds until the
    attachment shows. `alteration`: makes another answer of the true one. `breakage`: how the
    connection ends.
    """

    name: str
    kinds: frozenset[Kind] = ANY_KIND
    refusal: Answer | None = None
    kept_share: float = 1
    commit_delay: float = 0
    alteration: Callable[[Answer], Answer] | None = None
    breakage: Break | None = None

    @property
    def processes(self) -> bool:
        """Whether the service does what it is asked, whatever it answers."""
        return self.refusal is None and (self.breakage is None or self.breakage.read == "whole")


@dataclass(frozen=True)
class Arrival:
    """A request that has come: `index` from 0, `occurrence` among its kind from 1."""

    index: int
    kind: Kind
    occurrence: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A misbehaviour and the requests that meet it.

    By `index`, the number of the request since the start; or by `kind` and `occurrence`. `times` is
    how many requests in a row, from that one on; None is for ever.
    """

    misbehaviour: Misbehaviour
    index: int | None = None
    kind: Kind | None = None
    occurrence: int = 1
    times: int | None = 1

    def __post_init__(self) -> None:
        if (self.index is None) == (self.kind is None):
            raise ValueError("a fault is for an index or for a kind")

    def meets(self, arrival: Arrival) -> bool:
        """Whether that request is to meet it."""
        if arrival.kind not in self.misbehaviour.kinds:
            return False
        if self.index is not None:
            first, number = self.index, arrival.index
        elif arrival.kind == self.kind:
            first, number = self.occurrence, arrival.occurrence
        else:
            return False
        return number >= first and (self.times is None or number < first + self.times)


class FaultSource(Protocol):
    """Asked for each request whether it is to go wrong, and told when it really did."""

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault that the request is to meet."""

    def confirm(self, fault: Fault) -> None:
        """The fault made a difference to what the client saw or the service kept."""


class FaultSchedule:
    """The faults a test has said; the first that meets a request counts."""

    def __init__(self) -> None:
        self.fired: list[Fault] = []
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Schedule faults."""
        self._faults.extend(faults)

    @property
    def unfired(self) -> list[Fault]:
        """Those that have made no difference yet."""
        return [fault for fault in self._faults if fault not in self.fired]

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault that the request is to meet."""
        return next((fault for fault in self._faults if fault.meets(arrival)), None)

    def confirm(self, fault: Fault) -> None:
        """Note that a fault really fired."""
        self.fired.append(fault)

    def clear(self) -> None:
        """Forget every fault."""
        self.fired.clear()
        self._faults.clear()


class SeededFaults:
    """Misbehaviours drawn by a seeded generator, so that a run can be had again.

    `rate`, from 0 to 1, is the share of requests that go wrong; `choices` what may go wrong with
    them. `fired` says what did, by index: added to a schedule it replays the run exactly.
    """

    def __init__(
        self, generator: random.Random, rate: float, choices: Sequence[Misbehaviour]
    ) -> None:
        self.fired: list[Fault] = []
        self._generator = generator
        self._rate = rate
        self._choices = tuple(choices)

    def choose(self, arrival: Arrival) -> Fault | None:
        """Draw; two draws for every request, so that one decision does not shift the next."""
        happens = self._generator.random() < self._rate
        which = self._generator.random()
        fitting = [each for each in self._choices if arrival.kind in each.kinds]
        if not (happens and fitting):
            return None
        chosen = fitting[int(which * len(fitting))]
        return Fault(misbehaviour=chosen, index=arrival.index)

    def confirm(self, fault: Fault) -> None:
        """Note that a fault really fired."""
        self.fired.append(fault)
