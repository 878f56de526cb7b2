"""A request's JSON, read with suspicion: capped in size and depth, no key twice, no odd numbers."""

import json
from collections import Counter
from typing import Any, Never

from shared.errors import FieldFault, InvalidRequest

MAX_BODY_BYTES = 65_536
MAX_DEPTH = 16


def read_json(body: bytes) -> object:
    """The value that the body holds.

    Raises :class:`InvalidRequest`.
    """
    if len(body) > MAX_BODY_BYTES:
        _refuse(f"has {len(body):,} bytes; {MAX_BODY_BYTES:,} are the most")
    if _depth(body) > MAX_DEPTH:
        _refuse(f"is nested deeper than {MAX_DEPTH} levels")
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        _refuse("should be UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"should be JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except ValueError:
        # More digits than Python converts.
        _refuse("holds a number that is too long")


def _refuse(message: str) -> Never:
    raise InvalidRequest([FieldFault("", f"The body {message}.")])


def _depth(body: bytes) -> int:
    """The deepest nesting, counted before anything is parsed."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            in_string = escaped or byte != ord('"')
            escaped = byte == ord("\\") and not escaped
        elif byte == ord('"'):
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = sorted(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    if twice:
        raise InvalidRequest([FieldFault(key, "is there more than once") for key in twice])
    return dict(pairs)


def _no_constant(name: str) -> Never:
    _refuse(f"holds {name}, which is no JSON")
