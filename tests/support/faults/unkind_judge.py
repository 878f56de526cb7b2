"""Judges a run on the unkind engine by what the emulator has and saw, not by what the app says."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from infra.local.outlook import Attachment
from infra.local.outlook.protocol.ids import canonical
from shared.transfer.payloads import TransferStatus
from shared.transfer.retry_policy import LOCK_LEASE, LOCK_POLL_SECONDS
from tests.support.faults.findings import Finding
from tests.support.faults.unkind_schedule import UnkindSchedule
from tests.support.in_memory.deliveries import Waits
from tests.support.in_memory.tables import open_entries
from tests.support.in_memory.unkind_app import UnkindApp
from tests.support.virtual_app import MAILBOX

MAX_HISTORY = 1_000


@dataclass(frozen=True)
class Known:
    """The content that a transfer is about, and its item."""

    file: int
    version: int
    item: str


def judge(schedule: UnkindSchedule, app: UnkindApp, known: Mapping[str, Known]) -> list[Finding]:
    """All findings about a run that is over."""
    return list(_Judge(schedule, app, known).findings())


@dataclass(frozen=True)
class _Judge:
    schedule: UnkindSchedule
    app: UnkindApp
    known: Mapping[str, Known]

    def findings(self) -> Iterator[Finding]:
        for id_, content in self.known.items():
            engine = self.app.latest(id_)
            if engine is None or engine.output is None:
                failed = engine and engine.failed
                yield Finding("crashed" if failed else "lost", f"{id_} has no output: {failed}")
                continue
            ours, status = self._ours(content), TransferStatus.from_json(engine.output)
            yield from self._attached(id_, content, status, ours)
            yield from self._misreported(id_, content, status, ours)
            yield from self._misrecorded(id_, content, ours)
        yield from self._corrupted()
        yield from self._left()
        yield from self._held_up()
        for _ in range(self.app.adversary.fired["purge of a run"]):
            yield Finding("purged", "a running transfer was taken away")
        holders = self.app.holders
        for crowd in holders.crowds if holders else ():
            yield Finding("crowded", crowd)

    def _sha(self, content: Known) -> str:
        return hashlib.sha256(self.schedule.content(content.file, content.version)).hexdigest()

    def _attachments(self, item: str) -> list[Attachment]:
        return self.app.attachments(item)

    def _ours(self, content: Known) -> list[Attachment]:
        wanted = self._sha(content)
        return [each for each in self._attachments(content.item) if each.sha256 == wanted]

    def _is_current(self, content: Known) -> bool:
        return content.version == max(
            each.version for each in self.known.values() if each.file == content.file
        )

    def _attached(
        self, id_: str, content: Known, status: TransferStatus, ours: list[Attachment]
    ) -> Iterator[Finding]:
        """Exactly once, unless something excuses that it is not."""
        if len(ours) > 1:
            yield Finding("doubled", f"{id_} is attached {len(ours)} times")
        if id_ in self.app.removed:
            if ours:
                yield Finding("doubled", f"{id_} is attached again after its removal")
            return
        excused = self.schedule.happens(content.file, "cancelled") or (
            not self._is_current(content) or self._is_late(status)
        )
        if not ours and (status.state == "attached" or not excused):
            error = f"{status.error.code} {status.error.message}" if status.error else ""
            yield Finding("lost", f"{id_} is {status.state} and not attached: {error}")

    def _is_late(self, status: TransferStatus) -> bool:
        """Whether a transfer of version 1.0, which counts an outage as trouble, had one."""
        code = status.error.code if status.error else ""
        late = {"DeadlineExceeded", "MailboxBusy", "OutcomeUnknown"}
        return self.schedule.version == "1.0" and code in late

    def _misreported(
        self, id_: str, content: Known, status: TransferStatus, ours: list[Attachment]
    ) -> Iterator[Finding]:
        ids = {each.id for each in ours}
        if id_ in self.app.removed:
            if status.state == "attached":
                yield Finding("misreported", f"{id_} is reported attached after its removal")
        elif status.state == "attached":
            if ids and canonical(status.attachment_id or "") not in ids:
                yield Finding("misreported", f"{status.attachment_id} is not the attachment")
        elif ours:
            code = status.error.code if status.error else ""
            # Without the bytes, which were overwritten, nobody can recognise the attachment.
            if code != "OutcomeUnknown" or self._is_current(content):
                yield Finding("misreported", f"{id_} is {status.state} {code}, but it is attached")

    def _misrecorded(self, id_: str, content: Known, ours: list[Attachment]) -> Iterator[Finding]:
        if not self._is_current(content):
            return
        metadata = self.app.blobs.blob(self.schedule.files[content.file].name).metadata
        state = metadata.get("attachmentstatus")
        replaced = self.schedule.happens(content.file, "metadata replaced")
        if state is None:
            if not replaced:
                yield Finding("misreported", f"{id_} has no record")
            return
        is_attached = bool(ours)
        named = canonical(metadata.get("attachmentid", ""))
        if (state == "attached") != is_attached:
            yield Finding("misreported", f"{id_} is recorded {state}, attached {len(ours)} times")
        elif is_attached and named not in {each.id for each in ours}:
            yield Finding("misreported", f"{id_} is recorded as {named}, which is not it")

    def _corrupted(self) -> Iterator[Finding]:
        good = {self._sha(each) for each in self.known.values()}
        for item in self.app.service.tenant.mailboxes.find(MAILBOX).items:
            for each in self._attachments(item):
                if each.sha256 not in good:
                    yield Finding("corrupted", f"{each.name} of {each.content_bytes} bytes")

    def _left(self) -> Iterator[Finding]:
        """Sessions that nobody tried to delete, and open rows; not those of killed workers."""
        requests = self.app.service.recorder.requests
        created = [each for each in requests if each.kind == "create" and each.served_status == 201]
        deleted = {each.target for each in requests if each.kind == "cancel"}
        excused = self.app.deliveries.excused
        # Where entities' signals get lost, it ends without a lock, and its session expires.
        is_old = self.schedule.version == "1.0"
        for id_, item in self.app.service.tenant.mailboxes.find(MAILBOX).items.items():
            own = [each for each in created if each.item == id_]
            for session, request in zip(item.sessions, own, strict=True):
                is_killed = any(request.index in each for each in excused)
                is_excused = is_old or is_killed or request.fault is not None
                if session.end is None and session.target not in deleted and not is_excused:
                    yield Finding("left", f"an open session with {session.received} bytes")
        if not self.app.adversary.fired["fault of Outlook"]:
            for row in open_entries(self.app.memory_tables):
                yield Finding("left", f"an open row in the ledger: {row}")

    def _held_up(self) -> Iterator[Finding]:
        for id_ in self.known:
            engine = self.app.latest(id_)
            if engine is None:
                continue
            waited = self.app.deliveries.waits.get(id_, Waits()).total
            bound = self._bound()
            if waited > bound:
                yield Finding("held up", f"{id_} waited {waited} for a lock, more than {bound}")
            # Transfers of version 1.0 go on as they began, with histories without a bound.
            if self.schedule.version != "1.0" and engine.longest_history > MAX_HISTORY:
                yield Finding("long", f"{id_} has {engine.longest_history} events")

    def _bound(self) -> timedelta:
        """The formula of ``mailbox_queue``; a lease per lock that stopped with its delivery.

        The app's downtime, late timers and lost checkpoints are the engine's. In addition, a poll
        may pass.
        """
        app, settings = self.app, self.app.settings
        sent = sum(each.body_length for each in app.service.recorder.requests)
        window = timedelta(seconds=settings.mailbox_window_seconds)
        stopped = app.deliveries.stopped.total()
        poll = timedelta(seconds=LOCK_POLL_SECONDS)
        steps = timedelta(seconds=app.steps)
        late = sum((each.late for each in app.all_started()), timedelta())
        return (
            window * (sent / settings.mailbox_window_bytes + 1)
            + steps
            + LOCK_LEASE * stopped
            + poll
            + late
            + app.down
        )
