"""Misbehaviours by the names the field has for them.

Three families: *refused* before acceptance, and nothing is kept; *accepted*, and then the answer is
wrong or lost, so that the client cannot know; *broken off* before the request was read. Each
constructor makes one value to put into a `Fault`; `families` lists them all.
"""

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


# --- refused before acceptance ---


def refused(
    status: int,
    code: str = "UnknownError",
    *,
    headers: dict[str, str] | None = None,
    kinds: frozenset[Kind] = ANY_KIND,
) -> Misbehaviour:
    """A refusal of any sort, in Graph's shape."""
    refusal = GraphError(status, code, "Told to refuse this request.", headers).answer()
    name = " ".join(["refused", str(status), code, *(headers or {}).values()])
    return Misbehaviour(name=name, kinds=kinds, refusal=refusal)


def throttled(retry_after: str | None = None, *, status: int = 429) -> Misbehaviour:
    """429, 503 or 509; `retry_after` as the header has it: `2`, `2.128`, or absent."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return refused(status, "ApplicationThrottled", headers=headers)


def throttled_until(seconds: int, *, status: int = 429) -> Misbehaviour:
    """The same with `Retry-After` as an HTTP date, `seconds` after the answer's own `Date`."""

    name = f"refused {status} until a date in {seconds} s"
    return replace(throttled(status=status), name=name, alteration=alterations.retry_at(seconds))


def unauthorized() -> Misbehaviour:
    """401 from Graph: the token is no good."""
    return refused(401, "InvalidAuthenticationToken", kinds=GRAPH_KINDS)


def forbidden() -> Misbehaviour:
    """403 from Graph: a permission or the mailbox's scope is missing."""
    return refused(403, "ErrorAccessDenied", kinds=GRAPH_KINDS)


def item_missing() -> Misbehaviour:
    """404 from Graph: a fresh draft is not visible yet, or the item is gone."""
    return refused(404, "ErrorItemNotFound", kinds=GRAPH_KINDS)


def session_gone(status: Literal[401, 404, 410]) -> Misbehaviour:
    """The upload URL leads nowhere any more; the session itself is left as it is."""
    return refused(status, "ErrorItemNotFound", kinds=UPLOAD_KINDS)


def conflict(status: Literal[409, 412, 423] = 412) -> Misbehaviour:
    """Somebody else writes to the item."""
    return refused(status, "ErrorIrresolvableConflict")


def too_large(
    status: Literal[413, 507] = 413, code: str = "ErrorMessageSizeExceeded"
) -> Misbehaviour:
    """The file or the message is over a limit, or the mailbox is full."""
    return refused(status, code, kinds=RANGE_KINDS | {"create", "small_post"})


def range_refused(status: Literal[416, 400] = 416) -> Misbehaviour:
    """The range is not the one expected."""
    return refused(status, "InvalidContentRange", kinds=RANGE_KINDS)


# --- accepted, and the client cannot know ---


def failed_after_acceptance(status: int = 500) -> Misbehaviour:
    """The request is done for real; the answer says that it failed."""

    return Misbehaviour(name=f"{status} after acceptance", alteration=alterations.failed(status))


def lost_answer(
    end: Literal["hang", "close", "reset"] = "close", *, hang_seconds: float = 30
) -> Misbehaviour:
    """The request is done for real; nothing is answered."""
    breakage = Break(read="whole", end=end, hang_seconds=hang_seconds)
    return Misbehaviour(name=f"answer lost, {end}", breakage=breakage)


def cut_answer(
    end: Literal["hang", "close", "reset"] = "close", *, hang_seconds: float = 30
) -> Misbehaviour:
    """The request is done for real; the answer breaks off in the middle."""
    breakage = Break(read="whole", sent="part", end=end, hang_seconds=hang_seconds)
    return Misbehaviour(name=f"answer cut, {end}", breakage=breakage)


def commits_late(seconds: float, *, answered: bool = False) -> Misbehaviour:
    """The file is accepted and shows `seconds` of the clock later; the answer is lost or not."""
    breakage = None if answered else Break(read="whole", end="close")
    return Misbehaviour(
        name=f"commits {seconds} s late{'' if answered else ', answer lost'}",
        kinds=COMMITTING_KINDS,
        commit_delay=seconds,
        breakage=breakage,
    )


def kept_in_part(share: float = 0.5, *, answered: bool = True) -> Misbehaviour:
    """Only the first `share` of a range is kept, which the answer (if any) tells truthfully."""
    return Misbehaviour(
        name=f"range kept by {share:.0%}{'' if answered else ', answer lost'}",
        kinds=RANGE_KINDS,
        kept_share=share,
        breakage=None if answered else Break(read="whole", end="reset"),
    )


def truncated_json() -> Misbehaviour:
    """A whole answer whose JSON ends in the middle."""
    return Misbehaviour(
        name="truncated JSON",
        kinds=ANY_KIND - {"raw_content"},
        alteration=alterations.halved,
    )


def not_json() -> Misbehaviour:
    """A page of a proxy in place of the JSON, under the true status."""

    kinds = ANY_KIND - {"raw_content"}
    return Misbehaviour(name="HTML for JSON", kinds=kinds, alteration=alterations.html)


def without_location() -> Misbehaviour:
    """201 that does not say which attachment was made."""

    kinds: frozenset[Kind] = frozenset({"last_range"})
    stripped = alterations.without_header("Location")
    return Misbehaviour(name="201 without Location", kinds=kinds, alteration=stripped)


def upload_url(url: str) -> Misbehaviour:
    """A session whose upload URL is said to be another, for instance a hostile one."""
    kinds: frozenset[Kind] = frozenset({"create"})
    alteration = alterations.json_changed(lambda body: body | {"uploadUrl": url})
    return Misbehaviour(name="another upload URL", kinds=kinds, alteration=alteration)


# --- accepted, and the next expected ranges are told wrongly ---


def next_ranges_missing() -> Misbehaviour:
    """Progress without its next expected ranges."""
    return _progress("next ranges missing", alterations.progress_changed(lambda _: None))


def next_ranges_told(*values: str) -> Misbehaviour:
    """Progress that names these ranges whatever is true, for instance malformed ones."""
    told = list(values)
    return _progress(f"next ranges {told}", alterations.progress_changed(lambda _: told))


def next_ranges_off(by: int) -> Misbehaviour:
    """Progress that tells `by` bytes more (ahead) or fewer (behind) than were received."""
    name = f"next ranges {abs(by)} {'ahead' if by > 0 else 'behind'}"
    return _progress(name, alterations.progress_changed(lambda start: [f"{max(0, start + by)}-"]))


def next_ranges_plural(width: int = 1) -> Misbehaviour:
    """Progress in two entries, the later one first; the true start stands in the second."""
    return _progress(
        "next ranges plural",
        alterations.progress_changed(
            lambda start: [f"{start + width}-", f"{start}-{start + width - 1}"]
        ),
    )


# --- broken off before the request was read ---


def reset_mid_body() -> Misbehaviour:
    """The connection is reset when half of the body is in; nothing is kept."""
    return Misbehaviour(name="reset mid body", breakage=Break(read="part", end="reset"))


def closed_unread() -> Misbehaviour:
    """The connection is closed before anything of the body is read."""
    return Misbehaviour(name="closed unread", breakage=Break(read="nothing", end="close"))


def broken_off(
    read: Literal["nothing", "part"], end: Literal["hang", "close", "reset"], *, seconds: float = 30
) -> Misbehaviour:
    """The connection ends, or hangs for `seconds`, with nothing or half of the body read."""
    breakage = Break(read=read, end=end, hang_seconds=seconds)
    return Misbehaviour(name=f"{end} with {read} read", breakage=breakage)


def hang(seconds: float = 30) -> Misbehaviour:
    """Nothing is read or answered until the client gives up, at most `seconds`."""
    breakage = Break(read="nothing", end="hang", hang_seconds=seconds)
    return Misbehaviour(name="hang", breakage=breakage)


def _progress(name: str, alteration: alterations.Alteration) -> Misbehaviour:
    return Misbehaviour(name=name, kinds=PROGRESS_KINDS, alteration=alteration)
