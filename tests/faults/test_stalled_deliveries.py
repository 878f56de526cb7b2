"""A delivery that stalls at any of its operations while its transfer goes on to the end.

The engine may deliver an activity a second time while the first delivery still runs, and at any
later time. Each test stalls one delivery before one of its operations on the ledger, the blob or
Outlook, lets a second delivery and the whole rest of the transfer run, and then goes on.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from infra.local.outlook.rules import Rules
from shared.transfer.retry_policy import LOCK_LEASE
from shared.transfer.workflow.orchestrator import CANCEL
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.in_memory.app import InMemoryApp
from tests.support.in_memory.stalls import Stall
from tests.support.virtual_app import MAILBOX

RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=4_000, page_size=100)
RANGE_BYTES = 320 * 1024 * 4
CONTENT = {"small": bytes(range(200)), "large": bytes(range(256)) * 13_000}


@dataclass
class Trial:
    """One file to one draft."""

    app: InMemoryApp
    item: str
    id: str

    @classmethod
    def of(cls, size: str) -> "Trial":
        app = InMemoryApp(rules=RULES, range_bytes=RANGE_BYTES, ranges_per_activity=1)
        item = app.add_message()
        app.blobs.put("a.bin", CONTENT[size], None, {"mailbox": MAILBOX, "messageid": item})
        return cls(app, item, app.deliver("a.bin"))

    @property
    def attached(self) -> int:
        """How often the file is attached."""
        return len(self.app.attachments(self.item))

    @property
    def engine(self) -> VirtualEngine:
        """The transfer's orchestration."""
        return self.app.engines[self.id]

    def advance_to(self, activity: int) -> bool:
        """Run the activities before this one; whether there is one of this number, from 0 on."""
        done = 0
        while not self.engine.is_over:
            if self.engine.next_activity is not None:
                if done == activity:
                    return True
                done += 1
            self.engine.advance()
        return False

    def open_sessions(self) -> list[str]:
        """The upload sessions that are still open."""
        now = self.app.service.tenant.clock()
        sessions = self.app.service.tenant.mailboxes.sessions()
        return [each.id for each in sessions if each.is_open(now)]

    def output(self) -> dict[str, Any]:
        assert self.engine.output is not None, self.engine.failed
        return self.engine.output


def is_small_post(stall: Stall) -> bool:
    """After the last look at its claim, nothing can stop a request that attaches the file."""
    return stall.stalled.startswith("POST ") and stall.stalled.endswith("/attachments")


@pytest.mark.parametrize(("size", "delay"), [("small", 0), ("small", 3_600), ("large", 0)])
@pytest.mark.parametrize("cancel", [False, True], ids=["", "cancelled"])
def test_a_delivery_that_stalls_attaches_nothing_twice(
    size: str, delay: int, *, cancel: bool
) -> None:
    """Each activity, before each of its operations; the end says what is attached."""
    stalled = 0
    for activity in range(1, 7):
        for operation in range(60):
            trial = Trial.of(size)
            if not trial.advance_to(activity):
                break
            name, payload = trial.engine.next_work

            def go_on(trial: Trial = trial) -> None:
                if cancel:
                    trial.engine.raise_event(CANCEL)
                trial.app.finish_in_time()
                trial.app.clock.advance(delay)

            with Stall(operation, go_on) as stall:
                trial.app.activities[name](payload)
            if not stall.stalled:
                break
            if is_small_post(stall):
                continue
            stalled += 1
            state = trial.output()["state"]
            assert state == "attached" or (cancel and state == "cancelled"), (name, operation)
            assert trial.attached == (state == "attached"), (name, operation)
            assert not trial.open_sessions(), (name, operation)
    assert stalled > 10


def test_a_message_that_is_sent_while_a_delivery_stalls_is_reported_as_it_is() -> None:
    """The second delivery has sent the last range before; the first one finds no draft any more."""
    seen = set[str]()
    for operation in range(20):
        trial = Trial.of("large")
        while not (work := trial.engine.next_work)[1].get("offset", 0) >= 2 * RANGE_BYTES:
            trial.engine.advance()
        name, payload = work

        def go_on(trial: Trial = trial, name: str = name, payload: Any = payload) -> None:
            trial.app.clock.advance(LOCK_LEASE.total_seconds() + 1)
            trial.app.activities[name](payload)
            trial.app.service.tenant.mailboxes.find(MAILBOX).items[trial.item].is_draft = False

        taken = trial.engine.take_work()
        with Stall(operation, go_on) as stall:
            result = trial.app.activities[taken.name](taken.payload)
        trial.engine.complete(taken, result)
        trial.app.finish_in_time()
        seen.add(stall.stalled.partition("?")[2])
        state = trial.output()["state"]
        assert (state, trial.attached) in {("attached", 1), ("failed", 0)}, stall.stalled
        if not stall.stalled:
            break
    assert "$select=isDraft" in seen
