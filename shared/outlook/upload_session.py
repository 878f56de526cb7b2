"""The position in one upload session, without I/O: what to send next, given the responses.

The server's offset counts. If it is behind the bytes that were sent, they are sent again; if it is
ahead of what this run has sent, they are skipped; if it is ahead of all that this transfer can
have sent, another client is writing to the session.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

from shared.outlook.byte_ranges import ByteRange, next_expected_range


class Position(Enum):
    """What a response says about the session's position."""

    KNOWN = "the server expects the next range"
    COMPLETE = "the server has every byte, but has not confirmed the attachment"
    UNINTELLIGIBLE = "the response has no valid position"
    FOREIGN = "the server has bytes that this transfer never sent"


class UploadSession:
    """The position in the upload session of a file of ``total`` bytes, for one run of an activity.

    ``offset`` is the server's last known position; ``stop`` is where this run ends. Every byte
    before ``stop`` may have been sent already by an earlier delivery of the same activity, whose
    responses were lost. No byte after it was sent, since no delivery goes further.
    """

    def __init__(self, total: int, range_bytes: int, *, offset: int, stop: int) -> None:
        self.total = total
        self._range_bytes = range_bytes
        self._stop = min(total, stop)
        self._expected = ByteRange(offset, total)

    @property
    def offset(self) -> int:
        """Bytes that the server has, by its last response."""
        return self._expected.start

    @property
    def is_done(self) -> bool:
        """Whether the server has all the bytes of this run."""
        return self.offset >= self._stop

    @property
    def may_be_complete(self) -> bool:
        """Whether every byte of the file may have been sent, so that it may be attached."""
        return self._stop == self.total

    def next_range(self) -> ByteRange:
        """The range to send next: at most the size of one PUT, and not past this run's end."""
        start = self._expected.start
        return ByteRange(start, min(start + self._range_bytes, self._expected.stop, self._stop))

    def following(self, part: ByteRange) -> Iterator[ByteRange]:
        """The ranges after ``part`` without errors, past this run, to the end of the file."""
        for start in range(part.stop, self.total, self._range_bytes):
            yield ByteRange(start, min(start + self._range_bytes, self.total))

    def is_last(self, part: ByteRange) -> bool:
        """Whether this range ends the file."""
        return part.stop == self.total

    def update(self, body: Mapping[str, object]) -> Position:
        """Take the position from the next expected ranges of a response."""
        expected = next_expected_range(body, self.total)
        if expected is None:
            return Position.UNINTELLIGIBLE
        if expected.start > self._stop:
            return Position.FOREIGN
        self._expected = expected
        return Position.COMPLETE if expected.start == self.total else Position.KNOWN
