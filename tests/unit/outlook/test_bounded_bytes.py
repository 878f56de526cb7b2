import pytest
import requests

from shared.outlook.bounded_bytes import BoundedBytes, TooMuch


def test_the_bound_is_the_last_byte_that_is_kept() -> None:
    """Not one byte more, however the bytes are cut."""
    kept = BoundedBytes(5, seconds=60)
    for chunk in (b"ab", b"", b"cde"):
        kept.take(chunk)
    with pytest.raises(TooMuch):
        kept.take(b"f")
    assert kept.whole() == b"abcde"


def test_bytes_that_come_too_late_are_lost() -> None:
    """As if nothing came at all."""
    with pytest.raises(requests.ReadTimeout):
        BoundedBytes(5, seconds=-1).take(b"a")
