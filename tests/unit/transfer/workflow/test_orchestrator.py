"""The orchestrator over the real engine and the real locks, with activities of the test's own."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.settings import Settings
from shared.transfer.activity_payloads import CancelUploadSession, Inspection, Job
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import TransferRequest, TransferStatus
from shared.transfer.workflow.locks import WAKE
from shared.transfer.workflow.mailbox_budget import lock_entities
from shared.transfer.workflow.orchestrator import CANCEL, attach_blob, predecessor_done
from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.script import REQUEST, Script
from tests.support.engine.virtual_engine import VERSION, VirtualEngine
from tests.support.jobs import BUSY, STORE_AWAY, job, result

HOURS = 3600.0
# When the orchestration begins.
RUN = "2026-11-22T10:00:00.000000+00:00"


def start(
    script: Script, request: TransferRequest = REQUEST, version: str = VERSION
) -> VirtualEngine:
    clock = VirtualClock()
    entities = VirtualEntities(lock_entities(Settings.model_validate({}), clock))
    parts = (request.to_json(), script.activities, entities)
    return VirtualEngine(clock, attach_blob, "f-1", *parts, version=version)


def end(engine: VirtualEngine) -> TransferStatus:
    """The output."""
    return TransferStatus.from_json(engine.run())


def states(engine: VirtualEngine) -> list[str]:
    """The states that the custom status went through."""
    found = [str(each["state"]) for each in engine.statuses]
    return [state for n, state in enumerate(found) if n == 0 or state != found[n - 1]]


def test_a_small_file_is_inspected_attached_and_recorded() -> None:
    """The custom status shows each part; the output is the last one."""
    script = Script()
    engine = start(script)
    status = end(engine)
    assert script.names == ["inspect_blob", "attach_small_file", "record_attachment"]
    inspect = {"transferId": "f-1", "request": REQUEST.to_json(), "run": RUN}
    assert script.of("inspect_blob") == [inspect]
    assert states(engine) == ["queued", "uploading", "recording", "attached"]
    assert status == REQUEST.status.model_copy(
        update={"state": "attached", "size": 5, "bytes_sent": 5, "attachment_id": "A"}
    )
    assert engine.statuses[-1] == status.to_json()
    assert script.record == RecordAttachment(
        transfer_id="f-1", run=RUN, content=None, status=status, record="attached"
    )


def test_the_custom_status_counts_the_bytes() -> None:
    """After each activity, the bytes that Outlook has."""
    ranges = [result("progress", offset=n, sent=n) for n in (1_000, 2_000)]
    script = Script(
        inspect_blob=[Inspection(job=job(3_000_500))],
        upload_ranges=[*ranges, result("attached", attachment_id="A")],
    )
    engine = start(script)
    end(engine)
    sent = [each["bytesSent"] for each in engine.statuses if each["state"] == "uploading"]
    assert list(dict.fromkeys(sent)) == [0, 1_000, 2_000]


@pytest.mark.parametrize(("seconds", "shown"), [(4.9, False), (5.0, True)])
def test_a_long_retry_after_is_shown(seconds: float, *, shown: bool) -> None:
    """A pause of a few seconds is not worth a change of the status."""
    script = Script(
        attach_small_file=[
            result("retry", retry_after=seconds, failure=BUSY),
            result("attached", attachment_id="A"),
        ]
    )
    engine = start(script)
    assert end(engine).state == "attached"
    assert ("waiting" in states(engine)) is shown
    assert engine.waits[0] >= seconds


def test_a_transfer_that_waits_for_its_lock_says_so() -> None:
    """Until it is woken; the next activity knows how long that took."""
    script = Script(
        attach_small_file=[
            result("locked", retry_after=60.0),
            result("locked", retry_after=60.0),
            result("attached", attachment_id="A"),
        ]
    )
    engine = start(script)
    for _ in range(2):
        engine.advance()
    assert (engine.next_activity, states(engine)[-1]) == (None, "waiting")
    engine.advance()
    engine.advance()
    engine.clock.advance(15)
    engine.raise_event(WAKE)
    assert states(engine)[-1] == "waiting"
    assert end(engine).state == "attached"
    waited = [Job.from_json(each).waited_seconds for each in script.of("attach_small_file")]
    assert waited == [0.0, 60.0, 75.0]


def test_a_transfer_of_1_0_that_waits_for_its_locks_says_so() -> None:
    """Another one holds the item, and does not know of this one, which polls soon."""
    clock = VirtualClock()
    entities = VirtualEntities(lock_entities(Settings.model_validate({}), clock))
    engines: dict[str, VirtualEngine] = {}
    for id_ in ("first", "second"):
        parts = (REQUEST.to_json(), Script().activities, entities, engines)
        engines[id_] = VirtualEngine(clock, attach_blob, id_, *parts, version="1.0")
        engines[id_].advance()
    assert engines["first"].next_activity == "attach_small_file"
    second = engines["second"]
    assert (second.next_activity, states(second)[-1]) == (None, "waiting")
    engines["first"].run()
    second.advance()
    assert (second.next_activity, states(second)[-1]) == ("attach_small_file", "uploading")
    assert second.waits == [5.0]


def test_an_outage_of_storage_is_waited_for_at_both_ends() -> None:
    """With a growing backoff before and after the file is attached."""
    script = Script(
        inspect_blob=[*[Inspection(unavailable=STORE_AWAY)] * 3, Inspection(job=job(5))],
        record_attachment=[*[result("retry", failure=STORE_AWAY)] * 3, result("recorded")],
    )
    engine = start(script)
    assert end(engine).state == "attached"
    assert [script.names.count(name) for name in ("inspect_blob", "record_attachment")] == [4, 4]
    for waits in (engine.waits[:3], engine.waits[3:]):
        assert [round(wait / 2**n) for n, wait in enumerate(waits)] == [1, 1, 1]


def test_an_outage_at_the_inspection_ends_after_hours() -> None:
    """As failed, by the reason of the outage, and recorded if that is possible again."""
    script = Script(inspect_blob=[Inspection(unavailable=STORE_AWAY)])
    engine = start(script)
    status = end(engine)
    assert (status.state, status.error) == ("failed", STORE_AWAY)
    assert script.record.record == "failed"
    assert sum(engine.waits) == pytest.approx(4 * HOURS)
    assert set(script.names) == {"inspect_blob", "record_attachment"}


def test_an_outage_at_the_record_ends_after_hours() -> None:
    """What is attached stays so."""
    script = Script(record_attachment=[result("retry", failure=STORE_AWAY)])
    engine = start(script)
    assert end(engine).state == "attached"
    assert sum(engine.waits) == pytest.approx(4 * HOURS)


def test_a_transfer_can_be_cancelled_during_an_outage() -> None:
    """At once, without an error."""
    script = Script(inspect_blob=[Inspection(unavailable=STORE_AWAY)])
    engine = start(script)
    for _ in range(5):
        engine.advance()
    now = engine.clock.now
    engine.raise_event(CANCEL)
    status = end(engine)
    assert (status.state, status.error) == ("cancelled", None)
    assert script.record.record == "cancelled"
    assert engine.clock.now == now


def test_a_cancellation_does_not_hasten_the_record() -> None:
    """The pauses of the record keep their lengths."""
    script = Script(
        record_attachment=[*[result("retry", failure=STORE_AWAY)] * 3, result("recorded")],
    )
    engine = start(script)
    engine.run_until("record_attachment")
    engine.raise_event(CANCEL)
    assert end(engine).state == "attached"
    assert sum(engine.waits) > 5


@pytest.mark.parametrize("record", ["unaddressed", None])
def test_an_inspection_can_end_the_transfer(record: Any) -> None:
    """Nothing is sent, and its status becomes the transfer's."""
    ended = REQUEST.status.model_copy(update={"state": "failed", "error": STORE_AWAY})
    script = Script(inspect_blob=[Inspection(ended=ended, record=record)])
    assert end(start(script)) == ended
    expected = ["inspect_blob"] + ["record_attachment"] * (record is not None)
    assert script.names == expected


def test_a_superseded_transfer_has_no_record() -> None:
    """The blob's new content has a transfer of its own. The notes are deleted."""
    script = Script(attach_small_file=[result("superseded", failure=STORE_AWAY)])
    assert end(start(script)).state == "superseded"
    assert script.names == ["inspect_blob", "attach_small_file", "cancel_upload_session"]


@pytest.mark.parametrize(
    ("announced", "names"), [(True, ["announce_end"]), (False, [])], ids=["topic", "no topic"]
)
def test_a_recorded_end_is_announced(names: list[str], *, announced: bool) -> None:
    """By an activity with the same input as the record's."""
    script = Script()
    end(start(script, REQUEST.model_copy(update={"announced": announced})))
    assert script.names[3:] == names
    assert [payload for _, payload in script.inputs[3:]] == [script.inputs[2][1]] * len(names)


def test_an_end_without_record_is_not_announced() -> None:
    """Superseded, for example."""
    script = Script(attach_small_file=[result("superseded", failure=STORE_AWAY)])
    end(start(script, REQUEST.model_copy(update={"announced": True})))
    assert "announce_end" not in script.names


def test_an_announcement_that_fails_changes_nothing() -> None:
    """The transfer has ended well."""
    script = Script(announce_end=[RuntimeError("no topic")])
    engine = start(script, REQUEST.model_copy(update={"announced": True}))
    assert end(engine).state == "attached"


FOLLOWS = REQUEST.model_copy(update={"follows": "f-0", "next": ("f-2", "f-3")})


def sent(engine: VirtualEngine) -> list[tuple[str, str]]:
    """The external events that it sent."""
    events = [each.eventSent for each in engine.history if each.HasField("eventSent")]
    return [(each.instanceId, each.name) for each in events]


def test_a_follower_begins_when_its_predecessor_is_done() -> None:
    """And its own followers when it is done."""
    script = Script()
    engine = start(script, FOLLOWS)
    due = [engine.next_activity]
    engine.raise_event(predecessor_done("f-0"))
    assert [*due, engine.next_activity] == [None, "inspect_blob"]
    assert end(engine).state == "attached"
    assert sent(engine) == [(id_, predecessor_done("f-1")) for id_ in ("f-2", "f-3")]
    assert sum(engine.waits) == 0


def test_a_follower_begins_after_a_day_at_the_latest() -> None:
    """Its predecessor may be lost."""
    engine = start(Script(), FOLLOWS)
    for _ in range(24):
        assert engine.next_activity is None
        engine.advance()
    assert sum(engine.waits) == 24 * HOURS
    assert engine.next_activity == "inspect_blob"


def test_a_cancelled_follower_releases_its_own_followers_in_their_order() -> None:
    """It ends at once, but they must not overtake its predecessor."""
    cancelled = REQUEST.status.model_copy(update={"state": "cancelled"})
    script = Script(inspect_blob=[Inspection(ended=cancelled)])
    engine = start(script, FOLLOWS)
    engine.raise_event(CANCEL)
    engine.advance()
    assert script.names == ["inspect_blob"]
    assert (states(engine)[-1], sent(engine), engine.is_over) == ("cancelled", [], False)
    engine.raise_event(predecessor_done("f-0"))
    assert (len(sent(engine)), engine.is_over) == (2, True)


def is_held(engine: VirtualEngine) -> bool:
    """Whether an entity holds or queues the transfer."""
    return engine.instance_id in str(engine.entities.states)


def failing(script: Script, request: TransferRequest = REQUEST) -> VirtualEngine:
    """Run a transfer that ends by a bug."""
    engine = start(script, request)
    while not engine.is_over:
        engine.advance()
    assert engine.failed is not None
    assert "it broke" in engine.failed
    return engine


def test_a_bug_ends_with_an_error_and_a_cleanup() -> None:
    """The status says so, the locks are released, the notes deleted, the followers released."""
    script = Script(inspect_blob=[Inspection(job=job())], upload_ranges=[RuntimeError("it broke")])
    request = REQUEST.model_copy(update={"next": ("f-2",), "announced": True})
    engine = failing(script, request)
    assert script.names[3:] == ["cancel_upload_session", "record_attachment", "announce_end"]
    (deletion,) = [CancelUploadSession.from_json(x) for x in script.of("cancel_upload_session")]
    assert deletion == CancelUploadSession(
        transfer_id="f-1",
        job=deletion.job,
        delete_notes=True,
        must_wait=False,
        best_effort=True,
    )
    error = script.record.status.error
    assert error is not None
    assert (script.record.record, error.code) == ("failed", "InternalError")
    assert "f-1" in error.message
    assert sent(engine) == [("f-2", predecessor_done("f-1"))]
    assert not is_held(engine)


def test_a_bug_during_a_retry_after_calls_outlook_no_more() -> None:
    """The session expires by itself, and the end that was reached is recorded."""
    script = Script(
        attach_small_file=[result("failed", failure=BUSY, retry_after=300.0)],
        cancel_upload_session=[RuntimeError("it broke"), result("progress")],
    )
    failing(script)
    assert deletions(script) == [(True, False), (True, True)]
    assert script.record.status.error == BUSY


def test_a_bug_after_the_end_keeps_the_end() -> None:
    """The record breaks once: the file is attached, and the record says so in the end."""
    script = Script(record_attachment=[RuntimeError("it broke"), result("recorded")])
    failing(script)
    assert script.names[1:] == ["attach_small_file", "record_attachment", "record_attachment"]
    assert script.record.record == "attached"
    assert script.record.status.attachment_id == "A"


def test_a_cleanup_that_breaks_does_not_stop_the_others() -> None:
    """The record is written although the notes cannot be deleted."""
    script = Script(
        attach_small_file=[RuntimeError("it broke")],
        cancel_upload_session=[RuntimeError("this, too")],
    )
    failing(script)
    assert script.names[2:] == ["cancel_upload_session", "record_attachment"]
    assert script.record.record == "failed"


def deletions(script: Script) -> list[tuple[bool, bool]]:
    """Of the deletions at the end: whether Outlook was left alone, and whether it was the last."""
    works = [CancelUploadSession.from_json(each) for each in script.of("cancel_upload_session")]
    assert all(each.delete_notes for each in works)
    return [(each.must_wait, each.best_effort) for each in works]


def test_the_notes_are_deleted_after_a_failure_in_four_tries() -> None:
    """With a growing backoff; the last one does not depend on Outlook."""
    script = Script(
        attach_small_file=[result("failed", failure=BUSY)],
        cancel_upload_session=[result("retry", failure=STORE_AWAY)],
    )
    engine = start(script)
    assert end(engine).error == BUSY
    assert deletions(script) == [(False, False)] * 3 + [(False, True)]
    assert [round(wait / 2 ** (n + 1)) for n, wait in enumerate(engine.waits)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(300.0, [(True, False), (False, False)]), (900.0, [(True, True)])],
)
def test_the_deletion_keeps_a_retry_after(
    seconds: float, expected: list[tuple[bool, bool]]
) -> None:
    """Without a call to Outlook at first; one that is too long leaves the session to expire."""
    script = Script(
        attach_small_file=[result("failed", failure=BUSY, retry_after=seconds)],
        cancel_upload_session=[result("retry"), result("progress")],
    )
    engine = start(script)
    assert end(engine).state == "failed"
    assert deletions(script) == expected
    assert sum(engine.waits) == (seconds if seconds < 600 else 0)


def test_no_call_is_made_before_a_retry_after_is_over() -> None:
    """A cancellation ends the pause, but the search for what may be attached waits."""
    script = Script(
        attach_small_file=[result("reconcile", retry_after=60.0, failure=BUSY)],
        find_attachment=[result("not_attached")],
    )
    engine = start(script)
    engine.run_until("attach_small_file")
    engine.raise_event(CANCEL)
    began = engine.clock.now
    engine.run_until("find_attachment")
    assert engine.clock.now - began >= timedelta(seconds=60)
    assert end(engine).state == "cancelled"


def test_the_locks_are_released_during_a_pause_and_at_the_end() -> None:
    """Others use the mailbox meanwhile."""
    script = Script(
        attach_small_file=[result("retry", failure=BUSY), result("attached", attachment_id="A")]
    )
    engine = start(script, version="1.0")
    engine.advance()
    assert is_held(engine)
    engine.advance()
    assert not is_held(engine)
    engine.advance()
    assert is_held(engine)
    engine.advance()
    assert (engine.next_activity, is_held(engine)) == ("record_attachment", False)


def test_the_deletion_waits_for_its_lock() -> None:
    """As long as the mailbox is busy; that is no try of it."""
    script = Script(
        attach_small_file=[result("failed", failure=BUSY)],
        cancel_upload_session=[*[result("locked", retry_after=60.0)] * 5, result("progress")],
    )
    engine = start(script)
    assert end(engine).state == "failed"
    assert deletions(script) == [(False, False)] * 6


def test_a_deletion_that_gets_no_lock_closes_the_row_in_the_end() -> None:
    """After ten minutes; the session expires."""
    script = Script(
        attach_small_file=[result("failed", failure=BUSY)],
        cancel_upload_session=[*[result("locked", retry_after=60.0)] * 10, result("progress")],
    )
    engine = start(script)
    assert end(engine).state == "failed"
    assert deletions(script) == [(False, False)] * 10 + [(True, True)]


def test_the_deletion_of_1_0_waits_for_its_locks() -> None:
    """An older transfer is at the item; Outlook is called when it has ended."""
    clock = VirtualClock()
    entities = VirtualEntities(lock_entities(Settings.model_validate({}), clock))
    engines: dict[str, VirtualEngine] = {}
    scripts = {
        "old": Script(
            attach_small_file=[
                result("retry", failure=BUSY),
                result("attached", attachment_id="A"),
            ]
        ),
        "young": Script(
            attach_small_file=[result("failed", failure=BUSY)],
            cancel_upload_session=[result("retry"), result("progress")],
        ),
    }
    for id_, script in scripts.items():
        parts = (REQUEST.to_json(), script.activities, entities, engines)
        engines[id_] = VirtualEngine(clock, attach_blob, id_, *parts, version="1.0")
        engines[id_].advance()
        if id_ == "old":
            engines[id_].advance()
            clock.advance(0.5)
    old, young = engines["old"], engines["young"]
    assert young.next_activity == "attach_small_file"
    old.advance()
    assert states(old)[-1] == "waiting"
    for _ in range(2):
        young.advance()
    assert deletions(scripts["young"]) == [(True, False)]
    old.run()
    assert end(young).error == BUSY
    assert deletions(scripts["young"]) == [(True, False), (False, False)]


def test_the_bytes_are_shown_during_a_retry_after() -> None:
    """Those that Outlook has when it begins."""
    script = Script(
        inspect_blob=[Inspection(job=job())],
        upload_ranges=[
            result("progress", offset=1_000),
            result("retry", offset=2_000, retry_after=30.0),
            result("attached", attachment_id="A"),
        ],
    )
    engine = start(script)
    end(engine)
    waiting = [each["bytesSent"] for each in engine.statuses if each["state"] == "waiting"]
    assert set(waiting) == {2_000}


def test_the_bytes_are_shown_while_a_transfer_waits_for_its_locks() -> None:
    """An older transfer takes the lock between two of its activities."""
    clock = VirtualClock()
    entities = VirtualEntities(lock_entities(Settings.model_validate({}), clock))
    engines: dict[str, VirtualEngine] = {}
    old = Script(
        attach_small_file=[
            result("retry", failure=BUSY),
            result("attached", attachment_id="A"),
        ]
    )
    young = Script(
        inspect_blob=[Inspection(job=job())],
        upload_ranges=[result("progress", offset=1_000), result("attached", attachment_id="A")],
    )
    for id_, script in (("old", old), ("young", young)):
        parts = (REQUEST.to_json(), script.activities, entities, engines)
        engines[id_] = VirtualEngine(clock, attach_blob, id_, *parts, version="1.0")
        engines[id_].advance()
        if id_ == "old":
            engines[id_].advance()
            clock.advance(0.5)
    engine = engines["young"]
    engine.advance()
    engines["old"].advance()
    assert states(engines["old"])[-1] == "waiting"
    engine.advance()
    assert (engine.statuses[-1]["state"], engine.statuses[-1]["bytesSent"]) == ("waiting", 1_000)
    clock.advance(2)
    engines["old"].run()
    end(engine)
    waits = [each["job"]["waitedSeconds"] for each in young.of("upload_ranges")]
    assert waits[0] == 0
    assert waits[1] >= 2


def test_the_mailbox_learns_how_many_bytes_were_sent() -> None:
    """Of ranges, those that went out; of a small file, all of it."""
    script = Script(
        inspect_blob=[Inspection(job=job())],
        upload_ranges=[result("progress", offset=400, sent=400), result("failed", failure=BUSY)],
    )
    engine = start(script, version="1.0")
    engine.run_until("upload_ranges")
    state = next(s for name, s in engine.entities.states.items() if "mailbox" in name)
    assert [each["size"] for each in json.loads(state)["spent"]] == [400]


def test_a_cancellation_during_an_activity_is_noticed_at_its_end() -> None:
    """Without the pause that the activity's result needs."""
    script = Script(
        inspect_blob=[Inspection(job=job())],
        upload_ranges=[result("retry", offset=1_000, retry_after=900.0)],
    )
    engine = start(script)
    while engine.next_activity != "upload_ranges":
        engine.advance()
    engine.raise_event(CANCEL)
    engine.advance()
    assert states(engine)[-1] == "uploading"
    status = end(engine)
    assert (status.state, status.bytes_sent) == ("cancelled", 1_000)
