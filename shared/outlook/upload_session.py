"""Where one upload session stands, sans I/O: says what to send, is told what was answered.

The server's offset is the truth (protocol §3): behind what was sent, the bytes go again; ahead
within it, they are skipped; ahead of anything that can have been sent, somebody else writes.
"""

from collections.abc import Mapping
from enum import Enum

from shared.outlook.byte_ranges import ByteRange, next_expected_range


class Position(Enum):
    """What an answer says of the session's position."""

    KNOWN = "the server expects the next range"
    COMPLETE = "the server has every byte, yet has not said that the file is attached"
    UNINTELLIGIBLE = "the answer does not say"
    FOREIGN = "the server has bytes that this transfer never sent"


class UploadSession:
    """The position in one upload session of a file of ``total`` bytes.

    ``offset`` is where the server stood last. ``span`` bytes from there on may have been sent
    already, by an earlier delivery of the same work whose answer was lost.
    """

    def __init__(self, total: int, range_bytes: int, *, offset: int, span: int) -> None:
        self.total = total
        self._range_bytes = range_bytes
        self._expected = ByteRange(offset, total)
        self._sent = min(total, offset + span)

    @property
    def offset(self) -> int:
        """Bytes that the server has, as far as it said."""
        return self._expected.start

    @property
    def may_be_complete(self) -> bool:
        """Whether every byte may have been sent, so that the file may be attached."""
        return self._sent >= self.total

    def next_range(self) -> ByteRange:
        """The range to send next: never more than one PUT may carry, never past the end."""
        start = self._expected.start
        return ByteRange(start, min(start + self._range_bytes, self._expected.stop))

    def following(self, part: ByteRange) -> ByteRange:
        """The range that comes after ``part`` if all goes well; empty at the end."""
        return ByteRange(part.stop, min(part.stop + self._range_bytes, self.total))

    def is_last(self, part: ByteRange) -> bool:
        """Whether this range ends the file."""
        return part.stop == self.total

    def sent(self, part: ByteRange) -> None:
        """Note that a range is about to be sent."""
        self._sent = max(self._sent, part.stop)

    def answered(self, body: Mapping[str, object]) -> Position:
        """Take the position from an answer's next expected ranges."""
        expected = next_expected_range(body, self.total)
        if expected is None:
            return Position.UNINTELLIGIBLE
        if expected.start > self._sent:
            return Position.FOREIGN
        self._expected = expected
        return Position.COMPLETE if expected.start == self.total else Position.KNOWN
