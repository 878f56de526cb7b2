"""The locks of a transfer on its item and its mailbox, over the real entities and engine."""

from collections.abc import Generator
from typing import Any

from durabletask.task import OrchestrationContext

from shared.outlook.item import OutlookItem
from shared.settings import Settings
from shared.transfer.workflow.locks import EntityLocks
from shared.transfer.workflow.mailbox_budget import lock_entities
from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.virtual_engine import VirtualEngine

MAILBOX = "a@contoso.com"
CLOCK = VirtualClock()


def hold(ctx: OrchestrationContext, item: str) -> Generator[Any, Any, dict[str, float]]:
    """Acquire both locks, and keep them; the output is how long to wait for them."""
    locks = EntityLocks(ctx, OutlookItem(MAILBOX, "message", item))
    wait = yield from locks.acquire(0)
    return {"wait": wait}


class Hold:
    """Transfers that each acquire the locks of an item."""

    def __init__(self, **settings: Any) -> None:
        entities = lock_entities(Settings.model_validate(settings), CLOCK)
        self._entities = VirtualEntities(entities)

    def __call__(self, transfer_id: str, item: str) -> float:
        payload: Any = item
        engine = VirtualEngine(CLOCK, hold, transfer_id, payload, {}, self._entities)
        return float(engine.run()["wait"])


def test_the_mailbox_is_free_for_others_while_a_transfer_waits_for_its_item() -> None:
    """Of two slots, one is used; whoever waits for an item keeps no slot of the mailbox."""
    acquire = Hold(mailbox_concurrency=2)
    assert acquire("first", "M") == 0
    assert acquire("second", "M") > 0
    assert acquire("third", "N") == 0
