"""Mailboxes, their items, attachments and upload sessions: pure state and lookups."""

import hashlib
import mmap
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, InstanceOf

from infra.local.outlook.protocol import ids
from infra.local.outlook.protocol.addresses import ItemKind
from infra.local.outlook.protocol.errors import GraphError, item_not_found
from infra.local.outlook.state.upload_session import FileDescription, UploadSession

TENANT_GUID = "72aa88bf-76f0-494f-91ab-2d7cd730db47"


# A `StateFolder` has no such field.
_NOT_STORED = Field(exclude=True)


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """An attached file; `id` is immutable, `at` is the time of the commit.

    Responses include it from `visible_at` on; `OutlookEmulator.attachments` does at once.
    """

    id: str
    name: str
    content_type: str
    is_inline: bool
    content_id: str | None
    sha256: str
    at: datetime
    visible_at: datetime
    chunks: Annotated[tuple[bytes | InstanceOf[mmap.mmap], ...], _NOT_STORED] = field(
        default=(), repr=False, compare=False
    )

    @property
    def content(self) -> bytes:
        """All bytes of the file."""
        return b"".join(self.chunks)

    @property
    def content_bytes(self) -> int:
        """The number of bytes; the `size` that Graph reports is larger."""
        return sum(map(len, self.chunks))


@dataclass(kw_only=True)
class Item:
    """A message or an event; `id` is immutable."""

    id: str
    kind: ItemKind
    subject: str = ""
    is_draft: bool = True
    attachments: list[Attachment] = field(default_factory=list)
    sessions: Annotated[list[UploadSession], _NOT_STORED] = field(default_factory=list)

    def visible(self, now: datetime) -> list[Attachment]:
        """The attachments that responses include, oldest first."""
        return [each for each in self.attachments if each.visible_at <= now]

    def attachment(self, attachment_id: str, now: datetime) -> Attachment:
        """The visible attachment of that id. Raises 404 `ErrorItemNotFound`."""
        for each in self.visible(now):
            if each.id == attachment_id:
                return each
        raise item_not_found()

    def remove(self, attachment_id: str, now: datetime) -> None:
        """Delete an attachment. Raises 404 `ErrorItemNotFound`."""
        self.attachments.remove(self.attachment(attachment_id, now))

    def check_size(self, more: int, limit: int | None) -> None:
        """Check that the message with `more` bytes is within the administrator's limit.

        Raises 413 `ErrorMessageSizeExceeded`.
        """
        total = sum(each.content_bytes for each in self.attachments) + more
        if limit is not None and total > limit:
            message = f"The message exceeds the maximum supported size of {limit} bytes."
            raise GraphError(413, "ErrorMessageSizeExceeded", message)

    def check_single_writer(self, session: UploadSession, now: datetime) -> None:
        """Check that no other open session of this item has received bytes.

        Raises 412 `ErrorIrresolvableConflict`: an item has one writer at a time.
        """
        for other in self.sessions:
            if other is not session and other.received and other.is_open(now):
                message = (
                    "The send or update operation could not be performed because the change key "
                    "passed in the request does not match the current change key for the item."
                )
                raise GraphError(412, "ErrorIrresolvableConflict", message)


@dataclass(kw_only=True)
class Mailbox:
    """One mailbox: its address in lower case, and its name in upload URLs."""

    address: str
    directory_name: str = field(default_factory=lambda: f"{uuid.uuid4()}@{TENANT_GUID}")
    items: dict[str, Item] = field(default_factory=dict)

    def item(self, kind: ItemKind | None, item_id: str | None) -> Item:
        """The item with that id and of that kind. Raises 404 `ErrorItemNotFound`."""
        found = self.items.get(item_id or "")
        if found is None or found.kind != kind:
            raise item_not_found()
        return found

    def create(
        self, kind: ItemKind, subject: str, *, old_form: bool = False, item_id: str | None = None
    ) -> Item:
        """Create a draft or event, with a new immutable id unless one is given."""
        item = Item(id=item_id or ids.new_id(old_form=old_form), kind=kind, subject=subject)
        self.items[item.id] = item
        return item


class Mailboxes:
    """Every mailbox of the tenant, by address and by directory name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Mailbox] = {}

    def add(self, address: str) -> Mailbox:
        """Create an empty mailbox."""
        return self.keep(Mailbox(address=address.lower()))

    def keep(self, mailbox: Mailbox) -> Mailbox:
        """Add a mailbox with its items."""
        guid = mailbox.directory_name.partition("@")[0]
        for name in (mailbox.address, mailbox.directory_name, guid):
            self._by_name[name] = mailbox
        return mailbox

    def all(self) -> Iterable[Mailbox]:
        """Every mailbox, in the order in which they were added."""
        return {id(each): each for each in self._by_name.values()}.values()

    def get(self, name: str | None) -> Mailbox | None:
        """The mailbox with that address or directory name, regardless of case."""
        return self._by_name.get((name or "").lower())

    def find(self, name: str | None) -> Mailbox:
        """The same, but raises 404 `ErrorInvalidUser` when there is none."""
        mailbox = self.get(name)
        if mailbox is None:
            message = f"The requested user '{name}' is invalid."
            raise GraphError(404, "ErrorInvalidUser", message)
        return mailbox

    def sessions(self) -> Iterable[UploadSession]:
        """Every upload session, ended ones included."""
        for mailbox in self.all():
            for item in mailbox.items.values():
                yield from item.sessions


@dataclass(frozen=True)
class Committer:
    """Creates attachments from received bytes; `visible_after` is in seconds."""

    clock: Callable[[], datetime]
    visible_after: float

    def commit_session(self, item: Item, session: UploadSession) -> Attachment:
        """End a complete session with its attachment."""
        session.end = "finished"
        return self._commit(item, session.description, tuple(session.chunks), session.sha256)

    def commit_bytes(self, item: Item, description: FileDescription, content: bytes) -> Attachment:
        """Create the attachment of a small POST."""
        return self._commit(item, description, (content,), hashlib.sha256(content).hexdigest())

    def _commit(
        self, item: Item, description: FileDescription, chunks: tuple[bytes, ...], sha256: str
    ) -> Attachment:
        now = self.clock()
        attachment = Attachment(
            id=ids.new_id(),
            name=description.name,
            content_type=description.content_type or "application/octet-stream",
            is_inline=description.is_inline,
            content_id=description.content_id,
            sha256=sha256,
            at=now,
            visible_at=now + timedelta(seconds=self.visible_after),
            chunks=chunks,
        )
        item.attachments.append(attachment)
        return attachment
