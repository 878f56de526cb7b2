"""The virtual engine with the adversities that Azure's engine has.

The checkpoint of an orchestration can be lost after its messages went out, timers fire late, a
custom status is limited, and entity operations of version 1.0 come late, twice, or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

from tests.support.engine.adversary import Adversary
from tests.support.engine.orchestrator_run import OrchestratorRun
from tests.support.engine.virtual_engine import VirtualEngine, Work

# Bytes of a custom status, as UTF-16.
MAX_STATUS_BYTES = 16 * 1024
_CHECKED_REPLAYS = 0.2
# Seconds by which a timer is late; minutes after an outage.
_LATE = (5, 70, 600)
# Seconds until a lost checkpoint is noticed.
_RECOVERY = (0.5, 20, 400)


@dataclass(kw_only=True)
class UnkindEngine(VirtualEngine):
    """One instance. ``orphans`` are activities that were scheduled in an execution that is lost.

    ``late`` is the lateness of its timers and checkpoints so far. ``postpone`` takes an operation
    that happens at some later time.
    """

    adversary: Adversary
    postpone: Callable[[Callable[[], None]], None]
    orphans: list[Work] = field(default_factory=list)
    late: timedelta = timedelta()
    answered: set[int] = field(default_factory=set)
    pending_calls: int = 0
    longest_history: int = 0

    @property
    def has_events(self) -> bool:
        """Whether an event waits for it."""
        return bool(self._received_events)

    def schedule_again(self, work: Work) -> None:
        """Deliver an activity again."""
        self._scheduled.appendleft(work)

    def abandon(self) -> list[Work]:
        """Its scheduled activities, after another instance has taken its place."""
        works = [*self.orphans, *self._scheduled]
        self.orphans.clear()
        self._scheduled.clear()
        return works

    def fire_timer(self) -> None:
        """Fire the next timer, perhaps late."""
        due = self.next_timer
        if self.adversary.strikes("timer late"):
            by = self.adversary.random.choice(_LATE)
            self.clock.now = max(self.clock.now, due + timedelta(seconds=by))
            self.adversary.confirm("timer late")
        self.late += max(self.clock.now - due, timedelta())
        super().fire_timer()

    def _new_run(self) -> OrchestratorRun:
        # A part of the replays is enough: a run has dozens of orchestrations.
        checks = self.adversary.random.random() < _CHECKED_REPLAYS
        return OrchestratorRun(self.orchestrator, self.instance_id, checks_replays=checks)

    def _process(self, events: list[pb.HistoryEvent]) -> None:
        if self.adversary.strikes("checkpoint lost"):
            self._lose(events)
        super()._process(events)
        self.longest_history = max(self.longest_history, len(self.history))

    def _lose(self, events: list[pb.HistoryEvent]) -> None:
        """Execute the events; send the messages, but keep nothing else."""
        new = [helpers.new_orchestrator_started_event(self.clock.now), *events]
        response = self._orchestrator.execute(self.history, new)
        for action in response.actions:
            if action.HasField("scheduleTask"):
                task = action.scheduleTask
                self.orphans.append(Work(action.id, task.name, task.input.value))
            elif action.HasField("sendEvent"):
                sent = action.sendEvent
                if (peer := self.peers.get(sent.instance.instanceId)) is not None:
                    peer._received_events.append(helpers.new_event_raised_event(sent.name))
            elif action.HasField("sendEntityMessage"):
                self._send_lost(action.sendEntityMessage)
        self._orchestrator = self._new_run()
        recovery = timedelta(seconds=self.adversary.random.choice(_RECOVERY))
        self.clock.now += recovery
        self.late += recovery
        self.adversary.confirm("checkpoint lost")

    def _send_lost(self, message: pb.SendEntityMessageAction) -> None:
        if message.HasField("entityOperationSignaled"):
            self._operate(message.entityOperationSignaled)
        else:
            # Nobody receives the result.
            self.entities.answer(message.entityOperationCalled)

    def _note_status(self, text: str) -> None:
        if len(text.encode("utf-16-le")) > MAX_STATUS_BYTES:
            self.failed = f"the custom status has more than {MAX_STATUS_BYTES} bytes of UTF-16"
            self.adversary.confirm("long status")
        super()._note_status(text)

    def _operate(self, signal: pb.EntityOperationSignaledEvent) -> None:
        self.entities.operate(signal.targetInstanceId.value, signal.operation, signal.input.value)

    def _signal(self, signal: pb.EntityOperationSignaledEvent) -> None:
        adversary = self.adversary
        if adversary.strikes("signal lost"):
            adversary.confirm("signal lost")
            return
        if adversary.strikes("signal late"):
            adversary.confirm("signal late")
            self.postpone(lambda: self._operate(signal))
        else:
            self._operate(signal)
        if adversary.strikes("signal twice"):
            adversary.confirm("signal twice")
            self.postpone(lambda: self._operate(signal))

    def _call(self, call: pb.EntityOperationCalledEvent) -> None:
        if not self.adversary.strikes("entity call queued"):
            super()._call(call)
            return
        self.adversary.confirm("entity call queued")
        self.pending_calls += 1

        def operate() -> None:
            response = self.entities.answer(call)
            self.pending_calls -= 1
            if not self.is_over:
                self._process([response])

        self.postpone(operate)
