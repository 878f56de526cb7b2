"""Events to the local stack, by the webhook that Event Grid calls."""

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from azure.storage.blob import ContainerClient

from infra.local.drop import source_container
from infra.local.stack import MAILBOXES, Stack
from tests.support.e2e.checks import assert_no_orchestration_failed
from tests.support.waiting import until

MAILBOX = MAILBOXES[0]
Event = dict[str, Any]


def send(stack: Stack, event: Event) -> int:
    """Deliver an event as Event Grid does, in its schema; the status of the response."""
    cloud = "specversion" in event
    response = requests.post(
        f"{stack.info.functions_url}/runtime/webhooks/eventgrid",
        params={"functionName": "event_received", "code": stack.info.function_key},
        headers={"Content-Type": "application/cloudevents+json"}
        if cloud
        else {"aeg-event-type": "Notification"},
        json=event if cloud else [event],
        timeout=30,
    )
    return response.status_code


def in_event_grid_schema(type_: str, subject: str, data: object) -> Event:
    return {
        "id": os.urandom(8).hex(),
        "eventType": type_,
        "subject": subject,
        "eventTime": "2025-01-02T03:04:05.6789012Z",
        "data": data,
        "dataVersion": "1",
    }


def in_cloud_events_schema(type_: str, subject: str, data: object) -> Event:
    # The SDK's class for such an event refuses this time.
    return {
        "specversion": "1.0",
        "id": os.urandom(8).hex(),
        "source": "/tests",
        "type": type_,
        "subject": subject,
        "time": "2025-01-02T05:04:05+02:00",
        "data": data,
    }


Schema = Callable[[str, str, object], Event]
SCHEMAS = pytest.mark.parametrize("schema", [in_event_grid_schema, in_cloud_events_schema])


def recorded(container: ContainerClient, name: str, status: str) -> dict[str, str]:
    """The blob's metadata, once it has this status."""

    def record() -> dict[str, str] | None:
        metadata = dict(container.get_blob_client(name).get_blob_properties().metadata)
        return metadata if metadata.get("attachmentstatus") == status else None

    return until(record)


@SCHEMAS
def test_a_request_attaches_a_blob_without_an_address(stack: Stack, schema: Schema) -> None:
    """Delivered twice, it attaches once."""
    item = stack.outlook.add_item(MAILBOX, "message")
    container = source_container(stack.info)
    name = f"unaddressed-{os.urandom(4).hex()}.pdf"
    container.upload_blob(name, b"%PDF")
    recorded(container, name, "unaddressed")
    data = {"blob": name, "mailbox": MAILBOX, "messageId": item, "fileName": "named.pdf"}
    event = schema("BlobToOutlook.AttachRequested", "any", data)
    assert send(stack, event) == 202
    assert send(stack, event) == 202
    record = recorded(container, name, "attached")
    assert send(stack, event) == 202
    (attachment,) = stack.outlook.attachments(MAILBOX, item)
    assert (attachment.name, attachment.content) == ("named.pdf", b"%PDF")
    assert record["attachmentid"] == attachment.id
    assert_no_orchestration_failed(stack)


@SCHEMAS
def test_a_created_blob_joins_what_its_trigger_started(stack: Stack, schema: Schema) -> None:
    """By a subscription beside the blob trigger: one transfer, one attachment."""
    item = stack.outlook.add_item(MAILBOX, "message")
    container = source_container(stack.info)
    name = f"{MAILBOX}/messages/{quote(item, safe='')}/r {os.urandom(4).hex()}.pdf"
    container.upload_blob(name, b"%PDF")
    url = urlsplit(container.url)
    data = {"api": "PutBlob", "url": f"{url.scheme}://{url.netloc}{url.path}/{name}"}
    subject = f"/blobServices/default/containers/{stack.info.container}/blobs/{name}"
    event = schema("Microsoft.Storage.BlobCreated", subject, data)
    assert send(stack, event) == 202
    assert send(stack, event) == 202
    record = recorded(container, name, "attached")
    assert send(stack, event) == 202
    (attachment,) = stack.outlook.attachments(MAILBOX, item)
    assert record["attachmentid"] == attachment.id
    assert_no_orchestration_failed(stack)


@SCHEMAS
@pytest.mark.parametrize(
    "data",
    [None, {}, {"blob": "a", "mailbox": "stranger@evil.example", "messageId": "M="}],
)
@pytest.mark.parametrize(
    "type_",
    ["BlobToOutlook.AttachRequested", "Microsoft.Storage.BlobCreated", "Somebody.Else"],
)
def test_what_starts_nothing_is_not_delivered_again(
    stack: Stack, schema: Schema, type_: str, data: object
) -> None:
    """The response is a success, even if the event is malformed."""
    assert send(stack, schema(type_, "any", data)) == 202
