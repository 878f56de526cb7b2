"""The catalogue by what a client can do, for tests that try or sample every fault."""

from infra.local.outlook.faults.catalogue import (
    broken_off,
    closed_unread,
    commits_late,
    conflict,
    cut_answer,
    failed_after_acceptance,
    forbidden,
    hang,
    item_missing,
    kept_in_part,
    lost_answer,
    next_ranges_missing,
    next_ranges_off,
    next_ranges_plural,
    next_ranges_replaced,
    not_json,
    range_refused,
    refused,
    reset_mid_body,
    session_gone,
    throttled,
    throttled_until,
    too_large,
    truncated_json,
    unauthorized,
    without_location,
)
from infra.local.outlook.faults.schedule import Misbehaviour


def transient(*, hang_seconds: float = 30) -> tuple[Misbehaviour, ...]:
    """Faults that a client recovers from when they happen once."""
    return (
        *(refused(status, "InternalServerError") for status in (500, 502, 504)),
        *(failed_after_acceptance(status) for status in (500, 502, 504)),
        *(throttled(form, status=status) for status in (429, 503) for form in (None, "2", "2.128")),
        *(throttled_until(3, status=status) for status in (429, 503)),
        throttled(status=509),
        *(conflict(status) for status in (409, 412, 423)),
        unauthorized(),
        item_missing(),
        *(range_refused(status) for status in (416, 400)),
        *(session_gone(status) for status in (401, 404, 410)),
        *(lost_answer(end, hang_seconds=hang_seconds) for end in ("close", "reset", "hang")),
        *(cut_answer(end, hang_seconds=hang_seconds) for end in ("close", "reset", "hang")),
        *(commits_late(5, answered=answered) for answered in (False, True)),
        *(kept_in_part(answered=answered) for answered in (False, True)),
        truncated_json(),
        not_json(),
        without_location(),
        next_ranges_missing(),
        next_ranges_replaced("-5", "abc"),
        next_ranges_off(-1),
        next_ranges_off(1),
        next_ranges_plural(),
        reset_mid_body(),
        closed_unread(),
        hang(hang_seconds),
    )


def broken_connections(*, hang_seconds: float = 30) -> tuple[Misbehaviour, ...]:
    """The other cases of a connection that breaks before the request was read."""
    return (
        broken_off("nothing", "reset"),
        broken_off("part", "close"),
        broken_off("part", "hang", seconds=hang_seconds),
    )


def permanent() -> tuple[Misbehaviour, ...]:
    """Faults that need a change by the user or an administrator."""
    return (
        forbidden(),
        too_large(413),
        too_large(413, "ErrorAttachmentSizeLimitExceeded"),
        too_large(507, "ErrorQuotaExceeded"),
    )
