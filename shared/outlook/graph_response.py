"""What a call to Graph or Outlook came back with, in the protocol's terms.

Nothing here decides what to do about an answer; that is the job's (``transfer/decisions``).
"""

import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from urllib.parse import unquote

# Seconds: the longest ``Retry-After`` that is believed.
MAX_RETRY_AFTER = 86_400.0

# A GUID, or what may stand for one: shown in logs and traces, so nothing else is believed.
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
# 'Attachments(' in any case; the id stands between its quotes, percent-encoded or not.
_ATTACHMENT = re.compile(r"attachments\((?:'|%27)(.+?)(?:'|%27)\)", re.IGNORECASE)


class Lost(Enum):
    """Why there is no answer."""

    NEVER_SENT = "the connection could not be made"
    NO_IDENTITY = "the app's managed identity gave no token"
    UNKNOWN = "the answer was lost"


@dataclass(frozen=True, slots=True)
class GraphResponse:
    """One answer, or the loss of one.

    ``status`` is None when there is no (intelligible) answer; then ``lost`` says why.
    ``retry_after`` is in seconds and never negative. ``code`` and ``message`` are the server's
    own words about an error, ``request_id`` the name under which Microsoft finds the request.
    ``body`` is the JSON object that came along, if there was one.
    """

    status: int | None = None
    lost: Lost | None = None
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    body: Mapping[str, object] = field(default_factory=dict, repr=False)
    location: str | None = None
    request_id: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the status says 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def attachment_id(self) -> str | None:
        """The id in ``Location``: the only proof that an upload session's file is attached."""
        match = _ATTACHMENT.search(self.location or "")
        found = unquote(match[1]) if match else ""
        # Metadata and paths take nothing else, and no id of Outlook's has anything else.
        return found if found and all("!" <= c <= "~" for c in found) else None


def parse_response(status: int, headers: Mapping[str, str], content: bytes) -> GraphResponse:
    """An answer out of its parts; ``headers`` must be readable without case.

    A 2xx whose JSON cannot be read is a lost answer: it may have said anything.
    """
    body = _json_object(content)
    succeeded = 200 <= status < 300
    if succeeded and body is None:
        return GraphResponse(lost=Lost.UNKNOWN)
    body = body or {}
    error = body.get("error")
    error = error if isinstance(error, Mapping) else {}
    return GraphResponse(
        status=status,
        code=str(error.get("code") or ""),
        message=str(error.get("message") or ""),
        retry_after=retry_after(headers.get("Retry-After"), headers.get("Date")),
        body=body,
        location=headers.get("Location"),
        request_id=_request_id(headers.get("request-id", "")),
    )


def _request_id(value: str) -> str:
    return value if _REQUEST_ID.fullmatch(value) else ""


def _json_object(content: bytes) -> Mapping[str, object] | None:
    if not content.strip():
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def retry_after(value: str | None, server_date: str | None = None) -> float | None:
    """Seconds to wait: ``Retry-After`` in whole or fractional seconds, or as an HTTP date.

    A date is measured against the server's own ``Date``, since clocks differ. More than a day is
    taken for a day: a mailbox must not be closed for years by a mistake.
    """
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d*)?", value.strip(), re.ASCII):
        seconds = float(value)
    else:
        until = _http_date(value)
        if until is None:
            return None
        now = _http_date(server_date or "") or datetime.now(UTC)
        seconds = (until - now).total_seconds()
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _http_date(value: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
