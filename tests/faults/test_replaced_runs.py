"""A transfer that is started again while its earlier run is under way, as Azure's engine allows."""

from dataclasses import dataclass, replace

import pytest

from infra.local.outlook import Fault, catalogue
from infra.local.outlook.rules import Rules
from shared.storage.ledger import Ledger, LedgerEntry
from shared.transfer.payloads import TransferStatus
from shared.transfer.run_token import run_at
from shared.transfer.service.attachments import Attachments
from shared.transfer.workflow.orchestrator import CANCEL
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=4_000, page_size=100)
CONTENT = bytes(range(256)) * 13_000
LATE_ITEM = "AAkA" + "0" * 44


@dataclass
class Replaced:
    """A run that has an open session, and another content of its blob since."""

    app: InMemoryApp
    item: str
    first: VirtualEngine

    @classmethod
    def begin(cls) -> "Replaced":
        app = InMemoryApp(rules=RULES, range_bytes=320 * 1024 * 4, ranges_per_activity=1)
        item = app.add_message()
        app.blobs.put("a.bin", CONTENT, None, {"mailbox": MAILBOX, "messageid": item})
        replaced = cls(app, item, app.engines[app.deliver("a.bin")])
        while replaced.first.performed[-1:] != ["upload_ranges"]:
            replaced.first.advance()
        app.clock.advance(2)
        app.blobs.put("a.bin", b"another", None, {"mailbox": MAILBOX, "messageid": item})
        return replaced

    @property
    def open_sessions(self) -> list[str]:
        tenant = self.app.service.tenant
        return [each.id for each in tenant.mailboxes.sessions() if each.is_open(tenant.clock())]

    def start_again(self) -> VirtualEngine:
        """The run that replaces the first one."""
        return self.app.start_engine(self.first.instance_id, self.first.payload)


@pytest.mark.parametrize("failures", [0, 2, 9])
def test_a_run_that_ends_at_its_inspection_deletes_the_session_of_the_run_before(
    failures: int,
) -> None:
    """It tries a few times; then the session expires. The upload URL is kept nowhere."""
    replaced = Replaced.begin()
    (session,) = replaced.open_sessions
    if failures:
        failing = Fault(
            misbehaviour=catalogue.throttled("3"), kind="cancel", occurrence=1, times=failures
        )
        replaced.app.service.faults.add(failing)
    second = replaced.start_again()
    second.run()
    assert replaced.open_sessions == ([session] if failures > 4 else [])
    entry = Ledger(replaced.app.tables).get(second.instance_id)
    assert entry is not None
    assert (entry.state, entry.upload_url) == ("ended", None)
    assert second.output is not None
    assert (second.output["state"], second.output["error"]["code"]) == ("failed", "OutcomeUnknown")


def test_a_second_delivery_of_the_inspection_says_the_same() -> None:
    """The first one has closed the row already."""
    replaced = Replaced.begin()
    second = replaced.start_again()
    name, payload = second.next_work
    first = replaced.app.activities[name](payload)
    assert replaced.app.activities[name](payload) == first
    assert first["sessionLeft"]


def test_the_earlier_run_sends_nothing_more() -> None:
    """Its deliveries find the row closed."""
    replaced = Replaced.begin()
    replaced.start_again().run()
    sent = len(replaced.app.service.recorder.requests)
    name, payload = replaced.first.next_work
    replaced.app.activities[name](payload)
    assert len(replaced.app.service.recorder.requests) == sent


def small() -> tuple[InMemoryApp, str, VirtualEngine]:
    """A small file whose first run is about to send it: app, item and run."""
    app = InMemoryApp(rules=RULES)
    item = app.add_message()
    app.blobs.put("a.bin", b"small", None, {"mailbox": MAILBOX, "messageid": item})
    engine = app.engines[app.deliver("a.bin")]
    engine.advance()
    return app, item, engine


def test_a_run_that_is_refused_fences_the_one_before() -> None:
    """It has sent nothing, so there was no row yet; its late delivery still sends nothing."""
    app, item, first = small()
    name, payload = first.next_work
    app.restart(app.settings.model_copy(update={"allowed_mailboxes": ("x@contoso.com",)}))
    second = app.start_engine(first.instance_id, first.payload)
    assert end_of(second) == "failed"
    assert app.activities[name](payload)["outcome"] == "superseded"
    assert app.attachments(item) == []


def test_a_removal_fences_the_runs_before() -> None:
    """A delivery that comes late does not attach the file again, doubtful content or not."""
    app, item, first = small()
    name, payload = first.next_work
    status = TransferStatus.from_json(first.run())
    app.clock.advance(5)
    second = {**payload, "run": run_at(app.clock()), "contentDoubted": True}
    app.clock.advance(5)
    ledger = Ledger(app.tables)
    calls = Attachments(app.settings, app.source, ledger, app.graph, app.listing)
    calls.remove(first.instance_id, status)
    for each in (payload, second):
        assert app.activities[name](each)["outcome"] == "superseded"
    assert app.attachments(item) == []
    app.clock.advance(5)
    requested = app.start_engine(first.instance_id, first.payload | {"ordered": True})
    assert end_of(requested) == "attached"
    assert len(app.attachments(item)) == 1


@pytest.mark.parametrize("ahead", [1, 3_600])
def test_a_run_after_one_whose_clock_was_ahead_goes_on(ahead: int) -> None:
    """Its token counts as later, although its host's clock says otherwise."""
    app = InMemoryApp(rules=RULES, range_bytes=320 * 1024 * 4, ranges_per_activity=1)
    app.blobs.put("a.bin", CONTENT, None, {"mailbox": MAILBOX, "messageid": LATE_ITEM})
    began = app.clock()
    app.clock.advance(ahead)
    id_ = app.deliver("a.bin")
    first = app.engines[id_]
    assert end_of(first) == "failed"
    app.clock.now = began
    app.service.tenant.mailboxes.find(MAILBOX).create("message", "", item_id=LATE_ITEM)
    second = app.start_engine(id_, first.payload | {"ordered": True})
    assert end_of(second) == "attached"
    assert app.blobs.blob("a.bin").metadata["attachmentstatus"] == "attached"
    entry = Ledger(app.tables).get(id_)
    assert entry is not None
    assert entry.state == "attached"


def end_of(engine: VirtualEngine) -> str:
    engine.run()
    return str((engine.output or {})["state"])


def test_a_search_of_an_earlier_run_ends() -> None:
    """A later one has the row: this one neither fails nor reports what it cannot know."""
    app, _, first = small()
    lost = Fault(misbehaviour=catalogue.lost_answer(), kind="small_post")
    app.service.faults.add(lost)
    while first.next_activity != "find_attachment":
        first.advance()
    ledger = Ledger(app.tables)
    entry = ledger.get(first.instance_id)
    assert entry is not None
    app.clock.advance(1)
    ledger.put(replace(entry, run=run_at(app.clock())))
    assert end_of(first) == "superseded"


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_is_attached_stays_so_when_the_blob_is_looked_at_again(*, cancelled: bool) -> None:
    """A blob without MD5 was written to before the record; the second look does not get far."""
    app, item, run = small()
    if cancelled:
        work = run.take_work()
        result = app.activities[work.name](work.payload)
        run.raise_event(CANCEL)
        run.complete(work, result)
    else:
        run.advance()
        denied = catalogue.refused(403, "ErrorAccessDenied")
        app.service.faults.add(Fault(misbehaviour=denied, kind="list", times=None))
    app.blobs.annotate("a.bin", tag="scanned")
    assert end_of(run) == "attached"
    (attachment,) = app.attachments(item)
    record = app.blobs.blob("a.bin").metadata
    assert (record["attachmentstatus"], record["attachmentid"]) == ("attached", attachment.id)
    entry = Ledger(app.tables).get(run.instance_id)
    assert entry is not None
    assert (entry.state, entry.attachment_id) == ("attached", attachment.id)


def test_a_doubted_restart_that_is_cancelled_reports_what_is_attached() -> None:
    """The metadata were lost, and the event came again."""
    app, item, run = small()
    run.run()
    (attachment,) = app.attachments(item)
    etag = app.blobs.blob("a.bin").etag
    app.blobs.set_metadata("a.bin", {"mailbox": MAILBOX, "messageid": item}, etag)
    again = app.start_engine(run.instance_id, run.payload)
    again.raise_event(CANCEL)
    assert end_of(again) == "attached"
    assert (again.output or {})["attachmentId"] == attachment.id


def test_an_inspection_that_is_delivered_again_may_decide_otherwise() -> None:
    """Its first result was lost, with the worker that a changed setting restarted."""
    app = InMemoryApp(rules=RULES, allowed_mailboxes="x@contoso.com")
    item = app.add_message()
    app.blobs.put("a.bin", b"small", None, {"mailbox": MAILBOX, "messageid": item})
    run = app.engines[app.deliver("a.bin")]
    name, payload = run.next_work
    assert app.activities[name](payload)["ended"]["error"]["code"] == "MailboxNotAllowed"
    app.restart(app.settings.model_copy(update={"allowed_mailboxes": ("*",)}))
    assert end_of(run) == "attached"
    assert len(app.attachments(item)) == 1


def test_a_late_inspection_does_not_end_its_own_run() -> None:
    """A setting has changed since, and the job waits for its lock."""
    app, item, run = small()
    inspect = {
        "transferId": run.instance_id,
        "request": run.payload,
        "run": run.next_work[1]["run"],
    }
    app.restart(app.settings.model_copy(update={"max_attachment_bytes": 1}))
    refused = app.activities["inspect_blob"](inspect)
    assert refused["ended"]["error"]["code"] == "AttachmentTooLarge"
    assert end_of(run) == "attached"
    assert len(app.attachments(item)) == 1


def test_a_row_with_a_run_that_is_no_time_is_never_taken_for_not_sent() -> None:
    """Another program wrote it: the transfer waits until somebody corrects it."""
    app = InMemoryApp(rules=RULES)
    item = app.add_message()
    app.blobs.put("a.bin", b"small", None, {"mailbox": MAILBOX, "messageid": item})
    run = app.engines[app.deliver("a.bin")]
    ledger = Ledger(app.tables)
    ledger.put(LedgerEntry(run.instance_id, run="tomorrow", state="ended"))
    name, payload = run.next_work
    assert run.instance_id in app.activities[name](payload)["unavailable"]["message"]
    assert app.attachments(item) == []
