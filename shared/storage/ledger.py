"""The ledger: what the app itself remembers of each transfer, also after its end.

One row per transfer in a table of the app's own storage account. The row names the run and the
attempt that may send: whoever comes late finds that out before it sends anything. It stays for
HISTORY_DAYS after the end, so that "no row" always means "never sent".

The upload URL is a credential. It is in the row only while its session is open.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

from azure.data.tables import TableServiceClient

from shared.errors import StorageUnavailable
from shared.secret import Secret
from shared.storage.documents import (
    MAX_DOCUMENT_CHARACTERS,
    Document,
    DocumentTable,
    Key,
)

TABLE = "transfers"
# Rows of a sample.
_SAMPLED = 20

type EntryState = Literal["open", "attached", "removed", "ended"]
_STATES = frozenset(get_args(EntryState.__value__))


class LedgerUnreadable(StorageUnavailable, code="StorageUnavailable"):
    """Raised when a row cannot be read: nobody knows what was sent, so nothing is sent."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(
            f"The row of transfer {transfer_id} in the table {TABLE} cannot be read. "
            "If another program wrote it, delete it."
        )


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One transfer's row.

    ``run`` is a fencing token: when the run that wrote last began, as text that sorts by time. A
    run that began earlier sends nothing. ``attempt`` is the one that last began to send, from 1
    on. ``state`` is *open* while its run may send, *ended* when it ended with nothing attached.
    ``attachment_id`` is what was attached, also while a later run sends what the blob has since.
    ``earlier_attachments`` are the ids that the item had before this transfer sent anything, None
    before it was ready to send.
    ``began`` is where the last run of ranges of the open upload session began, None before one.
    ``unsure``: it may have been sent, and nobody knows whether it is attached.
    ``etag`` is the version that was read, empty for an entry that has no row yet.
    """

    transfer_id: str
    run: str = ""
    attempt: int = 0
    state: EntryState = "open"
    attachment_id: str = ""
    earlier_attachments: tuple[str, ...] | None = None
    upload_url: Secret | None = None
    began: int | None = None
    unsure: bool = False
    etag: str = ""

    def closed(self, run: str, *, unsure: bool = False) -> "LedgerEntry":
        """The row at the end of a run that has attached nothing, without a session.

        What an earlier run has attached stays attached.
        """
        state: EntryState = "attached" if self.attachment_id else "ended"
        return replace(
            self, run=run, state=state, unsure=unsure or self.unsure, upload_url=None, began=None
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """How many rows of a few are the ledger's own, and how many cannot be read."""

    own: int
    foreign: int


class Ledger:
    """The rows, by transfer id."""

    def __init__(self, service: TableServiceClient) -> None:
        self._rows = DocumentTable(service, TABLE)

    def get(self, transfer_id: str) -> LedgerEntry | None:
        """The transfer's row, None when there is none.

        Raises :class:`LedgerUnreadable` and :class:`StorageUnavailable`.
        """
        document = self._rows.read(_key(transfer_id))
        return _entry(transfer_id, document) if document else None

    def put(self, entry: LedgerEntry) -> LedgerEntry:
        """Write the row in place of the version that the entry was read as; as it is now.

        Raises :class:`~shared.storage.documents.DocumentConflict` when another delivery has
        written it meanwhile, and :class:`StorageUnavailable`.
        """
        text = _text(entry)
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            number = len(entry.earlier_attachments or ())
            raise StorageUnavailable(
                f"The item holds {number:,} attachments, more than the app can keep track of. "
                "Remove some of them."
            )
        columns = {
            "state": entry.state,
            "uploadUrl": entry.upload_url.reveal() if entry.upload_url else "",
        }
        return replace(
            entry, etag=self._rows.write(_key(entry.transfer_id), text, entry.etag, columns)
        )

    def sample(self, seconds: float) -> Sample | None:
        """The table's first rows, None if there is no table yet; the table can then be written.

        One try of some seconds. Raises :class:`StorageUnavailable`.
        """
        found = self._rows.sample(_SAMPLED, seconds)
        if found is None:
            return None
        own = sum(_is_own(f"{key.partition}-{key.row}", document) for key, document in found)
        return Sample(own, len(found) - own)

    def purge(self, before: datetime, is_gone: Callable[[str], bool]) -> int:
        """Delete the rows of transfers that ended before then; how many there were.

        An open row was left by an instance that was terminated, or is of one that still runs: it
        stays unless ``is_gone`` says that there is no such instance.
        Raises :class:`StorageUnavailable`.
        """
        purged = 0
        for page in self._rows.written_before(before, "state"):
            for key, etag, state in page:
                if state != "open" or is_gone(f"{key.partition}-{key.row}"):
                    self._rows.delete(key, etag)
                    purged += 1
        return purged


def _key(transfer_id: str) -> Key:
    """All transfers of the same content to the same item share a partition."""
    fingerprint, _, attempt = transfer_id.partition("-")
    return Key(fingerprint, attempt)


def _text(entry: LedgerEntry) -> str:
    return json.dumps(
        {
            "run": entry.run,
            "attempt": entry.attempt,
            "attachmentId": entry.attachment_id,
            "earlierAttachments": entry.earlier_attachments,
            "began": entry.began,
            "unsure": entry.unsure,
        }
    )


def _entry(transfer_id: str, document: Document) -> LedgerEntry:
    try:
        return _parsed(transfer_id, json.loads(document.text), document)
    except (KeyError, TypeError, ValueError):
        raise LedgerUnreadable(transfer_id) from None


def _is_own(transfer_id: str, document: Document) -> bool:
    try:
        _entry(transfer_id, document)
    except LedgerUnreadable:
        return False
    return True


def _parsed(transfer_id: str, values: Mapping[str, Any], document: Document) -> LedgerEntry:
    earlier, state = values["earlierAttachments"], document.columns["state"]
    if state not in _STATES or not all(isinstance(each, str) for each in earlier or ()):
        raise ValueError(state)
    url = str(document.columns["uploadUrl"])
    # Not every row has it.
    began = values.get("began")
    return LedgerEntry(
        transfer_id=transfer_id,
        run=str(values["run"]),
        attempt=int(values["attempt"]),
        state=state,
        attachment_id=str(values["attachmentId"]),
        earlier_attachments=None if earlier is None else tuple(earlier),
        upload_url=Secret(url, "upload URL") if url else None,
        began=None if began is None else int(began),
        unsure=bool(values["unsure"]),
        etag=document.etag,
    )
