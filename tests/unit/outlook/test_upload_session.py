from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.outlook.byte_ranges import ByteRange
from shared.outlook.upload_session import Position, UploadSession

TOTAL, RANGE = 100, 30


def session(offset: int = 0, stop: int = TOTAL) -> UploadSession:
    return UploadSession(TOTAL, RANGE, offset=offset, stop=stop)


def expects(*ranges: str) -> dict[str, object]:
    return {"NextExpectedRanges": list(ranges)}


def test_ranges_follow_each_other_to_the_end() -> None:
    """Without errors, the file is sent in order; the last range is shorter."""
    upload = session()
    parts = []
    while upload.offset < TOTAL:
        part = upload.next_range()
        parts.append((part.start, part.stop, upload.is_last(part)))
        upload.update(expects(str(part.stop)))
    assert parts == [(0, 30, False), (30, 60, False), (60, 90, False), (90, 100, True)]


def test_a_server_behind_gets_the_bytes_again() -> None:
    """The server's offset counts."""
    upload = session(offset=60)
    assert upload.update(expects("45-")) is Position.KNOWN
    assert upload.next_range() == ByteRange(45, 75)


def test_bytes_that_the_server_has_are_skipped() -> None:
    """A range that was accepted in part is not sent twice."""
    upload = session()
    assert upload.update(expects("17")) is Position.KNOWN
    assert upload.next_range() == ByteRange(17, 47)


def test_a_server_ahead_of_anything_sent_has_another_writer() -> None:
    """This transfer has not sent those bytes."""
    upload = session(stop=30)
    assert upload.update(expects("31")) is Position.FOREIGN


def test_an_earlier_delivery_may_have_sent_more() -> None:
    """What the activity of a killed worker may have sent counts as sent."""
    upload = session(offset=30, stop=90)
    assert upload.update(expects("90")) is Position.KNOWN
    assert upload.is_done
    assert not upload.may_be_complete
    assert session(offset=30, stop=100).may_be_complete


def test_no_range_exceeds_its_run() -> None:
    """Or another delivery could not know that the file may be complete."""
    upload = session(offset=30, stop=60)
    upload.update(expects("45-"))
    assert upload.next_range() == ByteRange(45, 60)


def test_the_following_ranges_reach_the_end_of_the_file() -> None:
    """They are the ranges that the next runs will send."""
    upload = session(offset=0, stop=30)
    assert list(upload.following(ByteRange(0, 30))) == [
        ByteRange(30, 60),
        ByteRange(60, 90),
        ByteRange(90, 100),
    ]
    assert not list(upload.following(ByteRange(90, 100)))


def test_an_expected_range_with_an_end_is_not_exceeded() -> None:
    """Only its missing bytes are sent next."""
    upload = session(offset=60)
    upload.update(expects("10-19"))
    assert upload.next_range() == ByteRange(10, 20)


class Sessions(RuleBasedStateMachine):
    """Any server that accepts any part of each range has exactly the file at the end.

    A run sends two ranges, and each run is delivered any number of times.
    """

    def __init__(self) -> None:
        super().__init__()
        self.start = 0
        self.held = 0
        self.delivered()

    @rule()
    def delivered(self) -> None:
        self.upload = session(self.start, self.start + 2 * RANGE)

    @precondition(lambda self: self.held < TOTAL and not self.upload.is_done)
    @rule(accepted=st.integers(0, RANGE), discarded=st.integers(0, RANGE), lost=st.booleans())
    def put(self, accepted: int, discarded: int, lost: bool) -> None:
        part = self.upload.next_range()
        if part.start == self.held:
            self.held += min(accepted, part.length)
        if self.held < TOTAL:
            # A complete file is attached, and stays.
            self.held = max(0, self.held - (discarded if discarded > RANGE - 3 else 0))
        if not lost:
            position = self.upload.update(expects(f"{self.held}-"))
            assert position is (Position.COMPLETE if self.held == TOTAL else Position.KNOWN)
            assert self.upload.offset == self.held

    @precondition(lambda self: self.upload.is_done)
    @rule()
    def continue_after_it(self) -> None:
        self.start = self.upload.offset
        self.delivered()

    @invariant()
    def nothing_beyond_the_file_is_sent(self) -> None:
        part = self.upload.next_range()
        assert 0 <= part.start <= part.stop <= TOTAL
        assert part.length <= RANGE

    @invariant()
    def completeness_is_never_missed(self) -> None:
        if self.held == TOTAL:
            assert self.upload.may_be_complete


TestSessions = Sessions.TestCase
