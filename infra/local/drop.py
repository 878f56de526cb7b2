"""Uploads files to the source container and follows their transfers."""

import hashlib
import json
import mimetypes
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from infra.local.errors import LocalError, UsageError
from infra.local.stack import StackInfo
from shared.errors import TransferError
from shared.storage.source_container import SourceContainer
from shared.transfer.addressing import decode, read_address
from shared.transfer.payloads import TransferStatus
from shared.transfer.transfer_id import instance_id

_POLL_SECONDS = 0.1
_START_WITHIN_SECONDS = 30.0
_ENDED = {
    OrchestrationStatus.COMPLETED,
    OrchestrationStatus.FAILED,
    OrchestrationStatus.TERMINATED,
}


@dataclass(frozen=True, slots=True)
class Dropped:
    """An uploaded blob, and the id of its transfer."""

    blob: str
    size: int
    transfer_id: str


def source_container(info: StackInfo) -> ContainerClient:
    """The source container of a running stack."""
    service = BlobServiceClient.from_connection_string(info.blob_connection_string)
    return service.get_container_client(info.container)


def drop(info: StackInfo, content: bytes, name: str, to: str, content_type: str) -> Dropped:
    """Upload a file for the item ``to``: ``{mailbox}/messages/{id}`` or ``…/events/{id}``.

    The blob's path contains the item, so that the same file can be dropped for several items.
    Raises :class:`UsageError` when ``to`` has another form.
    """
    blob_name = f"{_item_path(to)}/{quote(name, safe=' ')}"
    container = source_container(info)
    md5 = bytearray(hashlib.md5(content, usedforsecurity=False).digest())
    container.upload_blob(
        blob_name,
        content,
        overwrite=True,
        content_settings=ContentSettings(content_type=content_type, content_md5=md5),
    )
    source = SourceContainer(container)
    blob = source.look(blob_name)
    item = read_address(blob.name, blob.metadata).item
    return Dropped(blob_name, len(content), instance_id(blob, str(item)))


def drop_file(info: StackInfo, file: Path, to: str) -> Dropped:
    """Upload a local file; raises :class:`UsageError` when it cannot be read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return drop(info, content, file.name, to, content_type)


def follow(info: StackInfo, dropped: Iterable[Dropped], console: Console) -> list[TransferStatus]:
    """Show a progress bar per transfer, from the orchestrations' status, until all have ended.

    Raises :class:`LocalError` when a blob's transfer does not start.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    client = TaskHubGrpcClient(host_address=info.durable_address)
    with (
        closing(client),
        Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as progress,
    ):
        bars = {
            each: progress.add_task(decode(each.blob.rsplit("/", 1)[-1]), total=each.size, state="")
            for each in dropped
        }
        ends: dict[Dropped, TransferStatus] = {}
        deadline = time.monotonic() + _START_WITHIN_SECONDS
        while len(ends) < len(bars):
            for each, bar in bars.items():
                status, ended = _status(client, each)
                if status is None and time.monotonic() > deadline:
                    raise LocalError(f"No transfer started for {each.blob}. See the stack's log.")
                if status is not None:
                    progress.update(bar, completed=status.bytes_sent, state=status.state)
                    if ended:
                        ends[each] = status
            time.sleep(_POLL_SECONDS)
    return [ends[each] for each in bars]


def _status(client: TaskHubGrpcClient, dropped: Dropped) -> tuple[TransferStatus | None, bool]:
    """The transfer's status, and whether it has ended."""
    state = client.get_orchestration_state(dropped.transfer_id)
    text = state and (state.serialized_output or state.serialized_custom_status)
    if state is None or not text:
        return None, False
    ended = state.runtime_status in _ENDED
    if state.runtime_status is OrchestrationStatus.FAILED:
        text = state.serialized_custom_status or text
    return TransferStatus.from_json(json.loads(text)), ended


def _item_path(to: str) -> str:
    mailbox, _, rest = to.partition("/")
    collection, _, item_id = rest.partition("/")
    path = f"{quote(mailbox, safe='@')}/{collection}/{quote(item_id, safe='=')}"
    try:
        read_address(f"{path}/file", {})
    except TransferError as error:
        raise UsageError(
            f"{to!r} is not an item. Use --to MAILBOX/messages/ID or MAILBOX/events/ID."
        ) from error
    return path
