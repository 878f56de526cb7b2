"""Sequences of events that each showed a bug once: the file is attached once and reported so.

Most have an event between two deliveries of the same activity, or twice in a row.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from infra.local.outlook import Fault, alterations, catalogue
from infra.local.outlook.faults.schedule import Misbehaviour
from shared.outlook.graph_client import ListedAttachment
from shared.storage.ledger import TABLE, Ledger
from shared.transfer.activities.mailbox_locks import TABLE as LOCKS
from shared.transfer.payloads import TransferStatus
from shared.transfer.retry_policy import CLEANUP_PATIENCE
from shared.transfer.service.attachments import Attachments
from shared.transfer.workflow.orchestrator import CANCEL
from tests.support.engine.virtual_engine import Activity, VirtualEngine
from tests.support.faults.retry_after import early_requests
from tests.support.in_memory.app import SMALL_RULES, InMemoryApp
from tests.support.virtual_app import MAILBOX

R = 4_000
SMALL, LARGE = 100, 2 * R + 1
FAR = "Fri, 31 Dec 9999 23:59:59 GMT"


@dataclass
class Case:
    """One transfer of one blob to one item, advanced step by step."""

    app: InMemoryApp
    item: str
    engine: VirtualEngine

    def run_to(self, activity: str) -> None:
        """Advance until that activity is scheduled."""
        while self.engine.next_activity != activity:
            self.engine.advance()

    def deliver_twice(
        self, activity: str, between: Callable[[], object], *, number: int = 1
    ) -> None:
        """Deliver that run of an activity, the first by default, twice, with a call between."""
        runs = 0

        def wrap(run: Activity) -> Activity:
            def twice(payload: dict[str, Any]) -> dict[str, Any]:
                nonlocal runs
                runs += 1
                if runs == number:
                    run(payload)
                    between()
                return run(payload)

            return twice

        self.app.wrap(activity, wrap)

    @property
    def attached(self) -> int:
        """How many attachments the item has."""
        return len(self.app.attachments(self.item))

    @property
    def metadata(self) -> dict[str, str]:
        """The blob's metadata."""
        return dict(self.app.blobs.blob("a").metadata)

    @property
    def output(self) -> dict[str, Any]:
        """The transfer's output; without one the instance failed, which is a bug."""
        assert self.engine.failed is None, self.engine.failed
        assert self.engine.output is not None
        return self.engine.output

    @property
    def code(self) -> str:
        """The code of the error that it ended with."""
        return str(self.output["error"]["code"])


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def md5_of(size: int) -> bytes:
    return hashlib.md5(content_of(size), usedforsecurity=False).digest()


def case(size: int, *, md5: bool = False, skew: float = 0.0, **settings: Any) -> Case:
    rules = settings.pop("rules", SMALL_RULES)
    values = {"range_bytes": R, "ranges_per_activity": 4} | settings
    app = InMemoryApp(rules=rules, skew=timedelta(minutes=skew), **values)
    item = app.add_message()
    address = {"mailbox": MAILBOX, "messageid": item}
    app.blobs.put("a", content_of(size), md5_of(size) if md5 else None, address)
    return Case(app, item, app.engines[app.deliver("a")])


@contextmanager
def unavailable(owner: object, method: str) -> Iterator[None]:
    """A storage call that fails with 503 meanwhile."""

    def busy(*_: object, **__: object) -> None:
        error = HttpResponseError("busy")
        error.status_code, error.error_code = 503, "ServerBusy"  # type: ignore[attr-defined]  # as storage adds it
        raise error

    setattr(owner, method, busy)
    try:
        yield
    finally:
        delattr(owner, method)


def test_metadata_written_between_two_deliveries_attaches_once() -> None:
    """The worker is killed after the 201, and no MD5 proves that the blob is the same."""
    tried = case(LARGE)
    tried.deliver_twice("upload_ranges", lambda: tried.app.blobs.annotate("a", seen="yes"))
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_a_delivery_that_is_presumed_dead_and_still_sends_attaches_once() -> None:
    """A range of the second is accepted, then the first sends the last range and is killed."""
    tried = case(3 * R, rules=replace(SMALL_RULES, repeated_range="200"))
    real_put, runs = tried.app.graph.put_range, {"puts": 0}

    def wrap(run: Activity) -> Activity:
        def upload(payload: dict[str, Any]) -> dict[str, Any]:
            def put(*arguments: Any) -> Any:
                runs["puts"] += 1
                response = real_put(*arguments)
                if runs["puts"] == 1:
                    run(payload)
                return response

            tried.app.graph.put_range = put  # type: ignore[method-assign, assignment]
            return run(payload)

        return upload

    tried.app.wrap("upload_ranges", wrap)
    tried.app.finish()
    assert runs["puts"] >= 4
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_cancelled_after_a_second_delivery_was_throttled_reports_the_attachment() -> None:
    """The first delivery attached the file."""
    tried = case(LARGE)
    throttled = Fault(misbehaviour=catalogue.throttled("2"), kind="range", occurrence=3)
    tried.deliver_twice("upload_ranges", lambda: tried.app.service.faults.add(throttled))
    tried.run_to("upload_ranges")
    tried.engine.advance()
    tried.engine.raise_event(CANCEL)
    tried.app.finish()
    assert not tried.app.service.faults.unfired
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_cancelled_after_a_second_delivery_got_no_lock_reports_the_attachment() -> None:
    """The first delivery attached the file; the second cannot read the mailbox's row."""
    tried = case(3 * R, ranges_per_activity=1)
    outage = ExitStack()
    locks = tried.app.memory_tables.get_table_client(LOCKS)
    tried.deliver_twice(
        "upload_ranges",
        lambda: outage.enter_context(unavailable(locks, "get_entity")),
        number=3,
    )
    while tried.engine.performed.count("upload_ranges") != 3:
        tried.engine.advance()
    outage.close()
    assert tried.attached == 1
    tried.engine.raise_event(CANCEL)
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_a_transfer_without_a_lock_keeps_its_place_in_the_file() -> None:
    """The mailbox's row cannot be read for a moment: no range is sent again."""
    tried = case(3 * R, ranges_per_activity=1)
    tried.run_to("upload_ranges")
    tried.engine.advance()
    assert tried.engine.next_activity == "upload_ranges"
    with unavailable(tried.app.memory_tables.get_table_client(LOCKS), "get_entity"):
        tried.engine.advance()
    tried.app.finish()
    puts = [each for each in tried.app.service.recorder.requests if each.method == "PUT"]
    assert len(puts) == 3
    assert tried.attached == 1


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_post_whose_second_delivery_had_no_notes_is_reported(how: str) -> None:
    """Its notes could not be read; then it is cancelled, or its deadline is over."""
    tried = case(SMALL, transfer_deadline_minutes=1)
    tried.run_to("attach_small_file")
    run = tried.app.activities["attach_small_file"]

    def twice(payload: dict[str, Any]) -> dict[str, Any]:
        run(payload)
        with unavailable(tried.app.memory_tables.get_table_client(TABLE), "get_entity"):
            result: dict[str, Any] = run(payload)
            return result

    tried.app.activities["attach_small_file"] = twice
    tried.engine.advance()
    if how == "cancelled":
        tried.engine.raise_event(CANCEL)
    else:
        tried.app.clock.advance(120)
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_a_post_that_was_never_sent_is_cancelled() -> None:
    """The store was unavailable at the only delivery: without notes nothing was sent."""
    tried = case(SMALL)
    tried.run_to("attach_small_file")
    with unavailable(tried.app.memory_tables.get_table_client(TABLE), "get_entity"):
        tried.engine.advance()
    tried.engine.raise_event(CANCEL)
    tried.app.finish()
    assert tried.attached == 0
    assert tried.output["state"] == "cancelled"


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("times", [2, 3])
def test_metadata_written_several_times_in_a_row_does_no_harm(size: int, times: int) -> None:
    """Each read of the blob's properties finds another ETag."""
    tried = case(size, md5=True)
    tried.run_to("attach_small_file" if size == SMALL else "create_upload_session")
    if size == LARGE:
        tried.engine.advance()
    tried.app.blobs.annotate("a", seen="0")
    real, looks = tried.app.source.look, iter(range(1, times))

    def look(name: str) -> Any:
        seen = real(name)
        for number in looks:
            tried.app.blobs.annotate("a", seen=str(number))
            break
        return seen

    tried.app.source.look = look  # type: ignore[method-assign]
    tried.app.finish()
    assert next(looks, None) is None
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_bytes_sent_before_the_blob_was_overwritten_count() -> None:
    """The mailbox received them, so they count in its budget."""
    tried = case(10 * R, ranges_per_activity=8)
    tried.run_to("upload_ranges")
    real_put = tried.app.graph.put_range
    puts: list[int] = []
    results: list[dict[str, Any]] = []

    def put(*arguments: Any) -> Any:
        puts.append(len(arguments[-1]))
        if len(puts) == 3:
            tried.app.clock.advance(2)
            address = {"mailbox": MAILBOX, "messageid": tried.item}
            tried.app.blobs.put("a", bytes(10 * R), None, address)
        return real_put(*arguments)

    def wrap(run: Activity) -> Activity:
        def upload(payload: dict[str, Any]) -> dict[str, Any]:
            results.append(run(payload))
            return results[-1]

        return upload

    tried.app.graph.put_range = put  # type: ignore[method-assign, assignment]
    tried.app.wrap("upload_ranges", wrap)
    tried.app.finish()
    assert tried.output["state"] == "superseded"
    assert results[0]["outcome"] == "superseded"
    assert results[0]["sent"] == sum(puts) > 0


def test_a_failed_cleanup_does_not_hide_the_refusal() -> None:
    """The blob is deleted and the session store unavailable when the refusal is recorded."""
    tried = case(LARGE)
    tried.app.service.faults.add(
        Fault(misbehaviour=catalogue.too_large(413), kind="range", times=None)
    )
    tried.run_to("record_attachment")
    tried.app.blobs.delete_blob("a")
    with unavailable(tried.app.notes, "delete_blob"):
        tried.engine.advance()
    tried.app.finish()
    assert tried.code == "MailboxLimitExceeded"
    assert not tried.app.notes.names()


def test_overwritten_within_the_second_before_its_record_leaves_no_notes() -> None:
    """Other bytes of the same size, without MD5, after the last range: no notes remain."""
    tried = case(LARGE, md5=True)
    tried.run_to("record_attachment")
    address = {"mailbox": MAILBOX, "messageid": tried.item}
    tried.app.blobs.put("a", bytes(LARGE), None, address)
    tried.app.finish()
    assert tried.output["state"] == "attached"
    assert not tried.app.notes.names()
    tried.app.deliver("a")
    tried.app.finish()
    held = [each.content for each in tried.app.attachments(tried.item)]
    assert held == [content_of(LARGE), bytes(LARGE)]


def test_a_lock_that_cannot_be_released_does_not_change_the_outcome() -> None:
    """Another transfer waits until the lock expires: both are attached."""
    tried = case(LARGE, ranges_per_activity=1)
    tried.run_to("upload_ranges")
    table = tried.app.memory_tables.get_table_client(LOCKS)
    real, writes = table.update_entity, 0

    def update(*row: Any, **options: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == 2:
            # The first acquires the lock.
            raise HttpResponseError("busy")
        return real(*row, **options)

    table.update_entity = update  # type: ignore[method-assign]
    tried.engine.advance()
    assert writes == 2
    tried.app.blobs.put("b", b"other", None, {"mailbox": MAILBOX, "messageid": tried.item})
    other = tried.app.engines[tried.app.deliver("b")]
    for _ in range(2):
        other.advance()
    assert other.statuses[-1]["state"] == "waiting"
    tried.app.finish()
    assert tried.metadata["attachmentstatus"] == "attached"
    assert tried.attached == 2


def test_a_transfer_that_waits_for_its_lock_ends_at_its_deadline() -> None:
    """Another transfer to the same mailbox got a Retry-After of ten hours."""
    tried = case(12 * R, ranges_per_activity=1)
    tried.run_to("upload_ranges")
    tried.engine.advance()
    began = tried.app.clock.now
    tried.app.clock.advance(1)
    address = {"mailbox": MAILBOX, "messageid": tried.app.add_message()}
    tried.app.blobs.put("b", bytes(100), None, address)
    other = tried.app.engines[tried.app.deliver("b")]
    while other.next_activity != "attach_small_file":
        other.advance()
    ten_hours = Fault(misbehaviour=catalogue.throttled("36000"), kind="list", occurrence=3)
    tried.app.service.faults.add(ten_hours)
    other.advance()
    assert not tried.app.service.faults.unfired
    while not tried.engine.is_over:
        tried.engine.advance()
    # Its session is deleted if the mailbox allows that in time.
    limit = timedelta(minutes=tried.app.settings.transfer_deadline_minutes + 1) + CLEANUP_PATIENCE
    assert tried.app.clock.now - began <= limit
    assert tried.code == "DeadlineExceeded"


@pytest.mark.parametrize("skew", [0, -5])
def test_an_absurd_retry_after_does_not_block_a_mailbox_for_years(skew: float) -> None:
    """A date in the year 9999: the transfer ends, and the next one gets its lock after a day."""
    tried = case(LARGE, skew=skew, ranges_per_activity=1)
    tried.app.service.faults.add(Fault(misbehaviour=catalogue.throttled(FAR), kind="range"))
    tried.app.finish()
    assert tried.code == "DeadlineExceeded"
    tried.app.clock.advance(90_000)
    address = {"mailbox": MAILBOX, "messageid": tried.item}
    tried.app.blobs.put("b", bytes(100), None, address)
    other = tried.app.deliver("b")
    tried.app.finish()
    assert tried.app.engines[other].output is not None
    assert tried.attached == 1


def test_a_removed_attachment_is_not_taken_for_the_transfers_own() -> None:
    """In the last listing another client's file appears, and is removed before it is read."""
    tried = case(LARGE)
    tried.app.service.faults.add(Fault(misbehaviour=catalogue.reset_mid_body(), kind="last_range"))
    tried.run_to("cancel_upload_session")
    real = tried.app.graph.list_attachments
    last: list[bool] = []

    def wrap(run: Activity) -> Activity:
        def find(payload: dict[str, Any]) -> dict[str, Any]:
            last.append(bool(payload.get("finally_")))
            return run(payload)

        return find

    def listed(*arguments: Any, **keywords: Any) -> Any:
        response, found = real(*arguments, **keywords)
        if last and last[-1]:
            found = [*found, ListedAttachment("AAkAGone=", "a", LARGE)]
        return response, found

    tried.app.wrap("find_attachment", wrap)
    tried.app.graph.list_attachments = listed  # type: ignore[method-assign]
    tried.app.finish()
    assert any(last)
    assert tried.output.get("attachmentId") != "AAkAGone="


@pytest.mark.parametrize(
    ("size", "steps"), [(SMALL, 1), *((3 * R, steps) for steps in range(1, 5))]
)
def test_a_draft_deleted_midway_ends_with_item_not_found(size: int, steps: int) -> None:
    """Every later call gets 404: the transfer ends well before its deadline."""
    tried = case(size, ranges_per_activity=1)
    for _ in range(steps):
        tried.engine.advance()
    began = tried.app.clock.now
    with tried.app.service.lock:
        del tried.app.service.tenant.mailboxes.find(MAILBOX).items[tried.item]
    tried.app.finish()
    assert tried.code == "ItemNotFound"
    assert tried.metadata["attachmentstatus"] == "failed"
    assert not tried.app.notes.names()
    assert tried.app.clock.now - began < timedelta(minutes=10)


@pytest.mark.parametrize("kind", ["range", "create"])
def test_no_request_is_early_after_a_refusal_with_retry_after(kind: str) -> None:
    """A 404 of the session, or the deletion of a session without notes, has Retry-After."""
    tried = case(LARGE)
    if kind == "range":
        refusal = catalogue.refused(404, "ErrorItemNotFound", headers={"Retry-After": "30"})
        tried.app.service.faults.add(Fault(misbehaviour=refusal, kind="range"))
    else:
        tried.run_to("create_upload_session")
        throttled = Fault(misbehaviour=catalogue.throttled("2"), kind="cancel")
        tried.app.service.faults.add(throttled)
        with unavailable(tried.app.memory_tables.get_table_client(TABLE), "update_entity"):
            tried.engine.advance()
    tried.app.finish()
    assert not tried.app.service.faults.unfired
    assert not early_requests(tried.app.service.recorder.requests)
    assert tried.attached == 1


def test_a_malformed_listing_is_requested_again() -> None:
    """Entries that are no attachments make the response unusable."""
    tried = case(SMALL)
    odd = Misbehaviour(
        name="odd entries",
        kinds=frozenset({"list"}),
        alteration=alterations.json_changed(lambda body: body | {"value": [None, 3]}),
    )
    tried.app.service.faults.add(Fault(misbehaviour=odd, kind="list"))
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("step", ["inspect_blob", "upload", "record_attachment"])
@pytest.mark.parametrize("had", [True, False], ids=["cleared", "set"])
def test_a_blob_whose_md5_is_set_or_cleared_is_neither_lost_silently_nor_doubled(
    size: int, step: str, had: bool
) -> None:
    """Properties written at any step, then the event repeated: attached once in total."""
    tried = case(size, md5=had)
    if step == "upload":
        step = "attach_small_file" if size == SMALL else "upload_ranges"
    tried.run_to(step)
    tried.app.blobs.set_md5("a", None if had else md5_of(size))
    tried.app.finish()
    if not tried.attached:
        assert tried.metadata["attachmentstatus"] == "failed"
        assert tried.code == "UnsupportedBlob"
    again = tried.app.deliver("a")
    tried.app.finish()
    assert tried.attached == 1
    output = tried.app.engines[again].output
    assert output is not None
    assert output["state"] == "attached"
    assert tried.metadata["attachmentstatus"] == "attached"


def test_a_session_that_cannot_be_deleted_does_not_block_the_next() -> None:
    """Its deletion is refused: it expires, and the file is still sent."""
    tried = case(LARGE)
    faults = tried.app.service.faults
    faults.add(Fault(misbehaviour=catalogue.refused(404, "ErrorItemNotFound"), kind="range"))
    faults.add(Fault(misbehaviour=catalogue.refused(403, "Forbidden"), kind="cancel", times=None))
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_notes_that_cannot_be_read_at_the_second_delivery_attach_once() -> None:
    """The last activity attached the file before its worker was killed."""
    tried = case(3 * R, ranges_per_activity=1)
    outage = ExitStack()
    real = tried.app.notes.download_blob
    tried.deliver_twice(
        "upload_ranges",
        lambda: outage.enter_context(
            unavailable(tried.app.memory_tables.get_table_client(TABLE), "get_entity")
        ),
        number=3,
    )
    while tried.engine.performed.count("upload_ranges") != 3:
        tried.engine.advance()
    outage.close()
    assert tried.app.notes.download_blob == real
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


@pytest.mark.parametrize("how", ["deleted", "MD5 cleared"])
def test_a_second_attempt_delivered_twice_reports_the_attachment(how: str) -> None:
    """The outcome of the first was unknown, the second attached; then the blob changed."""
    tried = case(LARGE, md5=True)
    tried.app.service.faults.add(Fault(misbehaviour=catalogue.reset_mid_body(), kind="last_range"))

    def change() -> None:
        if how == "deleted":
            tried.app.blobs.delete_blob("a")
        else:
            tried.app.blobs.set_md5("a", None)

    tried.deliver_twice("upload_ranges", change, number=2)
    tried.app.finish()
    if how != "deleted":
        tried.app.deliver("a")
        tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "attached"


def test_overwritten_within_the_second_after_it_was_attached_is_not_lost() -> None:
    """The same size and no MD5 afterwards: the bytes distinguish the two."""
    tried = case(SMALL, md5=True)
    tried.run_to("record_attachment")
    address = {"mailbox": MAILBOX, "messageid": tried.item}
    tried.app.blobs.put("a", bytes(SMALL), None, address)
    tried.app.finish()
    tried.app.deliver("a")
    tried.app.finish()
    assert tried.attached == 2


def test_overwritten_midway_without_md5_is_superseded() -> None:
    """Its new content, of the same name and size, has a transfer of its own."""
    tried = case(LARGE)
    tried.run_to("upload_ranges")
    tried.app.clock.advance(2)
    address = {"mailbox": MAILBOX, "messageid": tried.item}
    tried.app.blobs.put("a", bytes(LARGE), None, address)
    tried.app.deliver("a")
    tried.app.finish()
    assert tried.attached == 1
    assert tried.output["state"] == "superseded"


def test_a_removal_is_recorded_after_the_md5_was_cleared() -> None:
    """The record has both fingerprints."""
    tried = case(SMALL, md5=True)
    tried.run_to("record_attachment")
    tried.app.blobs.set_md5("a", None)
    tried.app.finish()
    attachments = Attachments(
        tried.app.settings,
        tried.app.source,
        Ledger(tried.app.tables),
        tried.app.graph,
        tried.app.listing,
    )
    attachments.remove(tried.engine.instance_id, TransferStatus.from_json(tried.output))
    assert tried.attached == 0
    assert tried.metadata["attachmentstatus"] == "cancelled"
    assert not tried.metadata.get("attachmentsource")


def test_throttled_past_the_deadline_after_a_first_delivery_is_unknown() -> None:
    """The file is attached, but no request may be sent to find out: the outcome is unknown."""
    tried = case(LARGE)
    throttled = Fault(misbehaviour=catalogue.throttled("36000"), kind="range", occurrence=3)
    tried.deliver_twice("upload_ranges", lambda: tried.app.service.faults.add(throttled))
    tried.app.finish()
    assert not tried.app.service.faults.unfired
    assert tried.attached == 1
    assert tried.code == "OutcomeUnknown"


def test_cancelled_while_an_activity_is_throttled_ends_at_once() -> None:
    """It does not wait for the end of Retry-After, since no request follows."""
    tried = case(10 * R, ranges_per_activity=1)
    throttled = Fault(misbehaviour=catalogue.throttled("2000"), kind="range")
    tried.app.service.faults.add(throttled)
    tried.run_to("upload_ranges")
    run = tried.app.activities["upload_ranges"]

    def cancelled(payload: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = run(payload)
        tried.engine.raise_event(CANCEL)
        return result

    tried.app.activities["upload_ranges"] = cancelled
    began = tried.app.clock.now
    tried.app.finish()
    assert tried.output["state"] == "cancelled"
    assert tried.app.clock.now - began < timedelta(seconds=1_000)


def test_a_throttled_mailbox_is_paused_without_a_retry_after() -> None:
    """Another transfer to it waits, too, instead of being refused."""
    tried = case(SMALL)
    throttled = Fault(misbehaviour=catalogue.throttled(), kind="small_post")
    tried.app.service.faults.add(throttled)
    tried.run_to("attach_small_file")
    address = {"mailbox": MAILBOX, "messageid": tried.app.add_message()}
    tried.app.blobs.put("b", b"other", None, address)
    other = tried.app.engines[tried.app.deliver("b")]
    tried.engine.advance()
    began = tried.app.clock.now
    other.run()
    assert tried.app.clock.now - began >= timedelta(seconds=5)
    tried.app.finish()
    assert tried.attached == 1
