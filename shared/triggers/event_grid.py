"""The Event Grid trigger: events about created and renamed blobs, and attach requests as events.

Event Grid repeats a failed delivery for a day, so only errors that may be gone by then are raised.
All others are logged in one line, without the event's URL, which may hold a signature.
"""

import json
import logging
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass

import azure.durable_functions as df

from shared.errors import BlobDeleted, InvalidRequest, Permanent, StorageUnavailable
from shared.settings import Settings
from shared.transfer.addressing import decode
from shared.transfer.admission import FolderMarker
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.start import Started, Starter
from shared.transfer.storage_policy import is_retryable

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
BLOB_RENAMED = "Microsoft.Storage.BlobRenamed"
ATTACH_REQUESTED = "BlobToOutlook.AttachRequested"
# The storage calls that complete a blob. CreateFile and SftpCreate create an empty one, which
# FlushWithClose or SftpCommit completes.
_COMPLETING = frozenset({"PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose", "SftpCommit"})

_SUBJECT = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_BLOB_NAME_LENGTH = 1_024
_PLAIN_FIELD = re.compile(r"[A-Za-z0-9.]{1,60}")
# Characters of an event's own text that a log entry shows.
_SHOWN = 100

_LOG = logging.getLogger(__name__)


class MalformedEvent(Exception):
    """Raised for an event that does not match its type. The text never quotes its URL."""


class DroppedEvent(Exception):
    """Raised for a valid event that is not for this app."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """The parts of an event that this app reads, from either schema."""

    id: str
    type: str
    subject: str
    data: object


@dataclass(frozen=True, slots=True)
class WatchedContainer:
    """The source container as events name it.

    ``host`` is the part of the account's URLs after the scheme: a host, followed by the account's
    name on an emulator.
    """

    host: str
    name: str

    def blob_of(self, url: str) -> str | None:
        """The name of the blob with this URL, None when it is not in this container.

        By the account's blob or dfs endpoint. The URL's path is percent-decoded once.
        """
        place = url.partition("://")[2].partition("?")[0]
        for host in (self.host.lower(), self.host.lower().replace(".blob.", ".dfs.", 1)):
            root = f"{host}/{self.name}/"
            if place[: len(root)].lower() == root:
                return decode(place[len(root) :])
        return None


def event_grid_functions(settings: Settings, starter: Starter, account_host: str) -> df.Blueprint:
    """A blueprint with ``event_received``; see :class:`WatchedContainer` for ``account_host``."""
    blueprint = df.Blueprint()
    # A client's URL may end in a slash and a signature.
    host = account_host.partition("?")[0].rstrip("/")
    watched = WatchedContainer(host, settings.source_container)

    # The binding is text: the library's event classes reject times that CloudEvents allow, and an
    # error before this function would cause useless deliveries.
    @blueprint.event_grid_trigger(arg_name="event")
    @blueprint.durable_client_input(client_name="client")
    async def event_received(event: str, client: df.DurableFunctionsClient) -> None:
        """Start the transfers that the event requests."""
        await receive(client, starter, watched, event)

    return blueprint


async def receive(
    client: df.DurableFunctionsClient, starter: Starter, watched: WatchedContainer, text: str
) -> None:
    """Start the transfers that an event requests, or log why not.

    Raises :class:`StorageUnavailable` and the engine's own errors: another delivery may succeed.
    """
    shown = ""
    try:
        event = read_event(text)
        shown = event.id[:_SHOWN]
        await _start(client, starter, watched, event)
    except MalformedEvent as error:
        _LOG.warning("event %r is refused: %s", shown, error)
    except DroppedEvent as reason:
        _LOG.info("event %r is dropped: %s", shown, reason)
    except FolderMarker:
        _LOG.debug("event %r is about a folder", shown)
    except Permanent as error:
        _LOG.warning("event %r starts nothing: %s: %s", shown, error.code, _sentence(error))
    except StorageUnavailable as error:
        if is_retryable(error):
            raise
        _LOG.warning("event %r starts nothing: %s: %s", shown, error.code, error.sentence)


def read_event(text: str) -> ReceivedEvent:
    """The event that this JSON holds, in the Event Grid schema or as CloudEvents 1.0.

    Raises :class:`MalformedEvent`.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedEvent("it is not JSON, or nested too deeply") from None
    if not isinstance(body, dict):
        raise MalformedEvent("it is not a JSON object")
    return ReceivedEvent(
        id=_text(body, "id"),
        type=_text(body, "type" if "specversion" in body else "eventType"),
        subject=_text(body, "subject") if "subject" in body else "",
        data=body.get("data"),
    )


def complete_blob(event: ReceivedEvent, watched: WatchedContainer) -> list[str]:
    """The possible names of the blob that an event reports complete, best first.

    That of its URL, since a subject can lose characters; then that of the subject, which storage
    writes as it is, and which another sender may have encoded. A renamed blob has its new name in
    both, and is complete.
    Raises :class:`MalformedEvent` and :class:`DroppedEvent`.
    """
    if not isinstance(event.data, dict):
        raise MalformedEvent("its data is not a JSON object")
    is_renamed = event.type == BLOB_RENAMED
    api = _text(event.data, "api")
    url = _text(event.data, "destinationUrl" if is_renamed else "url")
    subject = _SUBJECT.fullmatch(event.subject)
    if subject is None:
        raise MalformedEvent("its subject names no blob")
    container, name = subject.groups()
    in_url = watched.blob_of(url)
    if container != watched.name or in_url is None:
        raise DroppedEvent("its blob is in another account or container")
    if api not in _COMPLETING and not is_renamed:
        raise DroppedEvent(f"{api[:_SHOWN]!r} does not complete a blob")
    names = [each for each in (in_url, name, decode(name)) if 0 < len(each) <= _BLOB_NAME_LENGTH]
    if not names:
        raise MalformedEvent("its blob's name is too long")
    return list(dict.fromkeys(names))


async def _start(
    client: df.DurableFunctionsClient,
    starter: Starter,
    watched: WatchedContainer,
    event: ReceivedEvent,
) -> None:
    if event.type in {BLOB_CREATED, BLOB_RENAMED}:
        await _start_complete(client, starter, complete_blob(event, watched))
    elif event.type == ATTACH_REQUESTED:
        await _start_requested(client, starter, event)
    else:
        raise DroppedEvent(f"{event.type[:_SHOWN]!r} is not an event for this app")


async def _start_complete(
    client: df.DurableFunctionsClient, starter: Starter, names: list[str]
) -> None:
    """Start the transfer of the first of these blobs that exists."""
    *others, last = names
    for name in others:
        with suppress(BlobDeleted):
            return _log_start(name, await starter.from_blob(client, name))
    _log_start(last, await starter.from_blob(client, last))
    return None


def _log_start(name: str, started: Started) -> None:
    if started.joined:
        _LOG.debug("blob %r joins transfer %s", name, started.id)


async def _start_requested(
    client: df.DurableFunctionsClient, starter: Starter, event: ReceivedEvent
) -> None:
    """Start the requested transfers. Every delivery has the same id: it is the same attempt."""
    unavailable: StorageUnavailable | None = None
    for result in await starter.from_request(client, AttachRequest.read(event.data), event.id):
        error = result.error
        if isinstance(error, StorageUnavailable) and is_retryable(error):
            unavailable = error
        elif error is not None:
            _LOG.warning(
                "event %r: blob %r is not transferred: %s: %s",
                event.id[:_SHOWN],
                result.blob,
                error.code,
                error.sentence,
            )
    if unavailable is not None:
        raise unavailable


def _text(body: dict[str, object], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise MalformedEvent(f"its {field} is missing or not a string")
    if any(unicodedata.category(character) == "Cs" for character in value):
        raise MalformedEvent(f"its {field} is not valid Unicode")
    return value


def _sentence(error: Permanent) -> str:
    """The error in one line. Of the request's own text, it quotes plain field names only."""
    if not isinstance(error, InvalidRequest):
        return error.sentence
    return "; ".join(
        f"{fault.field if _PLAIN_FIELD.fullmatch(fault.field) else 'a field'}: {fault.message}"
        for fault in error.details
    )
