"""Where the last run of ranges began: whether the next one may send without a query."""

from collections.abc import Sequence

import pytest

from shared.secret import Secret
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.session_store import SessionStore
from shared.transfer.activities.claims import Claims
from tests.support.engine.clock import VirtualClock
from tests.support.in_memory.storage import MemoryContainer
from tests.support.in_memory.tables import MemoryTables
from tests.support.jobs import job

JOB = job()
RUN = JOB.activity_bytes
URL = Secret("https://outlook.office.com/api?authtoken=x", "upload URL")


@pytest.fixture
def claims() -> Claims:
    notes = SessionStore(MemoryContainer("sessions", VirtualClock()).as_client())
    return Claims(Ledger(MemoryTables().as_client()), notes)


@pytest.mark.parametrize(
    ("offsets", "is_sure"),
    [
        ([0], True),
        ([0, RUN], True),
        ([0, RUN, 2 * RUN], True),
        ([0, 0], False),
        ([0, RUN - 1], False),
        ([0, RUN, RUN], False),
        ([0, RUN, 2 * RUN, 0], False),
        # The late delivery does not hide that the run from 2 on was begun.
        ([0, RUN, 2 * RUN, RUN, 2 * RUN], False),
    ],
)
def test_a_run_is_sure_after_one_that_sent_all(
    claims: Claims, offsets: Sequence[int], is_sure: bool
) -> None:
    """Each run begins one run after the last one, or queries the session first."""
    claims.put(LedgerEntry(JOB.transfer_id, JOB.run, 1, upload_url=URL))
    for offset in offsets:
        url, sure = claims.begin_ranges(JOB, offset)
        assert url is not None
        assert url.reveal() == URL.reveal()
    assert sure is is_sure


def test_another_session_begins_anew(claims: Claims) -> None:
    """Its row says nothing about the earlier session."""
    claims.put(LedgerEntry(JOB.transfer_id, JOB.run, 1, upload_url=URL))
    claims.begin_ranges(JOB, RUN)
    entry = claims.entry(JOB)
    assert entry is not None
    second = JOB.model_copy(update={"attempt": 2})
    claims.put(LedgerEntry(JOB.transfer_id, JOB.run, 2, upload_url=URL, etag=entry.etag))
    assert claims.begin_ranges(second, 0)[1]


def test_without_a_session_there_is_nothing_to_begin(claims: Claims) -> None:
    """No row, a row without a URL, and the row of another run."""
    assert claims.begin_ranges(JOB, 0) == (None, True)
    entry = claims.ledger.put(LedgerEntry(JOB.transfer_id, JOB.run, 1))
    assert claims.begin_ranges(JOB, 0) == (None, True)
    claims.put(LedgerEntry(JOB.transfer_id, "2026-11-01", 1, upload_url=URL, etag=entry.etag))
    assert claims.begin_ranges(JOB, 0) == (None, True)
