"""The app under the real Functions host; skipped where Core Tools are not installed.

Needs ``func``, and Azurite on its usual ports: ``azurite --skipApiVersionCheck``.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from infra.local.outlook import OutlookEmulator
from tests.support.waiting import until

FUNC = shutil.which("func")
ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
STORAGE = SETTINGS["AzureWebJobsStorage"]
MAILBOX = "scans@contoso.com"

pytestmark = [
    pytest.mark.skipif(FUNC is None, reason="Azure Functions Core Tools (func) are not installed"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def outlook() -> Iterator[OutlookEmulator]:
    with OutlookEmulator() as running:
        running.add_mailbox(MAILBOX)
        yield running


@pytest.fixture(scope="module")
def url(outlook: OutlookEmulator) -> Iterator[str]:
    """The URL of the app under ``func start``, once it responds."""
    service = BlobServiceClient.from_connection_string(STORAGE)
    with suppress(ResourceExistsError):
        service.create_container(SETTINGS["SOURCE_CONTAINER"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = SETTINGS | {
        "GRAPH_BASE_URL": outlook.url,
        "IDENTITY_ENDPOINT": outlook.identity_endpoint,
        "IDENTITY_HEADER": outlook.identity_header,
    }
    host = subprocess.Popen(
        [str(FUNC), "start", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        # The first start fetches the extension bundle.
        until(lambda: _alive(f"http://127.0.0.1:{port}", host), seconds=300)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(host.pid, signal.SIGTERM)
        host.wait(timeout=60)


def _alive(url: str, host: subprocess.Popen[bytes]) -> bool | None:
    assert host.poll() is None, "the Functions host has ended"
    try:
        return requests.get(f"{url}/api/health", timeout=5).ok or None
    except requests.RequestException:
        return None


def put(name: str, content: bytes, **metadata: str) -> None:
    service = BlobServiceClient.from_connection_string(STORAGE)
    container = service.get_container_client(SETTINGS["SOURCE_CONTAINER"])
    container.upload_blob(name, content, overwrite=True, metadata=metadata)


def attached(outlook: OutlookEmulator, item: str) -> list[bytes] | None:
    return [each.content for each in outlook.attachments(MAILBOX, item)] or None


@pytest.mark.parametrize("size", [200_000, 5_300_000])
def test_a_requested_file_becomes_an_attachment(
    url: str, outlook: OutlookEmulator, size: int
) -> None:
    """By the HTTP API, on Durable's own engine."""
    item, content = outlook.add_item(MAILBOX, "message"), os.urandom(size)
    put(f"requested-{size}.bin", content)
    body = {"blob": f"requested-{size}.bin", "mailbox": MAILBOX, "messageId": item}
    response = requests.post(f"{url}/api/transfers", json=body, timeout=60)
    assert response.status_code == 202, response.text
    assert until(lambda: attached(outlook, item)) == [content]


def test_a_created_blob_becomes_an_attachment(url: str, outlook: OutlookEmulator) -> None:
    """By the webhook of the blob extension, as Event Grid calls it."""
    item, content = outlook.add_item(MAILBOX, "message"), os.urandom(5_300_000)
    put("dropped.bin", content, mailbox=MAILBOX, messageid=item)
    container = SETTINGS["SOURCE_CONTAINER"]
    event = {
        "id": "1",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-01-01T00:00:00Z",
        "topic": "/storage",
        "subject": f"/blobServices/default/containers/{container}/blobs/dropped.bin",
        "data": {
            "api": "PutBlob",
            "url": f"http://127.0.0.1:10000/devstoreaccount1/{container}/dropped.bin",
        },
        "dataVersion": "",
        "metadataVersion": "1",
    }
    response = requests.post(
        f"{url}/runtime/webhooks/blobs?functionName=Host.Functions.blob_arrived",
        json=[event],
        headers={"aeg-event-type": "Notification"},
        timeout=60,
    )
    assert response.ok, response.text
    assert until(lambda: attached(outlook, item)) == [content]
