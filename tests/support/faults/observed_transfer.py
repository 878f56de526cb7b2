"""A transfer as the fault tests follow it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.transfer.payloads import TransferStatus
from tests.support.engine.virtual_engine import VirtualEngine


@dataclass(frozen=True)
class Delivery:
    """One delivery of an activity, and the index of the first request that it may have made.

    ``has_result`` is false when its worker was killed before it returned a result.
    """

    activity: str
    first_request: int
    has_result: bool


@dataclass(kw_only=True)
class ObservedTransfer:
    """One transfer, with what the referee has to know about it.

    ``foreign`` are the ids of attachments that other clients made. ``must_attach``: no fault so
    far excuses another outcome. ``may_be_unknown``: *OutcomeUnknown* is a valid outcome.
    ``content_is_current``: the blob still has this content, so it must have the record.
    """

    item: str
    mailbox: str
    blob: str
    content: bytes = field(repr=False)
    engine: VirtualEngine
    deadline: timedelta
    first_request: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    foreign: frozenset[str] = frozenset()
    must_attach: bool = True
    may_be_unknown: bool = False
    content_is_current: bool = True
    begun: datetime
    ended: datetime | None = None
    crash: str = ""

    @property
    def status(self) -> TransferStatus | None:
        """The output of the orchestration; None when there is none."""
        output = self.engine.output
        return None if output is None else TransferStatus.from_json(output)
