"""The app on a task hub that is as unkind as Azure's: see ``support.engine.adversary``.

Work is done one step at a time, in an order that a seed draws. A delivery may stall between two of
its operations while everything else goes on, be killed there, or be repeated at any later time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import azure.durable_functions as df

from infra.local.outlook.rules import Rules
from shared.settings import Settings
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.functions import Activities
from shared.transfer.workflow.orchestrator import attach_blob
from tests.support.engine.adversary import Adversary
from tests.support.engine.unkind_engine import UnkindEngine
from tests.support.engine.virtual_engine import VERSION, Activity
from tests.support.in_memory.app import SMALL_RULES, InMemoryApp
from tests.support.in_memory.deliveries import Deliveries
from tests.support.in_memory.tables import MemoryTables
from tests.support.in_memory.unkind_client import InlineLoop, UnkindClient
from tests.support.in_memory.watched_locks import Holders, WatchedLocks

# Changes the parts of the app: for products that are broken on purpose.
type Alter = Callable[["UnkindApp", Activities], Activities]
_STEP_SECONDS = (0.01, 0.1, 1.0)
_DOWN_HOURS = (0.2, 5, 23.9)
# None of them allows a transfer to fail.
_OTHER_SETTINGS: tuple[dict[str, object], ...] = (
    {"range_bytes": 1_000, "ranges_per_activity": 1},
    {"range_bytes": 500, "ranges_per_activity": 2},
    {"range_bytes": 4_000, "ranges_per_activity": 3},
    {"reconcile_seconds": 300.0},
)


@dataclass
class _Delayed:
    due: int
    run: Callable[[], None] = field(repr=False)


class UnkindApp(InMemoryApp):
    """One app with its task hub. ``deliveries`` runs the activities."""

    def __init__(
        self,
        adversary: Adversary,
        *,
        rules: Rules = SMALL_RULES,
        version: str = VERSION,
        alter: Alter = lambda _, parts: parts,
        **settings: float,
    ) -> None:
        self.adversary = adversary
        self.version = version
        self.steps = 0
        self.down = timedelta()
        self.generations: list[dict[str, Activity]] = []
        self.removed: set[str] = set()
        self._by_settings: dict[str, dict[str, Activity]] = {}
        self._alter = alter
        self._delayed: list[_Delayed] = []
        self._created: dict[int, datetime] = {}
        self.loop = InlineLoop()
        self.holders: Holders | None = None
        super().__init__(
            "replaced",
            rules=rules,
            skew=timedelta(),
            inspector=Inspector,
            tables=MemoryTables(),
            **settings,
        )
        self.deliveries = Deliveries(self)
        self.client = UnkindClient(self)

    # --- parts ---

    def parts(self, settings: Settings) -> Activities:
        """The app's own, perhaps broken on purpose, with their locks watched."""
        parts = self._alter(self, super().parts(settings))
        self.holders = self.holders or Holders(self.clock)
        locks = WatchedLocks(parts.attacher.locks, self.holders)
        return replace(parts, attacher=replace(parts.attacher, locks=locks))

    def restart(self, settings: Settings) -> None:
        """Run new deliveries with these settings; those that stall go on with the old ones."""
        key = settings.model_dump_json()
        if key not in self._by_settings:
            super().restart(settings)
            self._by_settings[key] = dict(self.activities)
            self.generations.append(self._by_settings[key])
        self.activities.update(self._by_settings[key])

    def new_engine(self, instance_id: str, payload: dict[str, Any]) -> UnkindEngine:
        """An orchestration with adversities."""
        engine = UnkindEngine(
            self.clock,
            attach_blob,
            instance_id,
            payload,
            self.activities,
            self.entities,
            self.engines,
            version=self.version,
            adversary=self.adversary,
            postpone=self.postpone,
        )
        self._created[id(engine)] = self.clock()
        return engine

    # --- what triggers and the client of Durable do ---

    def deliver(self, name: str) -> str:
        """Deliver the event of a blob once; the transfer's id."""
        client = cast("df.DurableFunctionsClient", self.client)
        return self.loop.run(self.late_starter.from_blob(client, name)).id

    def latest(self, instance_id: str) -> UnkindEngine | None:
        engine = self.engines.get(instance_id)
        return None if engine is None else cast("UnkindEngine", engine)

    def all_latest(self) -> list[UnkindEngine]:
        return [cast("UnkindEngine", each) for each in self.engines.values()]

    def all_started(self) -> list[UnkindEngine]:
        """All instances, those that were replaced among them."""
        return [cast("UnkindEngine", each) for each in self.started]

    def created_at(self, engine: UnkindEngine) -> datetime:
        return self._created[id(engine)]

    def now(self) -> datetime:
        return self.clock()

    def start(self, instance_id: str, payload: dict[str, Any]) -> None:
        known = self.latest(instance_id)
        if known is not None and not known.is_over:
            self.adversary.confirm("start replaces a run")
            self._orphan(known)
        # No two runs begin at the same moment.
        self.clock.advance(0.001)
        self.start_engine(instance_id, payload)

    def start_later(self, instance_id: str, payload: dict[str, Any]) -> None:
        self.postpone(lambda: self.start(instance_id, payload))

    def take_away(self, instance_id: str) -> None:
        engine = self.latest(instance_id)
        if engine is None:
            return
        if not engine.is_over:
            self.adversary.confirm("purge of a run")
        self._orphan(engine)
        del self.engines[instance_id]

    def go_on(self) -> None:
        """Some steps of others, while a trigger works."""
        if self.adversary.random.random() < 0.3:
            for _ in range(self.adversary.random.randrange(4)):
                self.step_once()

    def requests(self) -> int:
        return len(self.service.recorder.requests)

    def close(self) -> None:
        super().close()
        self.loop.close()

    # --- steps ---

    def postpone(self, run: Callable[[], None], most: int = 12) -> None:
        """Do it some steps later."""
        due = self.steps + self.adversary.random.randint(1, most)
        self._delayed.append(_Delayed(due, run))

    def step_once(self) -> bool:
        """One activity, event, timer or late message; False when nothing is left."""
        self.steps += 1
        self.clock.advance(self.adversary.random.choice(_STEP_SECONDS))
        self._disturb()
        choices = self._due() or self._next()
        if not choices:
            return False
        self.adversary.random.choice(choices)()
        self._collect_orphans()
        return True

    def _due(self) -> list[Callable[[], None]]:
        engines = [each for each in self.all_latest() if not each.is_over and each.is_active]
        due = [each for each in self._delayed if each.due <= self.steps]
        return [
            *(partial(self._advance, each) for each in engines),
            *(partial(self._run_delayed, each) for each in due),
        ]

    def _next(self) -> list[Callable[[], None]]:
        """What happens first, when nothing is due: a timer, or a late message."""
        choices: list[Callable[[], None]] = []
        waiting = [each for each in self.all_latest() if not each.is_over and each.has_timer]
        if waiting:
            choices.append(min(waiting, key=lambda each: each.next_timer).fire_timer)
        if self._delayed:
            first = min(self._delayed, key=lambda each: each.due)
            choices.append(partial(self._run_delayed, first))
        return choices

    def _run_delayed(self, each: _Delayed) -> None:
        self._delayed.remove(each)
        each.run()

    def _advance(self, engine: UnkindEngine) -> None:
        if engine.has_events:
            engine.receive()
        else:
            self.deliveries.deliver(engine, engine.take_work())

    def _disturb(self) -> None:
        adversary = self.adversary
        if adversary.strikes("app down"):
            down = timedelta(hours=adversary.random.choice(_DOWN_HOURS))
            self.clock.now += down
            self.down += down
            self.deliveries.kill_some()
            adversary.confirm("app down")
        if adversary.strikes("settings changed"):
            update = adversary.random.choice(_OTHER_SETTINGS)
            self.restart(self.settings.model_copy(update=update))
            adversary.confirm("settings changed")

    def _orphan(self, engine: UnkindEngine) -> None:
        for work in engine.abandon():
            self.postpone(partial(self.deliveries.deliver_orphan, engine, work))

    def _collect_orphans(self) -> None:
        for engine in self.all_latest():
            while engine.orphans:
                work = engine.orphans.pop()
                self.postpone(partial(self.deliveries.deliver_orphan, engine, work))
