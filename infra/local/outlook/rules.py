"""What the real service leaves unknown, or lets an administrator set."""

import math
from dataclasses import dataclass
from typing import Literal

ALL_PERMISSIONS = frozenset({"Mail.ReadWrite", "Calendars.ReadWrite"})


@dataclass(frozen=True, kw_only=True)
class Rules:
    """One way the service may behave; sizes in bytes, figures from `protocol.md` §1, §3 and §6.

    `minimum_session_bytes`: a smaller file is refused a session (3,145,728 or 3,000,000).
    `maximum_attachment_bytes`: a larger declared size is refused.
    `mailbox_limit_bytes`: the administrator's limit on a whole message; in a session it shows only
    once the received bytes exceed it.
    `maximum_put_bytes`, `maximum_post_bytes`: the largest body of a range and of a Graph request.
    `session_state`: whether a GET of the upload URL is answered.
    `repeated_range`: the answer to a range that is received already, wholly or in part; with 200
    the bytes are ignored and the true next range is told.
    `next_ranges_key`, `next_range_form`: how progress is spelled; the form is said by example.
    `location_ids`: whether `Location` spells the id as the session's creator asked (`Prefer`) or
    always the mutable way.
    `commit_visible_after`: seconds until a committed attachment shows in answers.
    `page_size`: attachments in one page of a listing.
    `upload_sessions`: false in a national cloud without `createUploadSession`.
    `range_seconds`, `bytes_per_second`: how long a range takes once its bytes are there, and how
    fast they come in at most; by the wall clock, whatever clock the service has.
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
    location_ids: Literal["as asked", "mutable"] = "as asked"
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

    def answer_due(self, size: int, *, arrived: float, whole: float) -> float:
        """When a range of so many bytes is answered that was there, as a whole, at ``whole``."""
        return max(whole, arrived + size / self.bytes_per_second) + self.range_seconds
