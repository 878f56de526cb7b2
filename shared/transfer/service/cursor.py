"""Cursors of the list of transfers: where the next page begins, and for which query."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from shared.errors import FieldFault, InvalidRequest

_POSITION = re.compile(r"\d{18}![0-9A-Za-z-]{1,100}")
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next page has what comes after a position, and was started since then."""

    after: str
    since: datetime

    @classmethod
    def read(cls, text: str, filters: Mapping[str, object], since: datetime | None) -> Self:
        """The cursor of a call, which must have the same filters as the call that returned it.

        Raises :class:`InvalidRequest`.
        """
        try:
            after, began, digest = json.loads(base64.b64decode(text, "-_", validate=True))
            cursor = cls(after, datetime.fromisoformat(began))
            if digest == cursor._digest(filters, since) and _POSITION.fullmatch(after):
                return cursor
        except (TypeError, ValueError):
            pass
        message = (
            "is not one that this query returned; send next as it was, with the same filters, or "
            "omit cursor to begin again"
        )
        raise InvalidRequest([FieldFault("cursor", message)])

    def to_text(self, filters: Mapping[str, object], since: datetime | None) -> str:
        """The cursor as callers pass it on, without a meaning to them."""
        values = [self.after, self.since.isoformat(), self._digest(filters, since)]
        return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()

    def _digest(self, filters: Mapping[str, object], since: datetime | None) -> str:
        given = since.isoformat() if since else None
        values = [self.after, self.since.isoformat(), given, dict(filters)]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_DIGITS]
