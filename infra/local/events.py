"""Examples of the events that the app takes, sent to the local webhook as Event Grid does."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from infra.local.drop import Dropped, drop, item_of_path, source_container, transfer_of
from infra.local.errors import StackStateError
from infra.local.stack_info import StackInfo
from shared.triggers.event_grid import ATTACH_REQUESTED, BLOB_CREATED

EVENTS = ("attach-requested", "blob-created")
SCHEMAS = ("event-grid", "cloud-events")

_CONTENT = b"An example, attached by an event.\n"
_SOURCE = "/blob-to-outlook/examples"


@dataclass(frozen=True, slots=True)
class ExampleEvent:
    """An event about a blob that exists, in one of the schemas, and the transfer that it starts."""

    body: dict[str, Any]
    headers: dict[str, str]
    transfer: Dropped


def example_event(info: StackInfo, name: str, schema: str, to: str) -> ExampleEvent:
    """Upload a small file, and make the event of this name about it.

    Raises :class:`UsageError` when ``to`` is no item.
    """
    type_, subject, data, transfer = _ABOUT[name](info, f"example-{secrets.token_hex(4)}.txt", to)
    id_, time = secrets.token_hex(16), datetime.now(UTC).isoformat()
    if schema == "cloud-events":
        cloud: dict[str, Any] = {"specversion": "1.0", "id": id_, "source": _SOURCE, "type": type_}
        cloud |= {"subject": subject, "time": time, "data": data}
        return ExampleEvent(cloud, {"Content-Type": "application/cloudevents+json"}, transfer)
    body: dict[str, Any] = {"id": id_, "topic": _SOURCE, "eventType": type_, "subject": subject}
    body |= {"eventTime": time, "data": data, "dataVersion": "1", "metadataVersion": "1"}
    return ExampleEvent(body, {"aeg-event-type": "Notification"}, transfer)


def send_event(info: StackInfo, event: ExampleEvent) -> int:
    """Deliver an event as Event Grid does; the status of the response.

    Raises :class:`StackStateError` when nothing responds.
    """
    try:
        response = requests.post(
            f"{info.functions_url}/runtime/webhooks/eventgrid",
            params={"functionName": "event_received", "code": info.function_key},
            headers=event.headers,
            # In the Event Grid schema a delivery is a list.
            json=event.body if "specversion" in event.body else [event.body],
            timeout=60,
        )
    except requests.RequestException as error:
        raise StackStateError("The local stack stopped before it took the event.") from error
    return response.status_code


type _About = tuple[str, str, dict[str, Any], Dropped]


def _attach_requested(info: StackInfo, name: str, to: str) -> _About:
    """The blob names no item: the event does."""
    item = item_of_path(to)
    container = source_container(info)
    container.upload_blob(name, _CONTENT)
    data = {"blob": name, "mailbox": item.mailbox, item.kind.request_field: item.id}
    return ATTACH_REQUESTED, name, data, transfer_of(container, name, str(item))


def _blob_created(info: StackInfo, name: str, to: str) -> _About:
    """The blob's path names the item; the event joins what the blob trigger starts."""
    dropped = drop(info, _CONTENT, name, to, "text/plain")
    account = urlsplit(source_container(info).url)
    data = {
        "api": "PutBlob",
        "contentType": "text/plain",
        "contentLength": dropped.size,
        "blobType": "BlockBlob",
        "url": f"{account.scheme}://{account.netloc}{account.path}/{dropped.blob}",
    }
    subject = f"/blobServices/default/containers/{info.container}/blobs/{dropped.blob}"
    return BLOB_CREATED, subject, data, dropped


_ABOUT: dict[str, Callable[[StackInfo, str, str], _About]] = dict(
    zip(EVENTS, (_attach_requested, _blob_created), strict=True)
)
