"""Fields that were renamed or added after version 1.0: its histories are still read."""

import pytest

from shared.transfer.activity_payloads import CancelUploadSession, FindAttachment
from shared.transfer.payloads import TransferRequest
from tests.support.jobs import job


def test_the_keys_of_a_cleanup_stay() -> None:
    work = CancelUploadSession(transfer_id="t", delete_notes=True, must_wait=True, best_effort=True)
    keys = {"transferId": "t", "forget": True, "resting": True, "whatever": True}
    assert work.to_json() == keys
    assert CancelUploadSession.from_json(keys) == work


def test_the_keys_of_a_search_stay() -> None:
    work = FindAttachment(job=job(), is_last_attempt=True, noted=False)
    assert work.to_json().keys() == {"job", "finally_", "noted"}
    assert FindAttachment.from_json(work.to_json()) == work


@pytest.mark.parametrize(
    ("code", "unaddressed"), [("Unaddressed", True), ("ContradictoryAddress", False)]
)
def test_an_old_request_without_an_address(code: str, unaddressed: bool) -> None:
    """There, the refusal's code says that the blob names no item."""
    old = {"blob": "b", "refused": {"code": code, "message": "x"}}
    assert TransferRequest.from_json(old).unaddressed is unaddressed
    new = TransferRequest.from_json(old)
    assert TransferRequest.from_json(new.to_json()) == new
