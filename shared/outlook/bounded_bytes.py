"""Bytes of an answer, kept up to a bound and for a time."""

import io
import time

import requests


class TooMuch(Exception):
    """Raised when there are more bytes than the bound allows."""


class BoundedBytes:
    """Takes an answer's bytes as they come in; at most ``at_most`` are ever held."""

    def __init__(self, at_most: int, seconds: float) -> None:
        self._kept = io.BytesIO()
        self._at_most = at_most
        self._until = time.monotonic() + seconds

    def take(self, chunk: bytes) -> None:
        """Keep the next bytes.

        Raises :class:`TooMuch` past the bound, and the HTTP library's time-out past the time: an
        answer that trickles in breaks no limit between two of its bytes.
        """
        if self._kept.tell() + len(chunk) > self._at_most:
            raise TooMuch
        if time.monotonic() > self._until:
            raise requests.ReadTimeout
        self._kept.write(chunk)

    def whole(self) -> bytes:
        """All that was kept."""
        return self._kept.getvalue()
