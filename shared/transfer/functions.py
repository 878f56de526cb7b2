"""The job as Durable functions: orchestrator, activities and entities, registered by name."""

from collections.abc import Callable

import azure.durable_functions as df

from shared.transfer.activities import Attacher
from shared.transfer.announcing import Announcer
from shared.transfer.inspection import Inspector
from shared.transfer.mailbox_budget import turn_entities, utc_now
from shared.transfer.orchestrator import attach_blob
from shared.transfer.payloads import Payload
from shared.transfer.recording import Recorder
from shared.transfer.work import (
    CancelUploadSession,
    FindAttachment,
    Inspect,
    Job,
    RecordAttachment,
    UploadRanges,
)


def transfer_functions(
    inspector: Inspector, attacher: Attacher, recorder: Recorder, announcer: Announcer
) -> df.Blueprint:
    """A blueprint with ``attach_blob``, and the activities and entities it calls."""
    blueprint = df.Blueprint()
    for entity in turn_entities(inspector.settings, utc_now):
        name = entity.__name__
        blueprint.entity_trigger(context_name="context", entity_name=name)(entity)
    blueprint.orchestration_trigger(context_name="context")(attach_blob)

    def activity[Work: Payload](
        name: str, work: type[Work], run: Callable[[Work], Payload]
    ) -> None:
        def registered(payload: dict) -> dict:  # type: ignore[type-arg]  # the indexer takes no generics
            return run(work.from_json(payload)).to_json()

        registered.__name__ = name
        blueprint.activity_trigger(input_name="payload", activity=name)(registered)

    activity("inspect_blob", Inspect, inspector.inspect)
    activity("attach_small_file", Job, attacher.attach_small_file)
    activity("create_upload_session", Job, attacher.create_upload_session)
    activity("upload_ranges", UploadRanges, attacher.upload_ranges)
    activity("find_attachment", FindAttachment, attacher.find_attachment)
    activity("cancel_upload_session", CancelUploadSession, attacher.cancel_upload_session)
    activity("record_attachment", RecordAttachment, recorder.record)
    activity("announce_end", RecordAttachment, announcer.announce)
    return blueprint
