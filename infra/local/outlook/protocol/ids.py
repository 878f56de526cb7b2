"""Ids like Exchange's, in two forms (`docs/protocol.md`, "Item ids").

Without `Prefer: IdType="ImmutableId"` a response names an item or attachment by a mutable id
(`AAMk…`), with it by an immutable one (`AAkA…`). Both name the same object, are accepted in
requests, and are case-sensitive. So a client that omits the header from one request gets an id that
differs.
"""

import base64
import secrets

_MUTABLE = "AAMk"
_IMMUTABLE = "AAkA"


def new_id(*, old_form: bool = False) -> str:
    """A new immutable id; the old form contains `+` and `/`."""
    tail = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if old_form:
        tail = f"+{tail[1:20]}/{tail[21:]}"
    return _IMMUTABLE + tail


def format_id(immutable_id: str, *, immutable: bool) -> str:
    """The id in the form that a response uses."""
    return immutable_id if immutable else mutable(immutable_id)


def mutable(immutable_id: str) -> str:
    """The mutable form of an id."""
    return _MUTABLE + immutable_id.removeprefix(_IMMUTABLE)


def canonical(any_id: str) -> str:
    """The immutable form of an id in either form."""
    return _IMMUTABLE + any_id.removeprefix(_MUTABLE) if any_id.startswith(_MUTABLE) else any_id
