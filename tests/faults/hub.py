"""Many transfers at once on the virtual engine, behind a task hub of either kind.

The in-memory backend refuses an id that has finished; the Functions host replaces it without a
word. Both refuse an id that runs. Storage and Outlook are in this process, so that a thousand
runs take a minute.
"""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, cast

import azure.durable_functions as df
import grpc

from infra.local.outlook.mailboxes import Attachment
from infra.local.outlook.rules import Rules
from shared.app import Clients, activities
from shared.settings import Settings
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.functions import transfer_functions
from shared.transfer.service.start import Starter
from shared.transfer.workflow.mailbox_budget import lock_entities
from shared.transfer.workflow.orchestrator import attach_blob
from tests.direct_outlook import direct_client, direct_service
from tests.harness import MAILBOX
from tests.memory_storage import MemoryContainer
from tests.virtual_engine import Activity, VirtualClock, VirtualEngine, VirtualEntities

Finished = Literal["refused", "replaced"]
SMALL_RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=4_000, page_size=100)


class AlreadyExists(grpc.RpcError):
    """What Durable's client raises for an id that may not be started."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.ALREADY_EXISTS


class Hub:
    """One app with its task hub, storage and Outlook, all in this process.

    Its ``schedule_new_orchestration`` is the one call that a door makes of Durable's client.
    ``skew`` is how far Outlook's clock is ahead of ours.
    """

    def __init__(
        self,
        finished: Finished = "replaced",
        *,
        rules: Rules = SMALL_RULES,
        skew: timedelta = timedelta(),
        inspector: type[Inspector] = Inspector,
        **settings: float | str,
    ) -> None:
        self.clock = VirtualClock()
        self.finished = finished
        self.service = direct_service(lambda: self.clock() + skew, rules)
        self.service.tenant.mailboxes.add(MAILBOX)
        self.blobs = MemoryContainer("source", self.clock)
        self.notes = MemoryContainer("sessions", self.clock)
        values = {"graph_base_url": "http://127.0.0.1:9", "allowed_mailboxes": "*", **settings}
        self.settings = Settings.model_validate(values)
        self.source = SourceContainer(self.blobs.as_client())
        self.starter = Starter(self.settings, self.source)
        store = SessionStore(self.notes.as_client())
        self.graph = direct_client(self.service, self.settings)
        parts = activities(self.settings, Clients(self.source, store, self.graph, _no_credential))
        parts = replace(parts, inspector=inspector(self.settings, self.source))
        app = df.DFApp()
        app.register_functions(transfer_functions(parts, self.settings, self.clock))
        self._activities = {
            str(f.get_function_name()): f.get_user_function() for f in app.get_functions()
        }
        self.entities = VirtualEntities(lock_entities(self.settings, self.clock))
        self.engines: dict[str, VirtualEngine] = {}
        self.starts: Counter[str] = Counter()
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def wrap(self, activity: str, wrap: Callable[[Activity], Activity]) -> None:
        """Put something around an activity."""
        self._activities[activity] = wrap(self._activities[activity])

    def add_message(self) -> str:
        """A new draft; its id."""
        with self.service.lock:
            return self.service.tenant.mailboxes.find(MAILBOX).create("message", "").id

    def attachments(self, item: str) -> list[Attachment]:
        """What the draft really holds."""
        with self.service.lock:
            return list(self.service.tenant.mailboxes.find(MAILBOX).items[item].attachments)

    def deliver(self, name: str) -> str:
        """The blob door, for one delivery of an event; the transfer's id."""
        client = cast("df.DurableFunctionsClient", self)
        return asyncio.run(self.starter.from_blob(client, name)).id

    async def schedule_new_orchestration(
        self,
        _orchestrator: str,
        *,
        input: dict[str, Any],  # noqa: A002 (the engine's own name)
        instance_id: str,
    ) -> str:
        payload = json.loads(json.dumps(input))
        with self._lock:
            known = self.engines.get(instance_id)
            if known is not None and (self.finished == "refused" or not known.is_over):
                raise AlreadyExists
            self.starts[instance_id] += 1
            parts = (self._activities, self.entities, self.engines)
            engine = VirtualEngine(self.clock, attach_blob, instance_id, payload, *parts)
            self.engines[instance_id] = engine
        return instance_id

    def step(self, draw: random.Random) -> bool:
        """Let one running transfer go on by one activity or timer; False when none can.

        A transfer that is stepped by another thread at this moment is left alone.
        """
        with self._lock:
            waiting = [k for k, e in self.engines.items() if not e.is_over and k not in self._busy]
            if not waiting:
                return False
            # A timer moves the clock for everyone: only when nothing else is to be done.
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
        """Let every transfer come to its end."""
        draw = random.Random(0)
        while self.step(draw):
            pass

    def finish_in_time(self) -> None:
        """Let every transfer come to its end, with timers firing in the order of their times."""
        while running := [each for each in self.engines.values() if not each.is_over]:
            active = next((each for each in running if each.is_active), None)
            (active or min(running, key=lambda each: each.next_timer)).advance()

    def close(self) -> None:
        """Close the client."""
        self.graph.close()


def _no_credential() -> Any:
    raise AssertionError("no topic is set")
