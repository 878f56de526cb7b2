"""Delivers activities: once, beside each other, late, as orphans, or to workers that are killed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from tests.support.engine.adversary import Adversary
from tests.support.engine.stalled_delivery import Delivery
from tests.support.engine.unkind_engine import UnkindEngine
from tests.support.engine.virtual_engine import Activity, Work
from tests.support.in_memory.watched_locks import Holders

# A delivery stops after so many operations, if it makes so many.
_MOST_OPERATIONS = 9


class Host(Protocol):
    """The app and the task hub."""

    adversary: Adversary
    activities: dict[str, Activity]
    generations: list[dict[str, Activity]]
    removed: set[str]
    holders: Holders | None

    def latest(self, instance_id: str) -> UnkindEngine | None:
        """The instance of that id."""

    def now(self) -> datetime:
        """The time."""

    def postpone(self, run: Callable[[], None], most: int = 12) -> None:
        """Do it some steps later."""

    def requests(self) -> int:
        """How many requests Outlook has had."""


@dataclass
class Waits:
    """How long a transfer waited for its lock in all, and since when it waits now."""

    total: timedelta = timedelta()
    since: datetime | None = None


@dataclass
class Deliveries:
    """Runs the activities of all orchestrations.

    ``excused`` are the requests of deliveries that were killed: what they created may stay.
    ``waits`` are by transfer. ``stopped`` counts the deliveries that stopped under a lock.
    """

    host: Host
    waits: dict[str, Waits] = field(default_factory=dict)
    excused: list[range] = field(default_factory=list)
    stopped: Counter[str] = field(default_factory=Counter)
    _late: list[tuple[UnkindEngine, Work]] = field(default_factory=list)
    _stalled: list[Delivery] = field(default_factory=list)

    def deliver(self, engine: UnkindEngine, work: Work) -> None:
        """Deliver a scheduled activity: for the first time, or again after its worker died."""
        adversary = self.host.adversary
        run = partial(self.host.activities[work.name], work.payload)
        if adversary.strikes("delivered late"):
            self.host.postpone(partial(self._deliver_late, engine, work), most=40)
        if adversary.strikes("delivered after the end"):
            self._late.append((engine, work))
        if adversary.strikes("worker killed"):
            self._kill(engine, work, run)
        elif adversary.strikes("stalled"):
            self._stall(engine, work, run)
        else:
            self._answer(engine, work, run)

    def deliver_orphan(self, engine: UnkindEngine, work: Work) -> None:
        """Deliver an activity of an execution that is lost; its answer may be taken for another."""
        self.host.adversary.confirm("delivered as an orphan")
        twin = any(each.id == work.id and each.name == work.name for each in engine._scheduled)
        if twin and self.host.adversary.random.random() < 0.5:
            self._answer(engine, work, partial(self.host.activities[work.name], work.payload))
        else:
            self._drop(work, self.host.activities)

    def deliver_the_rest(self) -> None:
        """Deliver once more what is drawn to come after the end, in any order."""
        late, self._late = self._late, []
        self.host.adversary.random.shuffle(late)
        for engine, work in late:
            self._deliver_late(engine, work)

    def kill_some(self) -> None:
        """Kill most of the workers whose deliveries stall."""
        for delivery in self._stalled:
            if self.host.adversary.random.random() < 0.7:
                delivery.kill()
        self._stalled = [each for each in self._stalled if not each.is_over]

    def _kill(self, engine: UnkindEngine, work: Work, run: Callable[[], dict[str, Any]]) -> None:
        first = self.host.requests()
        delivery = self._stopping(run, killed=True)
        delivery.proceed()
        if not delivery.was_killed:
            self._end(engine, work, delivery)
            return
        self.host.adversary.confirm("worker killed")
        self._note_death(engine, first)
        engine.schedule_again(work)

    def _stall(self, engine: UnkindEngine, work: Work, run: Callable[[], dict[str, Any]]) -> None:
        first = self.host.requests()
        delivery = self._stopping(run, killed=False)
        if delivery.proceed():
            self._end(engine, work, delivery)
            return
        self.host.adversary.confirm("stalled")
        self.stopped[engine.instance_id] += 1
        self._stalled.append(delivery)
        requests = range(first, self.host.requests())
        is_repeated = self.host.adversary.random.random() < 0.7
        if is_repeated:
            engine.schedule_again(work)
        self.host.postpone(
            partial(self._resume, engine, work, delivery, requests, is_repeated), most=25
        )

    def _resume(
        self,
        engine: UnkindEngine,
        work: Work,
        delivery: Delivery,
        requests: range,
        is_repeated: bool,
    ) -> None:
        if not delivery.is_over:
            delivery.proceed()
            self._stalled.remove(delivery)
        if delivery.was_killed:
            self.excused.append(requests)
            if not is_repeated:
                engine.schedule_again(work)
            return
        if is_repeated:
            self.host.adversary.confirm("delivered beside")
        self._end(engine, work, delivery)

    def _stopping(self, run: Callable[[], dict[str, Any]], *, killed: bool) -> Delivery:
        after = self.host.adversary.random.randint(1, _MOST_OPERATIONS)
        return Delivery(run, stop_after=after, killed=killed)

    def _note_death(self, engine: UnkindEngine, first: int) -> None:
        self.excused.append(range(first, self.host.requests()))
        self.stopped[engine.instance_id] += 1
        if self.host.holders:
            self.host.holders.killed(engine.instance_id)

    def _deliver_late(self, engine: UnkindEngine, work: Work) -> None:
        host = self.host
        generation = host.adversary.random.choice(host.generations)
        if generation[work.name] is not host.activities[work.name]:
            host.adversary.confirm("delivered with other settings")
        latest = host.latest(engine.instance_id)
        if engine.instance_id in host.removed:
            host.adversary.confirm("delivered after a removal")
        if latest is engine and not engine.is_over:
            host.adversary.confirm("delivered late")
        else:
            host.adversary.confirm("delivered after the end")
        self._drop(work, generation)

    def _drop(self, work: Work, activities: dict[str, Activity]) -> None:
        """Run it; nobody takes the answer, not even that of a failure."""
        Delivery(partial(activities[work.name], work.payload), stop_after=0).run_here()

    def _answer(self, engine: UnkindEngine, work: Work, run: Callable[[], dict[str, Any]]) -> None:
        delivery = Delivery(run, stop_after=0)
        delivery.run_here()
        self._end(engine, work, delivery)

    def _end(self, engine: UnkindEngine, work: Work, delivery: Delivery) -> None:
        """Pass the answer on, unless there was one before or nobody waits for it."""
        is_current = self.host.latest(engine.instance_id) is engine and not engine.is_over
        if not is_current or work.id in engine.answered:
            return
        engine.answered.add(work.id)
        if delivery.error is not None:
            engine.fail(work, delivery.error)
            return
        assert delivery.result is not None
        self._measure(engine, delivery.result)
        engine.complete(work, delivery.result)

    def _measure(self, engine: UnkindEngine, result: dict[str, Any]) -> None:
        waits, now = self.waits.setdefault(engine.instance_id, Waits()), self.host.now()
        if result.get("outcome") == "locked":
            waits.since = waits.since or now
        elif waits.since:
            waits.total += now - waits.since
            waits.since = None
