"""A transfer in the listing: its index keys, and its summary as text."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

# The state of all transfers that have not ended.
RUNNING = "running"
ALL = "all"

# Microseconds; later than any time that has a meaning here.
_END_OF_TIME = 10**18 - 1


@dataclass(frozen=True, slots=True)
class Listed:
    """A transfer in the listing. ``summary`` is JSON, of which only the parts here are known.

    ``state`` is that of the index: RUNNING, or how the transfer ended.
    """

    id: str
    started: datetime
    state: str
    blob: str
    mailbox: str | None
    summary: Mapping[str, Any] = field(repr=False)

    @property
    def position(self) -> str:
        """Its place among all transfers, as text that sorts newest first."""
        return f"{inverted(self.started)}!{self.id}"

    @property
    def is_running(self) -> bool:
        """Whether it is not known to have ended."""
        return self.state == RUNNING

    def index_keys(self) -> list[str]:
        """The row keys of its indexes."""
        indexes = [ALL, by_state(self.state), by_blob(self.blob)]
        if self.mailbox:
            indexes.append(by_mailbox(self.mailbox))
        return [f"{index}!{self.position}" for index in indexes]


def by_state(state: str) -> str:
    """The index of the transfers in this state."""
    return f"state!{state}"


def by_mailbox(mailbox: str) -> str:
    """The index of a mailbox's transfers; an address may hold characters that a key may not."""
    return f"mailbox!{_hash(mailbox.lower())}"


def by_blob(blob: str) -> str:
    """The index of the transfers of the blobs with this name."""
    return f"blob!{_hash(blob)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def inverted(time: datetime) -> str:
    """A time as text that sorts the latest first."""
    since_1970 = time - datetime(1970, 1, 1, tzinfo=UTC)
    return f"{_END_OF_TIME - since_1970 // timedelta(microseconds=1):018}"


def text_of(row: Listed) -> str:
    """The row's document."""
    return json.dumps(
        {
            "id": row.id,
            "started": row.started.isoformat(),
            "state": row.state,
            "blob": row.blob,
            "mailbox": row.mailbox,
            "summary": dict(row.summary),
        }
    )


def listed(text: str) -> Listed | None:
    """The transfer of a row's document; None if something else wrote it."""
    try:
        values = json.loads(text)
        values["started"] = datetime.fromisoformat(values["started"])
        row = Listed(**values)
        # What only looks like a transfer is found out here, and not by whoever uses it.
        return row if row.index_keys() and isinstance(row.summary, dict) else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
