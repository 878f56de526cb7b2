"""Which faults are injected, and into which requests.

A `Misbehaviour` is what goes wrong with one request, in stages that can be combined: the request is
refused, or accepted in part or late; the true response is altered; the connection is broken. A
`Fault` adds which requests are affected. `catalogue` has the known misbehaviours by name.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from infra.local.outlook.protocol.addresses import KINDS, Kind
from infra.local.outlook.protocol.messages import Response

ANY_KIND = frozenset(KINDS)


@dataclass(frozen=True, kw_only=True)
class Break:
    """A broken connection.

    `read`: how much of the request is read; only a request that is read whole is processed. `sent`:
    how much of the response is sent. `end`: the connection is closed (FIN), reset (RST), or hangs
    until the client disconnects, the emulator stops or `hang_seconds` have passed, then is reset.
    """

    read: Literal["nothing", "part", "whole"]
    sent: Literal["nothing", "part"] = "nothing"
    end: Literal["hang", "close", "reset"]
    hang_seconds: float = 30


@dataclass(frozen=True, kw_only=True)
class Misbehaviour:
    """What goes wrong with one request; the stages run in the order of the fields.

    `kinds`: the requests it applies to. `refusal`: the response instead of processing.
    `kept_share`: the share of a range that is stored, from 0 to 1. `commit_delay`: seconds until
    the attachment is visible. `alteration`: changes the true response. `breakage`: how the
    connection breaks.
    """

    name: str
    kinds: frozenset[Kind] = ANY_KIND
    refusal: Response | None = None
    kept_share: float = 1
    commit_delay: float = 0
    alteration: Callable[[Response], Response] | None = None
    breakage: Break | None = None

    @property
    def processes(self) -> bool:
        """Whether the service processes the request, even if the client does not learn of it."""
        return self.refusal is None and (self.breakage is None or self.breakage.read == "whole")


@dataclass(frozen=True)
class Arrival:
    """An arriving request: `index` from 0, `occurrence` among its kind from 1."""

    index: int
    kind: Kind
    occurrence: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A misbehaviour and the requests it affects.

    The first one is given by `index`, counted over all requests, or by `kind` and `occurrence`.
    `times` is the number of requests in a row from there on; None is without end.
    """

    misbehaviour: Misbehaviour
    index: int | None = None
    kind: Kind | None = None
    occurrence: int = 1
    times: int | None = 1

    def __post_init__(self) -> None:
        if (self.index is None) == (self.kind is None):
            raise ValueError("a fault is for an index or for a kind")

    def affects(self, arrival: Arrival) -> bool:
        """Whether the fault is for this request."""
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
    """Chooses the fault of each request, and records those that took effect."""

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault for this request, if any."""

    def confirm(self, fault: Fault) -> None:
        """Record that the fault changed the response or the state of the service."""


class FaultSchedule:
    """The faults that a test has scheduled; the first one for a request is used."""

    def __init__(self) -> None:
        self.fired: list[Fault] = []
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Schedule faults."""
        self._faults.extend(faults)

    @property
    def unfired(self) -> list[Fault]:
        """The faults that have not taken effect yet."""
        return [fault for fault in self._faults if fault not in self.fired]

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault for this request, if any."""
        return next((fault for fault in self._faults if fault.affects(arrival)), None)

    def confirm(self, fault: Fault) -> None:
        """Record that the fault took effect."""
        self.fired.append(fault)

    def clear(self) -> None:
        """Discard every fault."""
        self.fired.clear()
        self._faults.clear()


class SeededFaults:
    """Random misbehaviours from a seeded generator, so that a run can be repeated.

    `rate`, from 0 to 1, is the share of requests that get one of `choices`. `fired` has the faults
    that took effect, by index: a schedule of them replays the run exactly.
    """

    def __init__(
        self, generator: random.Random, rate: float, choices: Sequence[Misbehaviour]
    ) -> None:
        self.fired: list[Fault] = []
        self._generator = generator
        self._rate = rate
        self._choices = tuple(choices)

    def choose(self, arrival: Arrival) -> Fault | None:
        """Choose by two random numbers for every request, whether or not the second is needed."""
        happens = self._generator.random() < self._rate
        which = self._generator.random()
        applicable = [each for each in self._choices if arrival.kind in each.kinds]
        if not (happens and applicable):
            return None
        chosen = applicable[int(which * len(applicable))]
        return Fault(misbehaviour=chosen, index=arrival.index)

    def confirm(self, fault: Fault) -> None:
        """Record that the fault took effect."""
        self.fired.append(fault)
