"""Known misbehaviours by name; each function makes one for a `Fault`.

A request is *refused*, and nothing is stored; or *accepted*, but the response is wrong or lost, so
that the client cannot know; or its *connection breaks* before it was read. `families` lists them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from infra.local.outlook.faults import alterations
from infra.local.outlook.faults.schedule import ANY_KIND, Break, Misbehaviour
from infra.local.outlook.protocol.addresses import Kind
from infra.local.outlook.protocol.errors import GraphError

UPLOAD_KINDS: frozenset[Kind] = frozenset({"range", "last_range", "session_state", "cancel"})
RANGE_KINDS: frozenset[Kind] = frozenset({"range", "last_range"})
GRAPH_KINDS: frozenset[Kind] = ANY_KIND - UPLOAD_KINDS - {"token", "other"}
COMMITTING_KINDS: frozenset[Kind] = frozenset({"last_range", "small_post"})
PROGRESS_KINDS: frozenset[Kind] = frozenset({"range", "session_state"})


# --- refused ---


def refused(
    status: int,
    code: str = "UnknownError",
    *,
    headers: dict[str, str] | None = None,
    kinds: frozenset[Kind] = ANY_KIND,
) -> Misbehaviour:
    """Any error response, in Graph's format."""
    refusal = GraphError(status, code, "An injected fault.", headers).answer()
    name = " ".join(["refused", str(status), code, *(headers or {}).values()])
    return Misbehaviour(name=name, kinds=kinds, refusal=refusal)


def throttled(retry_after: str | None = None, *, status: int = 429) -> Misbehaviour:
    """429, 503 or 509, with `Retry-After` in seconds, `2` or `2.128`, or without it."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return refused(status, "ApplicationThrottled", headers=headers)


def throttled_until(seconds: int, *, status: int = 429) -> Misbehaviour:
    """The same with `Retry-After` as an HTTP date, `seconds` after the response's own `Date`."""

    name = f"refused {status} until a date in {seconds} s"
    return replace(throttled(status=status), name=name, alteration=alterations.retry_at(seconds))


def unauthorized() -> Misbehaviour:
    """401 from Graph: the token is not valid."""
    return refused(401, "InvalidAuthenticationToken", kinds=GRAPH_KINDS)


def forbidden() -> Misbehaviour:
    """403 from Graph: a permission is missing, or the mailbox is out of scope."""
    return refused(403, "ErrorAccessDenied", kinds=GRAPH_KINDS)


def item_missing() -> Misbehaviour:
    """404 from Graph: a new draft is not visible yet, or the item was deleted."""
    return refused(404, "ErrorItemNotFound", kinds=GRAPH_KINDS)


def session_gone(status: Literal[401, 404, 410]) -> Misbehaviour:
    """The upload URL is reported as gone; the session itself is not changed."""
    return refused(status, "ErrorItemNotFound", kinds=UPLOAD_KINDS)


def conflict(status: Literal[409, 412, 423] = 412) -> Misbehaviour:
    """Another writer changes the item."""
    return refused(status, "ErrorIrresolvableConflict")


def too_large(
    status: Literal[413, 507] = 413, code: str = "ErrorMessageSizeExceeded"
) -> Misbehaviour:
    """The file or the message exceeds a limit, or the mailbox is full."""
    return refused(status, code, kinds=RANGE_KINDS | {"create", "small_post"})


def range_refused(status: Literal[416, 400] = 416) -> Misbehaviour:
    """The range is not the expected one."""
    return refused(status, "InvalidContentRange", kinds=RANGE_KINDS)


# --- accepted, with a wrong or lost response ---


def failed_after_acceptance(status: int = 500) -> Misbehaviour:
    """The request is processed; the response says that it failed."""

    return Misbehaviour(name=f"{status} after acceptance", alteration=alterations.failed(status))


def lost_answer(
    end: Literal["hang", "close", "reset"] = "close", *, hang_seconds: float = 30
) -> Misbehaviour:
    """The request is processed; no response is sent."""
    breakage = Break(read="whole", end=end, hang_seconds=hang_seconds)
    return Misbehaviour(name=f"answer lost, {end}", breakage=breakage)


def cut_answer(
    end: Literal["hang", "close", "reset"] = "close", *, hang_seconds: float = 30
) -> Misbehaviour:
    """The request is processed; the response is cut in the middle."""
    breakage = Break(read="whole", sent="part", end=end, hang_seconds=hang_seconds)
    return Misbehaviour(name=f"answer cut, {end}", breakage=breakage)


def commits_late(seconds: float, *, answered: bool = False) -> Misbehaviour:
    """The file is accepted, and is visible `seconds` later; the response is lost or not."""
    breakage = None if answered else Break(read="whole", end="close")
    return Misbehaviour(
        name=f"commits {seconds} s late{'' if answered else ', answer lost'}",
        kinds=COMMITTING_KINDS,
        commit_delay=seconds,
        breakage=breakage,
    )


def kept_in_part(share: float = 0.5, *, answered: bool = True) -> Misbehaviour:
    """Only the first `share` of a range is stored, as a response, if any, reports."""
    return Misbehaviour(
        name=f"range kept by {share:.0%}{'' if answered else ', answer lost'}",
        kinds=RANGE_KINDS,
        kept_share=share,
        breakage=None if answered else Break(read="whole", end="reset"),
    )


def truncated_json() -> Misbehaviour:
    """A complete response whose JSON ends in the middle."""
    return Misbehaviour(
        name="truncated JSON",
        kinds=ANY_KIND - {"raw_content"},
        alteration=alterations.halved,
    )


def not_json() -> Misbehaviour:
    """A proxy's HTML page in place of the JSON, with the true status."""

    kinds = ANY_KIND - {"raw_content"}
    return Misbehaviour(name="HTML for JSON", kinds=kinds, alteration=alterations.html)


def other_case(change: Callable[[str], str]) -> Misbehaviour:
    """The keys of every JSON object in the response, spelled in another case."""
    return Misbehaviour(name="keys in another case", alteration=alterations.keys_changed(change))


def unreadable(around: Callable[[bytes], bytes], *, kinds: frozenset[Kind]) -> Misbehaviour:
    """A success whose body is no JSON object, but has the true one in it."""
    return Misbehaviour(name="unreadable", kinds=kinds, alteration=alterations.body_changed(around))


def without_location() -> Misbehaviour:
    """201 without the id of the created attachment."""

    kinds: frozenset[Kind] = frozenset({"last_range"})
    stripped = alterations.without_header("Location")
    return Misbehaviour(name="201 without Location", kinds=kinds, alteration=stripped)


def upload_url(url: str) -> Misbehaviour:
    """A session with another upload URL in the response, for instance a hostile one."""
    kinds: frozenset[Kind] = frozenset({"create"})
    alteration = alterations.json_changed(lambda body: body | {"uploadUrl": url})
    return Misbehaviour(name="another upload URL", kinds=kinds, alteration=alteration)


# --- accepted, with wrong next expected ranges ---


def next_ranges_missing() -> Misbehaviour:
    """No next expected ranges."""
    return _progress("next ranges missing", alterations.progress_changed(lambda _: None))


def next_ranges_replaced(*values: str) -> Misbehaviour:
    """These next expected ranges in place of the true ones, for instance malformed ones."""
    ranges = list(values)
    return _progress(f"next ranges {ranges}", alterations.progress_changed(lambda _: ranges))


def next_ranges_off(by: int) -> Misbehaviour:
    """A next expected range `by` bytes ahead of the true one, or behind it when negative."""
    name = f"next ranges {abs(by)} {'ahead' if by > 0 else 'behind'}"
    return _progress(name, alterations.progress_changed(lambda start: [f"{max(0, start + by)}-"]))


def next_ranges_plural(width: int = 1) -> Misbehaviour:
    """Two next expected ranges, the later one first; the second one has the true start."""
    return _progress(
        "next ranges plural",
        alterations.progress_changed(
            lambda start: [f"{start + width}-", f"{start}-{start + width - 1}"]
        ),
    )


# --- the connection breaks before the request was read ---


def reset_mid_body() -> Misbehaviour:
    """The connection is reset after half of the body; nothing is stored."""
    return Misbehaviour(name="reset mid body", breakage=Break(read="part", end="reset"))


def closed_unread() -> Misbehaviour:
    """The connection is closed before any of the body is read."""
    return Misbehaviour(name="closed unread", breakage=Break(read="nothing", end="close"))


def broken_off(
    read: Literal["nothing", "part"], end: Literal["hang", "close", "reset"], *, seconds: float = 30
) -> Misbehaviour:
    """The connection breaks, or hangs for `seconds`, after none or half of the body."""
    breakage = Break(read=read, end=end, hang_seconds=seconds)
    return Misbehaviour(name=f"{end} with {read} read", breakage=breakage)


def hang(seconds: float = 30) -> Misbehaviour:
    """Nothing is read or sent until the client times out, for at most `seconds`."""
    breakage = Break(read="nothing", end="hang", hang_seconds=seconds)
    return Misbehaviour(name="hang", breakage=breakage)


def _progress(name: str, alteration: alterations.Alteration) -> Misbehaviour:
    return Misbehaviour(name=name, kinds=PROGRESS_KINDS, alteration=alteration)
