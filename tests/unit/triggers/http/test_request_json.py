"""JSON of a request: what parsers disagree on is refused."""

import pytest

from shared.errors import InvalidRequest
from shared.triggers.http.request_json import MAX_BODY_BYTES, read_json


def test_a_value_is_read() -> None:
    """Objects, lists, texts and numbers of JSON."""
    assert read_json('{"a": ["ä", 1, null]}'.encode()) == {"a": ["ä", 1, None]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"force": NaN}', "holds NaN"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply"),
        (b'{"n": ' + b"9" * 6_000 + b"}", "too long"),
        (b" " * (MAX_BODY_BYTES + 1), "at most 65,536 are allowed"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_is_not_plain_json_is_refused(body: bytes, message: str) -> None:
    """With the reason, and without an error of the parser's own."""
    with pytest.raises(InvalidRequest) as refused:
        read_json(body)
    (fault,) = refused.value.details
    assert message in fault.message


def test_duplicate_keys_are_refused() -> None:
    """Each of them is named."""
    with pytest.raises(InvalidRequest) as refused:
        read_json(b'{"blob": "a", "blob": "b", "force": true, "force": true, "mailbox": "m"}')
    assert [(each.field, each.message) for each in refused.value.details] == [
        ("blob", "duplicate key"),
        ("force", "duplicate key"),
    ]
