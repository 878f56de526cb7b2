"""Behaviour of the real service that is not published, or that an administrator sets."""

import math
from dataclasses import dataclass
from typing import Literal

ALL_PERMISSIONS = frozenset({"Mail.ReadWrite", "Calendars.ReadWrite"})


@dataclass(frozen=True, kw_only=True)
class Rules:
    """One possible behaviour of the service; sizes are in bytes.

    The defaults are those of `docs/protocol.md`; see there "Limits of the service" and "Unknown
    points".

    `minimum_session_bytes`: a smaller file is refused a session (3,145,728 or 3,000,000).
    `maximum_attachment_bytes`: a larger declared size is refused.
    `mailbox_limit_bytes`: the administrator's limit on a whole message; a session is refused only
    once the received bytes exceed it.
    `maximum_put_bytes`, `maximum_post_bytes`: the largest body of a range and of a Graph request.
    `session_state`: whether a GET of the upload URL is answered.
    `repeated_range`: the status for a range of which some bytes were received before; with 200 the
    bytes are ignored, and the response has the true next range.
    `next_ranges_key`, `next_range_form`: the key and the form of the next expected ranges; the form
    is given by an example.
    `location_ids`: whether `Location` has the id in the form that the session's creator preferred
    (`Prefer`), or always in the mutable form.
    `commit_visible_after`: seconds until a committed attachment appears in responses.
    `page_size`: attachments in one page of a listing.
    `upload_sessions`: false in a national cloud without `createUploadSession`.
    `range_seconds`, `bytes_per_second`: the time that a range takes after its last byte, and the
    rate limit for its bytes; always by the wall clock.
    """

    minimum_session_bytes: int = 3_145_728
    maximum_attachment_bytes: int = 157_286_400
    mailbox_limit_bytes: int | None = None
    maximum_put_bytes: int = 4_000_000
    maximum_post_bytes: int = 4 * 1024 * 1024
    session_state: Literal["answered", "405"] = "answered"
    repeated_range: Literal["416", "400", "200"] = "416"
    next_ranges_key: Literal["NextExpectedRanges", "nextExpectedRanges"] = "NextExpectedRanges"
    next_range_form: Literal["2097152", "2097152-", "2097152-4194303"] = "2097152"
    location_ids: Literal["as requested", "mutable"] = "as requested"
    session_minutes: int = 60
    requests_at_once: int = 4
    window_bytes: int = 150_000_000
    window_seconds: float = 300
    commit_visible_after: float = 0
    page_size: int = 10
    upload_sessions: bool = True
    permissions: frozenset[str] = ALL_PERMISSIONS
    range_seconds: float = 0
    bytes_per_second: float = math.inf

    def response_due(self, size: int, *, arrived: float, whole: float) -> float:
        """When to respond to a range of `size` bytes, received from `arrived` until `whole`."""
        return max(whole, arrived + size / self.bytes_per_second) + self.range_seconds
