"""The response of Graph or Outlook to one request, parsed.

Nothing here decides what to do about a response: ``transfer/retry_policy`` does.
"""

import email.utils
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from urllib.parse import unquote

# Seconds: a longer ``Retry-After`` is cut to this.
MAX_RETRY_AFTER = 86_400.0

# A GUID or something like it: logs and traces show it, so anything else is dropped.
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
# Characters of a Location that is searched for the id: ten times what Outlook sends.
MAX_LOCATION = 8_192
# Any case; the quotes around the id may be percent-encoded.
_ATTACHMENT = re.compile(r"attachments\((?:'|%27)(.+?)(?:'|%27)\)", re.IGNORECASE)

# The keys that this app reads. Graph, Outlook and the clouds spell them in different cases.
_SPELLINGS = {
    key.lower(): key
    for key in (
        *("uploadUrl", "nextExpectedRanges", "expirationDateTime"),
        *("value", "@odata.nextLink", "error", "code", "message"),
        *("id", "name", "contentType", "size", "isInline", "lastModifiedDateTime", "contentId"),
        "isDraft",
    )
}


class NoResponse(Enum):
    """Why a request has no usable response."""

    NEVER_SENT = "the connection could not be made"
    NO_IDENTITY = "the app's managed identity gave no token"
    UNKNOWN = "the response was lost or unreadable"


@dataclass(frozen=True, slots=True)
class GraphResponse:
    """One response, or the reason why there is none.

    Either ``status`` or ``no_response`` is set. ``retry_after`` is in seconds and never negative.
    ``code`` and ``message`` are the server's error, ``request_id`` identifies the request to
    Microsoft's support. ``body`` is the JSON object of the response, empty if there is none; the
    keys that this app reads have their documented case in it, at every depth. ``unread`` is what
    arrived of a success that cannot be read; it may contain a credential.
    """

    status: int | None = None
    no_response: NoResponse | None = None
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    body: Mapping[str, object] = field(default_factory=dict, repr=False)
    location: str | None = None
    request_id: str = ""
    unread: bytes = field(default=b"", repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def attachment_id(self) -> str | None:
        """The id in ``Location``: the only proof that an upload session's file is attached."""
        location = self.location or ""
        match = _ATTACHMENT.search(location) if len(location) <= MAX_LOCATION else None
        found = unquote(match[1]) if match else ""
        # The id goes into blob metadata and URLs. Outlook's ids have no other characters.
        return found if found and all("!" <= c <= "~" for c in found) else None


@dataclass(frozen=True, slots=True)
class ResponseRules:
    """Statuses that the HTTP layer has to know; the values are the caller's policy.

    ``token_refused``: send once more with a new token; ``throttled``: counted by the telemetry.
    """

    token_refused: frozenset[int]
    throttled: frozenset[int]


def parse_response(status: int, headers: Mapping[str, str], content: bytes) -> GraphResponse:
    """Parse a response; ``headers`` must ignore case.

    A 2xx with unreadable JSON counts as lost, since its outcome is unknown.
    """
    body = _json_object(content)
    succeeded = 200 <= status < 300
    if succeeded and body is None:
        return GraphResponse(no_response=NoResponse.UNKNOWN, unread=content)
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
        value = json.loads(content, object_pairs_hook=_spelled)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _spelled(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """An object with the keys of ``_SPELLINGS`` in their documented case.

    Of a key that comes in two cases, the last one with a value counts.
    """
    result: dict[str, object] = {}
    for key, value in pairs:
        spelled = _SPELLINGS.get(key.lower(), key)
        if value is not None or spelled not in result:
            result[spelled] = value
    return result


def retry_after(value: str | None, server_date: str | None = None) -> float | None:
    """Parse ``Retry-After``: whole or fractional seconds, or an HTTP date; the result is seconds.

    A date is compared with the server's own ``Date``, since clocks differ. More than a day is cut
    to a day, so that a wrong date does not stop a mailbox for years.

    urllib3's parser would raise for fractions, and compare dates with the local clock.
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
