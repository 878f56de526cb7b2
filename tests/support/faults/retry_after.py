"""The Retry-After of each response, and the requests that came too early."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from infra.local.outlook import RecordedRequest


def retry_at(request: RecordedRequest) -> datetime | None:
    """When the next request may be sent, by the server's clock; None if it did not say."""
    value = request.answer_headers.get("Retry-After")
    # A lost response has no status. Tokens come from another service.
    if value is None or request.status is None or request.kind == "token":
        return None
    try:
        return request.at + timedelta(seconds=float(value))
    except ValueError:
        return parsedate_to_datetime(value)


def early_requests(requests: Sequence[RecordedRequest]) -> list[str]:
    """The requests that were sent before the Retry-After of an earlier response was over."""
    found = []
    for index, request in enumerate(requests):
        if (free := retry_at(request)) is not None:
            found += [
                f"{later.kind} {free - later.at} early after {request.kind} {request.status}"
                for later in requests[index + 1 :]
                if later.at < free - timedelta(microseconds=1)
            ]
    return found
