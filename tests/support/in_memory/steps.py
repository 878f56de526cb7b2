"""Single transfers without an engine, for tests that need thousands of them.

The app's own state machine and activities, step by step, on the app's clock. There is no history:
what is decided about a response needs none.
"""

from dataclasses import replace
from datetime import timedelta

from shared.settings import Settings
from shared.storage.documents import Document
from shared.transfer.activities.mailbox_locks import Lock, MailboxLocks
from shared.transfer.activities.mailbox_queue import Limits, Waiter
from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.functions import Activities
from shared.transfer.workflow.backoff import Pause
from shared.transfer.workflow.stages import End
from shared.transfer.workflow.state_machine import StateMachine
from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

RANGE = 1_000
_MAX_STEPS = 1_000


class FreeLocks(MailboxLocks):
    """Grants every lock at once: with one transfer at a time, nobody else has it."""

    def acquire(self, mailbox: str, _: Waiter) -> Lock:
        return Lock(mailbox, 1, (), Document("{}", ""))

    def release(self, *_: object) -> tuple[str, ...]:
        return ()


class AppWithoutLocks(InMemoryApp):
    """Takes two thirds of the time."""

    def parts(self, settings: Settings) -> Activities:
        parts = super().parts(settings)
        locks = FreeLocks(self.memory_tables.as_client(), Limits.of(settings), self.clock)
        return replace(parts, attacher=replace(parts.attacher, locks=locks))


class Steps:
    """One transfer of a new blob to a new draft; ``run`` runs it to its end."""

    def __init__(self, app: InMemoryApp, number: int, content: bytes) -> None:
        self.app = app
        self.item = app.add_message()
        name = f"in/{number}.pdf"
        app.blobs.put(name, content, None, {"mailbox": MAILBOX, "messageid": self.item})
        blob = app.source.look(name)
        self.machine = StateMachine(
            Job(
                transfer_id=f"{number:016x}-1",
                blob=name,
                etag=blob.etag,
                created=blob.created,
                md5=blob.md5,
                size=blob.size,
                mailbox=MAILBOX,
                item_type="message",
                item_id=self.item,
                file_name=f"{number}.pdf",
                content_type="application/pdf",
                run=app.clock.now.isoformat(timespec="microseconds"),
                range_bytes=app.settings.range_bytes,
                activity_bytes=app.settings.range_bytes * app.settings.ranges_per_activity,
                queue_seconds=3_600,
                deadline_seconds=app.settings.transfer_deadline_minutes * 60,
                reconcile_seconds=app.settings.reconcile_seconds,
                session_at_last=True,
            ),
            app.clock.now,
        )
        self.performed: list[str] = []

    def run(self, deliveries: int = 1) -> End:
        """Run every activity so often, and every wait on the app's clock."""
        machine, app = self.machine, self.app
        for _ in range(_MAX_STEPS):
            if machine.end is not None:
                return machine.end
            stage = machine.stage.value
            for _ in range(deliveries):
                result = ActivityResult.from_json(app.activities[stage](machine.work().to_json()))
            if result.outcome == "locked":
                app.clock.now += timedelta(seconds=result.retry_after or 1.0)
                machine.waited(app.clock.now)
                continue
            self.performed.append(stage)
            machine.begin(app.clock.now)
            machine.apply(result, app.clock.now)
            if machine.pause is not None:
                app.clock.now += timedelta(seconds=_seconds(machine.pause))
        raise AssertionError(f"no end after {_MAX_STEPS} activities")


def _seconds(pause: Pause) -> float:
    backoff = min(60.0, 2.0 ** min(pause.tries, 6), pause.at_most)
    return max(backoff, pause.retry_after)
