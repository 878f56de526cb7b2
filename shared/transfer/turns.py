"""One transfer's turns at its item and its mailbox, as its orchestrator asks for them."""

import hashlib
from collections.abc import Generator
from typing import Any

from durabletask.entities import EntityInstanceId
from durabletask.task import OrchestrationContext

from shared.outlook.item import OutlookItem
from shared.transfer.mailbox_budget import ITEM, MAILBOX, AskForTurn, GiveTurnBack, Turn
from shared.transfer.payloads import Payload

# The external event that tells a waiting transfer to ask again.
WAKE = "turn"
_KEY_DIGITS = 32

type Steps[T] = Generator[Any, Any, T]


class Turns:
    """The turns of the transfer that this orchestration is, in the order in which it came."""

    def __init__(self, ctx: OrchestrationContext, item: OutlookItem) -> None:
        self._ctx = ctx
        self._since = ctx.current_utc_datetime
        # By the item's id alone: one mailbox can have several addresses.
        self._item = _entity(ITEM, item.id)
        self._mailbox = _entity(MAILBOX, item.mailbox.lower())
        self._known = False

    def ask(self, size: int) -> Steps[float]:
        """Ask for both turns, to send ``size`` bytes: 0.0, or the seconds until asking again.

        A turn at the item is kept while the mailbox is waited for.
        """
        self._known = True
        for entity in (self._item, self._mailbox):
            ask = AskForTurn(transfer_id=self._ctx.instance_id, since=self._since, size=size)
            turn = yield from self._call(entity, "ask", ask)
            if not turn.granted:
                return turn.wait_seconds
        return 0.0

    def give_back(self, sent: int = 0, rest_seconds: float = 0.0) -> Steps[None]:
        """End the turns, or the wait for them; the mailbox learns what was sent and asked for."""
        if not self._known:
            return
        self._known = False
        id_ = self._ctx.instance_id
        back = GiveTurnBack(transfer_id=id_, sent=sent, rest_seconds=rest_seconds)
        yield from self._call(self._mailbox, "give_back", back)
        yield from self._call(self._item, "give_back", GiveTurnBack(transfer_id=id_))

    def _call(self, entity: EntityInstanceId, operation: str, value: Payload) -> Steps[Turn]:
        answer = yield self._ctx.call_entity(entity, operation, value.to_json(), return_type=dict)
        turn = Turn.from_json(answer)
        for transfer_id in turn.wake:
            self._ctx.send_event(transfer_id, WAKE)
        return turn


def _entity(name: str, key: str) -> EntityInstanceId:
    # A key may not hold every character that an address or an id may.
    return EntityInstanceId(name, hashlib.sha256(key.encode()).hexdigest()[:_KEY_DIGITS])
