"""Many transfers at once on a virtual clock, with storage, Outlook and task hub in this process.

The task hub behaves as one of two real ones: Durable's in-memory backend refuses the id of an
instance that has finished, the Functions host replaces the instance. Both refuse an id that runs.
A thousand transfers take a minute.
"""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, cast

import azure.durable_functions as df
import grpc

from infra.local.outlook.rules import Rules
from infra.local.outlook.state.mailboxes import Attachment
from shared.app import Clients
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.inspect_blob import Inspector
from tests.support.engine.clock import VirtualClock
from tests.support.engine.virtual_engine import Activity
from tests.support.in_memory.outlook import URL, direct_client, direct_service
from tests.support.in_memory.storage import MemoryContainer
from tests.support.in_memory.tables import MemoryTables
from tests.support.virtual_app import MAILBOX, VirtualApp, no_credential, settings_for

type FinishedIds = Literal["refused", "replaced"]
SMALL_RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=4_000, page_size=100)


class AlreadyExists(grpc.RpcError):
    """What Durable's client raises for an id that may not be started."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.ALREADY_EXISTS


class InMemoryApp(VirtualApp):
    """One app with a task hub, storage and Outlook of its own.

    It takes the place of Durable's client: triggers call its ``schedule_new_orchestration``.
    ``skew`` is how far Outlook's clock is ahead of the app's.
    """

    def __init__(
        self,
        finished: FinishedIds = "replaced",
        *,
        rules: Rules = SMALL_RULES,
        skew: timedelta = timedelta(),
        inspector: type[Inspector] = Inspector,
        tables: MemoryTables | None = None,
        **settings: float | str,
    ) -> None:
        clock = VirtualClock()
        self.finished = finished
        self.service = direct_service(lambda: clock() + skew, rules)
        self.service.tenant.mailboxes.add(MAILBOX)
        self.blobs = MemoryContainer("source", clock)
        self.notes = MemoryContainer("sessions", clock)
        self.memory_tables = tables or MemoryTables()
        values = settings_for(URL, **settings)
        super().__init__(
            values,
            clock,
            Clients(
                SourceContainer(self.blobs.as_client()),
                SessionStore(self.notes.as_client()),
                self.memory_tables.as_client(),
                direct_client(self.service, values),
                no_credential,
            ),
            inspector=inspector,
        )
        self.starts: Counter[str] = Counter()
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def wrap(self, activity: str, wrap: Callable[[Activity], Activity]) -> None:
        """Wrap an activity."""
        self.activities[activity] = wrap(self.activities[activity])

    def add_message(self) -> str:
        """A new draft; its id."""
        with self.service.lock:
            return self.service.tenant.mailboxes.find(MAILBOX).create("message", "").id

    def attachments(self, item: str) -> list[Attachment]:
        """The attachments that the draft has."""
        with self.service.lock:
            return list(self.service.tenant.mailboxes.find(MAILBOX).items[item].attachments)

    def deliver(self, name: str) -> str:
        """Deliver the event of a blob once, as to the blob trigger; the transfer's id."""
        client = cast("df.DurableFunctionsClient", self)
        return asyncio.run(self.late_starter.from_blob(client, name)).id

    async def schedule_new_orchestration(
        self,
        _orchestrator: str,
        *,
        input: dict[str, Any],  # noqa: A002 (the SDK's own name)
        instance_id: str,
    ) -> str:
        payload = json.loads(json.dumps(input))
        with self._lock:
            known = self.engines.get(instance_id)
            if known is not None and (self.finished == "refused" or not known.is_over):
                raise AlreadyExists
            self.starts[instance_id] += 1
            self.start_engine(instance_id, payload)
        return instance_id

    def step(self, draw: random.Random) -> bool:
        """Advance one running transfer by one activity or timer; False when none can advance.

        A transfer that another thread is advancing is not chosen.
        """
        with self._lock:
            waiting = [k for k, e in self.engines.items() if not e.is_over and k not in self._busy]
            if not waiting:
                return False
            # A timer moves the clock of all transfers, so it fires only when none has other work.
            active = [k for k in waiting if self.engines[k].is_active]
            if not active and self._busy:
                return False
            id_ = draw.choice(active or waiting)
            engine = self.engines[id_]
            self._busy.add(id_)
        try:
            engine.advance()
        finally:
            with self._lock:
                self._busy.discard(id_)
        return True

    def finish(self) -> None:
        """Run every transfer to its end."""
        draw = random.Random(0)
        while self.step(draw):
            pass

    def finish_in_time(self) -> None:
        """Run every transfer to its end; timers fire in the order of their times."""
        while self.advance_in_time():
            pass

    def advance_in_time(self) -> bool:
        """Advance one transfer: a timer fires only if nothing else is due. False at the end."""
        running = [each for each in self.engines.values() if not each.is_over]
        if not running:
            return False
        active = next((each for each in running if each.is_active), None)
        (active or min(running, key=lambda each: each.next_timer)).advance()
        return True
