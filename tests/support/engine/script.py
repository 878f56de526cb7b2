"""Activities with results that a test lists, in place of the app's own."""

from typing import Any

from shared.transfer.activity_payloads import ActivityResult, Inspection
from shared.transfer.end_payloads import Announced, RecordAttachment
from shared.transfer.payloads import TransferRequest
from tests.support.engine.virtual_engine import Activity
from tests.support.jobs import job, result

REQUEST = TransferRequest(
    blob="x", mailbox="a@contoso.com", item_type="message", item_id="M", file_name="x"
)

type Given = ActivityResult | Inspection | Announced | Exception


class Script:
    """Activities whose results are listed: the last of each is given again and again."""

    def __init__(self, **results: list[Given]) -> None:
        defaults: dict[str, list[Any]] = {
            "inspect_blob": [Inspection(job=job(5))],
            "attach_small_file": [result("attached", attachment_id="A")],
            "create_upload_session": [result("progress")],
            "upload_ranges": [result("attached", attachment_id="A")],
            "cancel_upload_session": [result("progress")],
            "record_attachment": [result("recorded")],
            "announce_end": [Announced(sent=True)],
        }
        self._results = {name: list(each) for name, each in (defaults | results).items()}
        self.inputs: list[tuple[str, dict[str, Any]]] = []

    @property
    def activities(self) -> dict[str, Activity]:
        """The activities by name."""
        return {name: self._activity(name) for name in self._results}

    def _activity(self, name: str) -> Activity:
        def run(payload: dict[str, Any]) -> dict[str, Any]:
            self.inputs.append((name, payload))
            results = self._results[name]
            given = results.pop(0) if len(results) > 1 else results[0]
            if isinstance(given, Exception):
                raise given
            return dict(given.to_json())

        return run

    def of(self, name: str) -> list[dict[str, Any]]:
        """The inputs of one activity."""
        return [payload for each, payload in self.inputs if each == name]

    @property
    def names(self) -> list[str]:
        """The activities in the order of their calls."""
        return [name for name, _ in self.inputs]

    @property
    def record(self) -> RecordAttachment:
        """The last record."""
        return RecordAttachment.from_json(self.of("record_attachment")[-1])
