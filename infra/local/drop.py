"""Uploads files to the source container and follows their transfers."""

import hashlib
import json
import mimetypes
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.table import Column

from infra.local.errors import LocalError, UsageError
from infra.local.selection import ChosenFile
from infra.local.stack_info import StackInfo
from shared.errors import TransferError
from shared.outlook.item import ITEM_KINDS, OutlookItem
from shared.storage.source_container import SourceContainer
from shared.transfer.addressing import decode, read_address, safe_file_name
from shared.transfer.payloads import Failure, TransferStatus
from shared.transfer.transfer_id import instance_id

_ADDRESS_KEYS = {"mailbox", *(kind.metadata_key for kind in ITEM_KINDS.values())}
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file; without ``dropped`` and ``end`` it was not uploaded."""

    file: ChosenFile
    dropped: Dropped | None
    end: TransferStatus | None
    error: Failure | None

    @property
    def state(self) -> str:
        """The last state of the transfer."""
        return self.end.state if self.end else "failed"

    def to_json(self) -> dict[str, object]:
        """The transfer as the HTTP API shows it, with the file's path."""
        values: dict[str, object] = {"file": str(self.file.path)}
        if self.dropped and self.end:
            return values | {"id": self.dropped.transfer_id} | self.end.to_json()
        error = self.error.to_json() if self.error else None
        return values | {"state": self.state, "error": error}


def source_container(info: StackInfo) -> ContainerClient:
    """The source container of a running stack."""
    service = BlobServiceClient.from_connection_string(info.blob_connection_string)
    return service.get_container_client(info.container)


def drop(
    info: StackInfo,
    content: bytes,
    name: str,
    to: str | None,
    content_type: str,
    *,
    metadata: Mapping[str, str] | None = None,
) -> Dropped:
    """Upload a file for the item ``to``: ``{mailbox}/messages/{id}`` or ``…/events/{id}``.

    The blob's path contains the item, so that the same file can be dropped for several items.
    Without ``to`` the metadata name the item. A ``name`` with folders keeps two files of one name
    apart; the attachment has its last part.
    Raises :class:`UsageError` when neither names an item.
    """
    blob_name, metadata = _addressed(name, to, metadata or {})
    container = source_container(info)
    md5 = bytearray(hashlib.md5(content, usedforsecurity=False).digest())
    container.upload_blob(
        blob_name,
        content,
        overwrite=True,
        metadata=metadata,
        content_settings=ContentSettings(content_type=content_type, content_md5=md5),
    )
    return transfer_of(container, blob_name)


def transfer_of(container: ContainerClient, blob_name: str, item: str = "") -> Dropped:
    """The transfer of a blob to this item; without one, to the item that the blob names."""
    blob = SourceContainer(container).look(blob_name)
    item = item or str(read_address(blob.name, blob.metadata).item)
    return Dropped(blob_name, blob.size, instance_id(blob, item))


def drop_files(
    info: StackInfo,
    files: Iterable[ChosenFile],
    to: str | None,
    metadata: Mapping[str, str],
    console: Console,
) -> list[Outcome]:
    """Upload files and follow their transfers, with a progress bar for each, until all have ended.

    Raises :class:`UsageError` when no item is named, :class:`LocalError` when a transfer does not
    start.
    """
    _addressed("file", to, metadata)
    refused: dict[ChosenFile, Failure] = {}
    bars: dict[ChosenFile, tuple[Dropped, TaskID]] = {}
    chosen = list(files)
    with _progress(console) as progress:
        for file in chosen:
            bar = progress.add_task(file.name, total=None, state="uploading")
            try:
                bars[file] = (_drop_file(info, file, to, metadata), bar)
            except HttpResponseError as error:
                refused[file] = Failure(code="NotUploaded", message=_reason(error))
                progress.update(bar, total=0, state="not uploaded")
        ends = _follow(info, dict(bars.values()), progress)
    return [
        Outcome(file, None, None, refused[file])
        if file in refused
        else Outcome(file, bars[file][0], ends[bars[file][0]], ends[bars[file][0]].error)
        for file in chosen
    ]


def follow(info: StackInfo, dropped: Iterable[Dropped], console: Console) -> list[TransferStatus]:
    """Show a progress bar per transfer, from the orchestrations' status, until all have ended.

    Raises :class:`LocalError` when a blob's transfer does not start.
    """
    with _progress(console) as progress:
        bars = {
            each: progress.add_task(
                decode(each.blob.rsplit("/", 1)[-1]), total=each.size, state="waiting"
            )
            for each in dropped
        }
        ends = _follow(info, bars, progress)
    return [ends[each] for each in bars]


def _progress(console: Console) -> Progress:
    """One line per file, however long its name is."""

    def one_line(share: int | None = None) -> Column:
        return Column(no_wrap=True, overflow="ellipsis", ratio=share)

    return Progress(
        TextColumn("{task.description}", markup=False, table_column=one_line(1)),
        BarColumn(24, table_column=one_line()),
        DownloadColumn(table_column=one_line()),
        TextColumn("{task.fields[state]}", markup=False, table_column=Column(width=12)),
        console=console,
        expand=True,
    )


def _follow(
    info: StackInfo, bars: Mapping[Dropped, TaskID], progress: Progress
) -> dict[Dropped, TransferStatus]:
    ends: dict[Dropped, TransferStatus] = {}
    deadline = time.monotonic() + _START_WITHIN_SECONDS
    with closing(TaskHubGrpcClient(host_address=info.durable_address)) as client:
        while len(ends) < len(bars):
            for each, bar in bars.items():
                if each in ends:
                    continue
                status, ended = _status(client, each)
                if status is None and time.monotonic() > deadline:
                    raise LocalError(f"No transfer started for {each.blob}. See the stack's log.")
                if status is not None:
                    done = each.size if status.state == "attached" else status.bytes_sent
                    progress.update(bar, completed=done, total=each.size, state=status.state)
                    if ended:
                        ends[each] = status
            time.sleep(_POLL_SECONDS)
    return ends


def _drop_file(
    info: StackInfo, file: ChosenFile, to: str | None, metadata: Mapping[str, str]
) -> Dropped:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise UsageError(f"{file.path} cannot be read: {error.strerror}.") from error
    content_type = mimetypes.guess_type(file.path.name)[0] or "application/octet-stream"
    return drop(info, content, file.name, to, content_type, metadata=metadata)


def _reason(error: HttpResponseError) -> str:
    first = str(error.message).splitlines()[0] if error.message else ""
    return f"{first} Storage refused the file with {error.status_code}.".strip()


def _addressed(
    name: str, to: str | None, metadata: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """The blob's name, and its metadata with the attachment's name where the other lacks it."""
    plain = name.rsplit("/", 1)[-1]
    own = {key.lower() for key in metadata}
    blob_name = f"{_item_path(to)}/{quote(name, safe=' ')}" if to else name
    if to and own & _ADDRESS_KEYS:
        raise UsageError("Name the item by --to or by metadata, not by both.")
    try:
        read = read_address(blob_name, metadata).file_name
    except TransferError as error:
        hint = "" if to else " Use --to MAILBOX/messages/ID, or metadata."
        raise UsageError(f"{error.sentence}{hint}") from error
    if "filename" in own or read == safe_file_name(plain):
        return blob_name, dict(metadata)
    return blob_name, {**metadata, "filename": quote(plain)}


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


def item_of_path(to: str) -> OutlookItem:
    """The item of ``{mailbox}/messages/{id}`` or ``…/events/{id}``; raises :class:`UsageError`."""
    return read_address(f"{_item_path(to)}/file", {}).item


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
