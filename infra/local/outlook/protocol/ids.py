"""Ids like Exchange's, in their two spellings (`protocol.md` §7).

Without `Prefer: IdType="ImmutableId"` an item or attachment is called by a mutable id (`AAMk…`),
with it by an immutable one (`AAkA…`). Both name the same object and both are taken on input, with
their case; a client that forgets the header on one call is seen to get an id that differs.
"""

import base64
import secrets

_MUTABLE = "AAMk"
_IMMUTABLE = "AAkA"


def mint(*, old_form: bool = False) -> str:
    """A new id in its immutable spelling; the old form holds `+` and `/`."""
    tail = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if old_form:
        tail = f"+{tail[1:20]}/{tail[21:]}"
    return _IMMUTABLE + tail


def spell(immutable_id: str, *, immutable: bool) -> str:
    """The spelling that an answer uses."""
    return immutable_id if immutable else mutable(immutable_id)


def mutable(immutable_id: str) -> str:
    """The mutable spelling of an id."""
    return _MUTABLE + immutable_id.removeprefix(_IMMUTABLE)


def canonical(any_id: str) -> str:
    """The immutable spelling of an id in either."""
    return _IMMUTABLE + any_id.removeprefix(_MUTABLE) if any_id.startswith(_MUTABLE) else any_id
