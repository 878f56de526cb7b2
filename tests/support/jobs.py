"""Jobs and results for the unit tests of the workflow and its messages."""

from shared.transfer.activity_payloads import ActivityResult, Job, Outcome
from shared.transfer.payloads import Failure

LARGE = 20_000_000
BUSY = Failure(code="GraphRefused", message="busy")
STORE_AWAY = Failure(code="StorageUnavailable", message="away")


def job(size: int = LARGE) -> Job:
    """A transfer of so many bytes to a message."""
    return Job(
        transfer_id="f-1",
        run="2026-11-22T10:00:00.000000+00:00",
        blob="x",
        etag="e1",
        created="2026",
        md5="m",
        size=size,
        mailbox="a@contoso.com",
        item_type="message",
        item_id="M",
        file_name="x",
        content_type="text/plain",
        activity_bytes=1_000,
        queue_seconds=7200,
        deadline_seconds=3600,
        reconcile_seconds=120,
    )


def result(outcome: Outcome, **fields: object) -> ActivityResult:
    """The result of an activity; its fields by name."""
    assert fields.keys() <= ActivityResult.model_fields.keys()
    return ActivityResult.model_validate({"outcome": outcome, **fields})
