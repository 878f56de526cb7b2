"""Judges transfers by what the emulator has and saw, not by what the app reports."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from azure.core.exceptions import ResourceNotFoundError

from infra.local.outlook import Attachment, OutlookEmulator, RecordedRequest, UploadSession
from infra.local.outlook.protocol.ids import canonical
from shared.transfer.payloads import TransferStatus
from tests.support.faults.findings import Finding
from tests.support.faults.observed_transfer import ObservedTransfer
from tests.support.faults.retry_after import retry_at
from tests.support.harness import Harness

# After its deadline a transfer still deletes its session and writes its record.
CLEANUP_TIME = timedelta(minutes=1)
_CLOCK_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Referee:
    """Judges the transfers of one harness by what the emulator has and saw."""

    harness: Harness
    logs: list[str]
    _seen: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def emulator(self) -> OutlookEmulator:
        """The emulator of the harness."""
        return self.harness.emulator

    def judge(self, transfer: ObservedTransfer, until: int | None = None) -> list[Finding]:
        """All findings about a transfer that has ended.

        ``until`` is the index of the first request that belongs to the next transfer.
        """
        own = self.emulator.requests[transfer.first_request : until]
        ours = self._ours(transfer)
        return [
            *self._crashed(transfer),
            *self._lost(transfer, ours),
            *self._doubled(ours),
            *self._misreported(transfer, ours),
            *self._early(transfer, own),
            *self._late(transfer),
            *self._left(transfer, own),
            *self._leaked(transfer),
        ]

    def corrupted(
        self, mailbox: str, item: str, contents: list[bytes], foreign: frozenset[str]
    ) -> list[Finding]:
        """Attachments made by the app whose bytes are none of the contents that the blob had."""
        good = {hashlib.sha256(each).hexdigest() for each in contents}
        return [
            Finding("corrupted", f"attachment {each.id} of {each.content_bytes} bytes")
            for each in self.emulator.attachments(mailbox, item)
            if each.id not in foreign and each.sha256 not in good
        ]

    def _metadata(self, transfer: ObservedTransfer) -> dict[str, str]:
        """The blob's metadata; empty when the blob is gone, since every blob has an address."""
        if transfer.blob not in self._seen:
            try:
                self._seen[transfer.blob] = self.harness.metadata(transfer.blob)
            except ResourceNotFoundError:
                self._seen[transfer.blob] = {}
        return self._seen[transfer.blob]

    def _ours(self, transfer: ObservedTransfer) -> list[Attachment]:
        wanted = hashlib.sha256(transfer.content).hexdigest()
        return [
            each
            for each in self.emulator.attachments(transfer.mailbox, transfer.item)
            if each.id not in transfer.foreign and each.sha256 == wanted
        ]

    def _crashed(self, transfer: ObservedTransfer) -> Iterator[Finding]:
        failure = transfer.crash or transfer.engine.failed
        if failure:
            yield Finding("crashed", failure)

    def _lost(self, transfer: ObservedTransfer, ours: list[Attachment]) -> Iterator[Finding]:
        status = transfer.status
        if status is None:
            yield Finding("lost", "the transfer has no output")
            return
        code = status.error.code if status.error else ""
        attached = status.state == "attached"
        unknown = code == "OutcomeUnknown" and transfer.may_be_unknown
        if attached and not ours:
            yield Finding("lost", "reported as attached, but Outlook does not have it")
        if transfer.must_attach and not attached and not unknown:
            error = status.error.message if status.error else ""
            yield Finding("lost", f"{status.state} without a reason: {code} {error}")

    def _doubled(self, ours: list[Attachment]) -> Iterator[Finding]:
        if len(ours) > 1:
            yield Finding("doubled", f"attached {len(ours)} times")

    def _misreported(self, transfer: ObservedTransfer, ours: list[Attachment]) -> Iterator[Finding]:
        status = transfer.status
        if status is None:
            return
        code = status.error.code if status.error else ""
        ids = {each.id for each in ours}
        if status.state == "attached":
            if canonical(status.attachment_id or "") not in ids:
                yield Finding("misreported", f"{status.attachment_id} is not its attachment")
        elif ours and code != "OutcomeUnknown":
            yield Finding("misreported", f"{status.state} {code}, although it is attached")
        yield from self._misrecorded(transfer, status)

    def _misrecorded(self, transfer: ObservedTransfer, status: TransferStatus) -> Iterator[Finding]:
        metadata = self._metadata(transfer)
        if not transfer.content_is_current:
            if metadata.get("attachmenttransfer") == transfer.engine.instance_id:
                yield Finding("misreported", "recorded on a blob that has other content")
            return
        recorded = (metadata.get("attachmentstatus"), metadata.get("attachmentid"))
        if (
            metadata
            and status.state != "superseded"
            and recorded != (status.state, status.attachment_id)
        ):
            reported = (status.state, status.attachment_id)
            yield Finding("misreported", f"recorded as {recorded}, ended as {reported}")

    def _early(self, transfer: ObservedTransfer, own: list[RecordedRequest]) -> Iterator[Finding]:
        answered = [(each, retry_at(each)) for each in own if self._was_received(transfer, each)]
        for request, until in answered:
            for later in own:
                if (
                    until is not None
                    and later.index > request.index
                    and later.kind != "token"
                    and later.at + _CLOCK_TICK < until
                ):
                    ahead = (until - later.at).total_seconds()
                    yield Finding(
                        "early",
                        f"{later.kind} (#{later.index}) {ahead:.3f} s before the Retry-After of "
                        f"{request.kind} (#{request.index}) is over",
                    )

    def _was_received(self, transfer: ObservedTransfer, request: RecordedRequest) -> bool:
        """Whether the worker that got the response returned a result."""
        before = [each for each in transfer.deliveries if each.first_request <= request.index]
        return not before or before[-1].has_result

    def _late(self, transfer: ObservedTransfer) -> Iterator[Finding]:
        if transfer.ended is None:
            return
        over = transfer.ended - transfer.begun - transfer.deadline
        if over > CLEANUP_TIME:
            yield Finding("late", f"ended {over} after its deadline")

    def _left(self, transfer: ObservedTransfer, own: list[RecordedRequest]) -> Iterator[Finding]:
        for session in self._open_sessions(own):
            deletions = [each for each in own if each.kind == "cancel"]
            tried = [each for each in deletions if each.target == session.target]
            if not tried or not all(each.fault for each in tried):
                yield Finding("left", f"an open session with {session.received} bytes")
        attached = transfer.status is not None and transfer.status.state == "attached"
        undeletable = any(each.kind == "cancel" and each.fault for each in own)
        if self.harness.open_entries() and (attached or not undeletable):
            yield Finding("left", "an open row in the ledger")

    def _open_sessions(self, own: list[RecordedRequest]) -> list[UploadSession]:
        """Open sessions that these requests created and whose URLs the app received."""
        requests = self.emulator.requests
        created = [each for each in requests if each.kind == "create" and each.served_status == 201]
        received = {each.index for each in own if not each.fault}
        still_open = {each.id for each in self.emulator.open_sessions()}
        return [
            session
            for session, request in zip(self.emulator.sessions(), created, strict=True)
            if session.id in still_open and request.index in received
        ]

    def _leaked(self, transfer: ObservedTransfer) -> Iterator[Finding]:
        engine = transfer.engine
        kept = {
            "the history": b"".join(each.SerializeToString() for each in engine.history),
            "a status": str(engine.statuses).encode(),
            "the output": str(engine.output).encode(),
            "a log": "\n".join(self.logs).encode(),
            "an exception": transfer.crash.encode(),
        }
        kept["the metadata"] = str(self._metadata(transfer)).encode()
        secrets = [each.encode() for each in self.emulator.secrets()]
        for where, text in kept.items():
            if any(secret in text for secret in secrets):
                yield Finding("leaked", f"a secret is in {where}")
