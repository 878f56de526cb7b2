"""A request's JSON, without what parsers disagree on: duplicate keys, NaN, huge numbers."""

import json
from collections import Counter
from typing import Any, Never

from shared.errors import FieldFault, InvalidRequest

MAX_BODY_BYTES = 65_536


def read_json(body: bytes) -> object:
    """The value that the body holds.

    Raises :class:`InvalidRequest`.
    """
    if len(body) > MAX_BODY_BYTES:
        _refuse(f"has {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are allowed")
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        _refuse("should be UTF-8")
    except RecursionError:
        _refuse("is nested too deeply")
    except json.JSONDecodeError as error:
        _refuse(f"should be JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except ValueError:
        # More digits than Python converts.
        _refuse("holds a number that is too long")


def _refuse(message: str) -> Never:
    raise InvalidRequest([FieldFault("", f"The body {message}.")])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    duplicates = sorted(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    if duplicates:
        raise InvalidRequest([FieldFault(key, "duplicate key") for key in duplicates])
    return dict(pairs)


def _no_constant(name: str) -> Never:
    _refuse(f"holds {name}, which is not JSON")
