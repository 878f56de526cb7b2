"""Uploading ranges into one session: how often the state of the session is queried."""

from collections.abc import Mapping
from typing import cast

import pytest

from shared.outlook.byte_ranges import ByteRange
from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import GraphResponse
from shared.outlook.upload_url import UploadUrl
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.reader_cache import ReaderCache
from shared.transfer.activities.upload_ranges import RangeUploader
from shared.transfer.activity_payloads import ActivityResult, Job

SIZE, RANGE = 40, 10
URL = cast("UploadUrl", "the upload URL")


class Session:
    """An upload session whose first PUT fails, and whose position is garbled at first."""

    def __init__(self, garbled: int) -> None:
        self.puts: list[int] = []
        self._garbled = garbled
        self.queries = 0

    def put_range(self, _url: object, part: ByteRange, _total: int, _: bytes) -> GraphResponse:
        self.puts.append(part.start)
        return GraphResponse(500) if len(self.puts) == 1 else _expects(part.stop)

    def session_state(self, _url: object) -> GraphResponse:
        self.queries += 1
        return GraphResponse(200) if self.queries <= self._garbled else _expects(RANGE)


def _expects(start: int) -> GraphResponse:
    body: Mapping[str, object] = {"nextExpectedRanges": [f"{start}-"]}
    return GraphResponse(202, body=body)


class Zeros:
    """A blob of zeros."""

    def read(self, _name: str, _etag: str, _start: int, length: int) -> bytes:
        return bytes(length)


def upload(session: Session) -> ActivityResult:
    """Two ranges of a file of four."""
    uploader = RangeUploader(
        graph=cast("GraphClient", session),
        source=cast("SourceContainer", Zeros()),
        readers=ReaderCache(),
        range_bytes=RANGE,
    )
    job = Job(
        transfer_id="t",
        blob="b",
        etag="1",
        created="",
        md5="",
        size=SIZE,
        mailbox="m",
        item_type="message",
        item_id="i",
        file_name="f",
        content_type="",
        activity_bytes=2 * RANGE,
        queue_seconds=1,
        deadline_seconds=1,
        reconcile_seconds=1,
    )
    return uploader.upload(job, URL, 0)


@pytest.mark.parametrize("garbled", [0, 1, 2])
def test_a_garbled_position_is_queried_again(garbled: int) -> None:
    """Up to three queries; the range that arrived is not sent a second time."""
    session = Session(garbled)
    result = upload(session)
    assert (result.outcome, result.offset) == ("progress", 2 * RANGE)
    assert session.puts == [0, RANGE]
    assert session.queries == garbled + 1


def test_a_session_that_never_states_its_position_is_given_up() -> None:
    """After three queries a new session is the way on."""
    session = Session(garbled=9)
    assert upload(session).outcome == "new_session"
    assert session.queries == 3
