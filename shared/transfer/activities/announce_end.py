"""``announce_end``: publishes how a transfer ended, as a CloudEvent."""

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from shared.settings import Settings
from shared.storage.source_container import SourceContainer
from shared.transfer.end_payloads import Announced, RecordAttachment
from shared.transfer.payloads import RecordedStatus
from shared.transfer.retry_policy import MAX_ANNOUNCE_RETRIES

# Seconds. The SDK's defaults are five minutes each.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
_RETRY_AFTER = ("Retry-After", "retry-after-ms", "x-ms-retry-after-ms")

_TYPES: dict[RecordedStatus, str] = {
    "attached": "BlobToOutlook.Attached",
    "failed": "BlobToOutlook.Failed",
    "cancelled": "BlobToOutlook.Cancelled",
}

_LOG = logging.getLogger(__name__)

# The SDK passes the options of a call to the event's model, which warns about each of them.
logging.getLogger("azure.eventgrid").setLevel(logging.ERROR)


class Announcer:
    """Sends events to the topic of ``EVENT_GRID_TOPIC_ENDPOINT``, if there is one.

    ``backoff`` is the factor of the SDK's waits between tries, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        source: SourceContainer,
        new_credential: Callable[[], TokenCredential],
        *,
        backoff: float = 0.8,
    ) -> None:
        endpoint = settings.event_grid_topic_endpoint
        self._topic = EventGridPublisherClient(endpoint, new_credential()) if endpoint else None
        self._source = f"/blob-to-outlook/{source.account}/{source.container}"
        self._backoff = backoff

    def close(self) -> None:
        """Close the connections."""
        if self._topic is not None:
            self._topic.close()

    def announce(self, work: RecordAttachment) -> Announced:
        """Send the event for this end, if there is one.

        Best effort: a failure is logged. A second delivery sends the same event again.
        """
        type_ = _TYPES.get(work.record)
        if self._topic is None or type_ is None:
            return Announced(sent=False)
        try:
            self._send(self._topic, self._event(type_, work))
        except AzureError as error:
            # The error's text may repeat the event, so only its type is logged.
            status = error.status_code if isinstance(error, HttpResponseError) else None
            _LOG.warning(
                "transfer %s: the topic accepted no event of type %s: %s%s",
                work.transfer_id,
                type_,
                type(error).__name__,
                f" ({status})" if status else "",
            )
            return Announced(sent=False)
        return Announced(sent=True)

    def _event(self, type_: str, work: RecordAttachment) -> CloudEvent[dict[str, object]]:
        data = {"id": work.transfer_id, **work.status.to_json()}
        # An event that is sent twice has the same id. A transfer that is started again keeps its
        # id, and can end differently.
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        return CloudEvent(
            source=self._source,
            type=type_,
            id=f"{work.transfer_id}-{digest[:8]}",
            subject=work.status.blob,
            data=data,
        )

    def _send(self, topic: EventGridPublisherClient, event: CloudEvent[dict[str, object]]) -> None:
        topic.send(
            event,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retry_total=MAX_ANNOUNCE_RETRIES,
            retry_backoff_factor=self._backoff,
            # Safe: receivers know a duplicate by its id.
            retry_on_methods=["POST"],
            raw_response_hook=_drop_retry_after,
        )


def _drop_retry_after(response: Any) -> None:
    """Otherwise the SDK would sleep in the activity for as long as the header says, even hours."""
    for name in _RETRY_AFTER:
        response.http_response.headers.pop(name, None)
