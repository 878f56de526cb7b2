from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.outlook.byte_ranges import ByteRange
from shared.outlook.upload_session import Position, UploadSession

TOTAL, RANGE = 100, 30


def session(offset: int = 0, span: int = 0) -> UploadSession:
    return UploadSession(TOTAL, RANGE, offset=offset, span=span)


def expects(*ranges: str) -> dict[str, object]:
    return {"NextExpectedRanges": list(ranges)}


def test_ranges_follow_each_other_to_the_end() -> None:
    """A well-behaved server is sent the file in order, the last range shorter."""
    upload = session()
    parts = []
    while upload.offset < TOTAL:
        part = upload.next_range()
        parts.append((part.start, part.stop, upload.is_last(part)))
        upload.sent(part)
        upload.answered(expects(str(part.stop)))
    assert parts == [(0, 30, False), (30, 60, False), (60, 90, False), (90, 100, True)]


def test_a_server_behind_gets_the_bytes_again() -> None:
    """The server's offset is the truth."""
    upload = session(offset=60)
    upload.sent(upload.next_range())
    assert upload.answered(expects("45-")) is Position.KNOWN
    assert upload.next_range() == ByteRange(45, 75)


def test_a_server_ahead_within_what_was_sent_is_followed() -> None:
    """Half a range taken is not sent twice."""
    upload = session()
    upload.sent(upload.next_range())
    assert upload.answered(expects("17")) is Position.KNOWN
    assert upload.next_range() == ByteRange(17, 47)


def test_a_server_ahead_of_anything_sent_has_another_writer() -> None:
    """Those bytes are not of this transfer."""
    upload = session()
    upload.sent(upload.next_range())
    assert upload.answered(expects("31")) is Position.FOREIGN


def test_an_earlier_delivery_may_have_sent_more() -> None:
    """After a killed worker, what its activity may have sent counts as sent."""
    upload = session(offset=30, span=60)
    assert upload.answered(expects("90")) is Position.KNOWN
    assert not upload.may_be_complete
    assert session(offset=30, span=70).may_be_complete


def test_an_entry_with_an_end_is_not_overrun() -> None:
    """Only the missing bytes of that entry go next."""
    upload = session(offset=60)
    upload.sent(upload.next_range())
    upload.answered(expects("10-19"))
    assert upload.next_range() == ByteRange(10, 20)


class Sessions(RuleBasedStateMachine):
    """Any server, taking any part of what is sent, ends with exactly the file."""

    def __init__(self) -> None:
        super().__init__()
        self.upload = session()
        self.held = 0
        self.sent = 0

    @rule(taken=st.integers(0, RANGE), forgotten=st.integers(0, RANGE), lost=st.booleans())
    def put(self, taken: int, forgotten: int, lost: bool) -> None:
        if self.held == TOTAL:
            return
        part = self.upload.next_range()
        self.upload.sent(part)
        self.sent = max(self.sent, part.stop)
        if part.start == self.held:
            self.held += min(taken, part.length)
        self.held = max(0, self.held - (forgotten if forgotten > RANGE - 3 else 0))
        if not lost:
            position = self.upload.answered(expects(f"{self.held}-"))
            assert position is (Position.COMPLETE if self.held == TOTAL else Position.KNOWN)
            assert self.upload.offset == self.held

    @invariant()
    def nothing_beyond_the_file_is_sent(self) -> None:
        part = self.upload.next_range()
        assert 0 <= part.start <= part.stop <= TOTAL
        assert part.length <= RANGE

    @invariant()
    def completeness_is_never_missed(self) -> None:
        if self.sent == TOTAL:
            assert self.upload.may_be_complete


TestSessions = Sessions.TestCase
