import pytest
import requests

from shared.outlook.graph_http import BoundedBuffer, ResponseTooLarge


def test_the_limit_is_the_last_byte_that_is_kept() -> None:
    """Not one byte more, however the bytes are cut."""
    buffer = BoundedBuffer(5, seconds=60)
    for chunk in (b"ab", b"", b"cde"):
        buffer.write(chunk)
    with pytest.raises(ResponseTooLarge):
        buffer.write(b"f")
    assert buffer.getvalue() == b"abcde"


def test_bytes_after_the_deadline_are_a_timeout() -> None:
    """As if no byte came at all."""
    with pytest.raises(requests.ReadTimeout):
        BoundedBuffer(5, seconds=-1).write(b"a")
