"""Products that are broken on purpose, for the unkind engine: it must detect each of them."""

from dataclasses import fields, replace

import azure.durable_functions as df

from shared.storage.ledger import Ledger, LedgerEntry, _key
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.mailbox_locks import Lock, MailboxLocks
from shared.transfer.activities.mailbox_queue import Limits, MailboxQueue, Use
from shared.transfer.activity_payloads import ActivityResult, UploadRanges
from shared.transfer.functions import Activities
from shared.transfer.payloads import TransferRequest
from shared.transfer.service.start import Starter, _Plan
from tests.support.in_memory.unkind_app import UnkindApp


class LedgerWithoutEnds(Ledger):
    """Deletes the row of a transfer when it has ended."""

    def put(self, entry: LedgerEntry) -> LedgerEntry:
        written = super().put(entry)
        if entry.state in {"attached", "ended"}:
            self._rows.delete(_key(entry.transfer_id), written.etag)
        return written


class LiveSettings(Attacher):
    """Sends ranges as the settings say now, not as they did when the blob was inspected."""

    def upload_ranges(self, work: UploadRanges) -> ActivityResult:
        size = self.settings.range_bytes
        update = {
            "range_bytes": size,
            "activity_bytes": size * self.settings.ranges_per_activity,
        }
        job = work.job.model_copy(update=update)
        return super().upload_ranges(work.model_copy(update={"job": job}))


class PurgeBeforeStart(Starter):
    """Purges the instance before it starts one."""

    async def _start(
        self, client: df.DurableFunctionsClient, plan: _Plan, request: TransferRequest
    ) -> None:
        await client.purge_orchestration(plan.id)
        await super()._start(client, plan, request)


class UnfencedLocks(MailboxLocks):
    """Releases every lock that a transfer has now, even a later one."""

    def release(self, lock: Lock, use: Use) -> tuple[str, ...]:
        def change(queue: MailboxQueue) -> tuple[str, ...]:
            fences = [each.fence for each in queue.holders if each.transfer_id == use.transfer_id]
            woken: tuple[str, ...] = ()
            for fence in fences or [use.fence]:
                woken = queue.release(replace(use, fence=fence), self._limits, self._clock())
            return woken

        return self._change(lock.mailbox, change, lock.row)[0]


def without_fence(app: UnkindApp, parts: Activities) -> Activities:
    """The ledger's row is deleted at the end."""
    ledger = LedgerWithoutEnds(app.memory_tables.as_client())
    claims = replace(parts.attacher.claims, ledger=ledger)
    return replace(
        parts,
        inspector=replace(parts.inspector, ledger=ledger),
        attacher=replace(parts.attacher, claims=claims),
        recorder=replace(parts.recorder, ledger=ledger),
    )


def with_live_settings(_: UnkindApp, parts: Activities) -> Activities:
    """Deliveries decide by the settings of their worker."""
    given = {each.name: getattr(parts.attacher, each.name) for each in fields(parts.attacher)}
    return replace(parts, attacher=LiveSettings(**given))


def with_purges(app: UnkindApp, parts: Activities) -> Activities:
    """A start purges what has the same id."""
    app.starter = PurgeBeforeStart(app.settings, app.source, app.listing)
    return parts


def with_unfenced_locks(app: UnkindApp, parts: Activities) -> Activities:
    """A lock is released by its transfer alone."""
    limits = Limits.of(app.settings)
    locks = UnfencedLocks(app.memory_tables.as_client(), limits, app.clock)
    return replace(parts, attacher=replace(parts.attacher, locks=locks))
