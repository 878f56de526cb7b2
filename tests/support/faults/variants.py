"""What the stateful test draws from: variants of blob, service and app, and faults by name."""

import random
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from infra.local.outlook import Arrival, Fault, Kind, Misbehaviour, Rules
from tests.support.faults.fault_sets import TRANSIENT

R = 1_000
KINDS: tuple[Kind | None, ...] = (
    *(None, "last_range", "range", "create", "small_post", "list", "get_item"),
    *("session_state", "cancel", "raw_content", "token"),
)
# A fault as a printed example shows it: the kind of the request, or None for every kind that it
# applies to, and the name of the misbehaviour.
type FaultOfKind = tuple[Kind | None, str]
BY_NAME: dict[FaultOfKind, Misbehaviour] = {
    (kind, each.name): each for kind in KINDS for each in TRANSIENT if kind in {None, *each.kinds}
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A blob, and how the service and the app behave.

    ``by_session``: a POST of more than a few bytes is refused. ``interruptions``: how often the
    blob may be overwritten or deleted, or its transfer cancelled.
    """

    size: int
    by_session: bool
    has_md5: bool
    overwrite_moves_creation: bool
    attached_before: int
    interruptions: int
    ranges_per_activity: int
    deadline_minutes: int
    session_state: Literal["answered", "405"]
    repeated_range: Literal["416", "400", "200"]
    session_minutes: int
    commit_visible_after: int

    @property
    def rules(self) -> Rules:
        """The service's rules."""
        return Rules(
            minimum_session_bytes=1,
            maximum_post_bytes=1_000 if self.by_session else 4_194_304,
            session_state=self.session_state,
            repeated_range=self.repeated_range,
            session_minutes=self.session_minutes,
            commit_visible_after=self.commit_visible_after,
        )

    def content(self, version: int) -> bytes:
        """The blob's content; version 1 and up are those that it is overwritten with."""
        # Without an MD5 and a new creation time, only the size distinguishes new content from old.
        grows = not self.size or not (self.has_md5 or self.overwrite_moves_creation)
        size = self.size + version if grows else self.size
        return (bytes([version]) + random.Random(version).randbytes(size))[:size]

    def foreign_content(self, version: int, longer: int) -> bytes:
        """Content that the blob never has, as long as that version or longer."""
        other = bytes(255 - each for each in self.content(version))
        return other + b"x" * longer or b"x"


VARIANTS = st.builds(
    Variant,
    size=st.sampled_from((2 * R + 1, 3 * R, R + 1, R, 1, 0)),
    by_session=st.sampled_from((True, True, False)),
    has_md5=st.sampled_from((True, True, False)),
    overwrite_moves_creation=st.booleans(),
    attached_before=st.sampled_from((0, 1, 11)),
    interruptions=st.sampled_from((0, 1, 1, 3)),
    ranges_per_activity=st.sampled_from((1, 2, 3)),
    deadline_minutes=st.sampled_from((240, 240, 5)),
    session_state=st.sampled_from(("answered", "405")),
    repeated_range=st.sampled_from(("416", "400", "200")),
    session_minutes=st.sampled_from((60, 2)),
    commit_visible_after=st.sampled_from((0, 2, 45)),
)
FAULTS = st.sampled_from((*(None,) * 20, *KINDS)).flatmap(
    lambda kind: st.sampled_from([each for each in BY_NAME if each[0] == kind])
)


class PendingFaults:
    """Faults that each wait for the next request of their kind; ``fired`` had an effect."""

    def __init__(self) -> None:
        self.fired: list[Fault] = []
        self._waiting: list[FaultOfKind] = []

    def add(self, fault: FaultOfKind) -> None:
        """Add a fault at the end of the queue."""
        self._waiting.append(fault)

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault that has waited longest for a request of this kind."""
        for fault in self._waiting:
            misbehaviour = BY_NAME[fault]
            if fault[0] in {None, arrival.kind} and arrival.kind in misbehaviour.kinds:
                self._waiting.remove(fault)
                return Fault(misbehaviour=misbehaviour, index=arrival.index)
        return None

    def confirm(self, fault: Fault) -> None:
        """Record a fault that had an effect."""
        self.fired.append(fault)
