"""A transfer as Durable functions: orchestrator, activities and entities, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import azure.durable_functions as df

from shared.settings import Settings
from shared.transfer.activities.announce_end import Announcer
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.activities.record_attachment import Recorder
from shared.transfer.activities.telemetry import Work, traced_activity
from shared.transfer.activity_payloads import (
    CancelUploadSession,
    FindAttachment,
    Inspect,
    Job,
    UploadRanges,
)
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import Payload
from shared.transfer.workflow.mailbox_budget import lock_entities
from shared.transfer.workflow.orchestrator import attach_blob


@dataclass(frozen=True, slots=True)
class Activities:
    """The objects whose methods the activities call."""

    inspector: Inspector
    attacher: Attacher
    recorder: Recorder
    announcer: Announcer


def transfer_functions(
    activities: Activities, settings: Settings, clock: Callable[[], datetime]
) -> df.Blueprint:
    """A blueprint with ``attach_blob``, and the activities and entities that it calls."""
    blueprint = df.Blueprint()
    for entity in lock_entities(settings, clock):
        name = entity.__name__
        blueprint.entity_trigger(context_name="context", entity_name=name)(entity)
    blueprint.orchestration_trigger(context_name="context")(attach_blob)

    def activity[Given: Work](
        name: str, read: Callable[[object], Given], run: Callable[[Given], Payload]
    ) -> None:
        traced = traced_activity(name, run)

        def registered(payload: dict) -> dict:  # type: ignore[type-arg]  # the indexer takes no generics
            return traced(read(payload)).to_json()

        registered.__name__ = name
        blueprint.activity_trigger(input_name="payload", activity=name)(registered)

    attacher = activities.attacher
    activity("inspect_blob", Inspect.from_json, activities.inspector.inspect)
    activity("attach_small_file", Job.from_json, attacher.attach_small_file)
    activity("create_upload_session", Job.from_json, attacher.create_upload_session)
    activity("upload_ranges", UploadRanges.from_json, attacher.upload_ranges)
    activity("find_attachment", FindAttachment.from_json, attacher.find_attachment)
    activity("cancel_upload_session", CancelUploadSession.from_json, attacher.cancel_upload_session)
    activity("record_attachment", RecordAttachment.from_json, activities.recorder.record)
    activity("announce_end", RecordAttachment.from_json, activities.announcer.announce)
    return blueprint
