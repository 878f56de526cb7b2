"""Blobs handed to each trigger, as the host and Event Grid do it."""

import asyncio
import json
from typing import Any, cast
from urllib.parse import quote

import azure.durable_functions as df

from shared.transfer.service.requests import AttachRequest
from shared.triggers.blob import blob_functions
from shared.triggers.event_grid import WatchedContainer, receive
from shared.triggers.http.responses import error_response
from tests.support.harness import Harness, RecordingClient
from tests.support.virtual_app import MAILBOX


def run_blob_trigger(harness: Harness, name: str) -> None:
    """What the host does for an event about a blob."""
    app = df.DFApp()
    app.register_functions(blob_functions(harness.starter, "AzureWebJobsStorage"))
    (function,) = [f for f in app.get_functions() if f.get_function_name() == "blob_arrived"]
    untyped: Any = function.get_user_function()
    blob = harness.container.get_blob_client(name)
    asyncio.run(untyped.client_function(blob=blob, client=None))


def deliver_created(harness: Harness, name: str) -> None:
    """What Event Grid does for the same blob."""
    watched = WatchedContainer("account.blob.core.windows.net", harness.source.container)
    subject = f"/blobServices/default/containers/{watched.name}/blobs/{name}"
    event = {
        "id": "event-1",
        "eventType": "Microsoft.Storage.BlobCreated",
        "subject": subject,
        "data": {"api": "PutBlob", "url": f"https://{watched.host}/{watched.name}/{quote(name)}"},
    }
    asyncio.run(receive(cast("Any", None), harness.starter, watched, json.dumps(event)))


def deliver_request(harness: Harness, name: str) -> None:
    """An event that requests the blob for an item."""
    watched = WatchedContainer("account.blob.core.windows.net", harness.source.container)
    data = {"blob": name, "mailbox": MAILBOX, "messageId": "M="}
    event = {"id": "event-1", "eventType": "BlobToOutlook.AttachRequested", "data": data}
    asyncio.run(receive(cast("Any", None), harness.starter, watched, json.dumps(event)))


def call_status(harness: Harness, name: str) -> int:
    """The status of the answer to a call for the blob."""
    attach = AttachRequest.read({"blob": name, "mailbox": MAILBOX, "messageId": "M="})
    client = cast("df.DurableFunctionsClient", RecordingClient())
    (result,) = asyncio.run(harness.starter.from_request(client, attach))
    assert result.error is not None
    return int(error_response(result.error).status_code)


EVENTS = (run_blob_trigger, deliver_created, deliver_request)
