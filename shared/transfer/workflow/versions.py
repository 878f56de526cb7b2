"""Which version of the app began a transfer, and what follows from it."""

from durabletask.task import OrchestrationContext

from shared.outlook.item import OutlookItem
from shared.transfer.run_token import run_at
from shared.transfer.workflow.entity_locks import EntityLocks
from shared.transfer.workflow.locks import ActivityLocks, Locks


def is_1_0(ctx: OrchestrationContext) -> bool:
    """Whether it was version 1.0, or an earlier one."""
    parts = [int(part) for part in (ctx.version or "").split(".") if part]
    return parts < [1, 1]


def run_of(ctx: OrchestrationContext) -> str:
    """When the run began, in UTC, as text that sorts by time; empty in version 1.0."""
    if is_1_0(ctx):
        return ""
    return run_at(ctx.current_utc_datetime)


def locks_of(ctx: OrchestrationContext, item: OutlookItem | None) -> Locks:
    """Who acquires the locks: in version 1.0, the orchestrator."""
    return EntityLocks(ctx, item) if item and is_1_0(ctx) else ActivityLocks(ctx)
