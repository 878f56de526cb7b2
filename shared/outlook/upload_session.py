"""Where one upload session stands, sans I/O: says what to send, is told what was answered.

The server's offset is the truth (protocol §3): behind what was sent, the bytes go again; ahead
within it, they are skipped; ahead of anything that can have been sent, somebody else writes.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

from shared.outlook.byte_ranges import ByteRange, next_expected_range


class Position(Enum):
    """What an answer says of the session's position."""

    KNOWN = "the server expects the next range"
    COMPLETE = "the server has every byte, yet has not said that the file is attached"
    UNINTELLIGIBLE = "the answer does not say"
    FOREIGN = "the server has bytes that this transfer never sent"


class UploadSession:
    """The position in one upload session of a file of ``total`` bytes, for one piece of work.

    ``offset`` is where the server stood last; ``stop`` is where this work ends. Every byte before
    ``stop`` may have been sent already, by earlier deliveries of the same work, however many, whose
    answers were lost; no byte behind it, since no delivery goes further.
    """

    def __init__(self, total: int, range_bytes: int, *, offset: int, stop: int) -> None:
        self.total = total
        self._range_bytes = range_bytes
        self._stop = min(total, stop)
        self._expected = ByteRange(offset, total)

    @property
    def offset(self) -> int:
        """Bytes that the server has, as far as it said."""
        return self._expected.start

    @property
    def is_done(self) -> bool:
        """Whether the server has all the bytes of this work."""
        return self.offset >= self._stop

    @property
    def may_be_complete(self) -> bool:
        """Whether every byte of the file may have been sent, so that it may be attached."""
        return self._stop == self.total

    def next_range(self) -> ByteRange:
        """The range to send next: never more than one PUT may carry, never past this work."""
        start = self._expected.start
        return ByteRange(start, min(start + self._range_bytes, self._expected.stop, self._stop))

    def following(self, part: ByteRange) -> Iterator[ByteRange]:
        """The ranges after ``part`` if all goes well, past this work, to the end of the file."""
        for start in range(part.stop, self.total, self._range_bytes):
            yield ByteRange(start, min(start + self._range_bytes, self.total))

    def is_last(self, part: ByteRange) -> bool:
        """Whether this range ends the file."""
        return part.stop == self.total

    def answered(self, body: Mapping[str, object]) -> Position:
        """Take the position from an answer's next expected ranges."""
        expected = next_expected_range(body, self.total)
        if expected is None:
            return Position.UNINTELLIGIBLE
        if expected.start > self._stop:
            return Position.FOREIGN
        self._expected = expected
        return Position.COMPLETE if expected.start == self.total else Position.KNOWN
