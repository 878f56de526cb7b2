"""The custom status of a transfer: Azure fails an orchestration whose status is over 16 KB."""

import json

import pytest
from durabletask.client import OrchestrationState, OrchestrationStatus

from shared.transfer.payloads import MAX_STATUS_BYTES, Failure, TransferRequest, TransferStatus
from shared.transfer.service.transfers import transfer_of
from tests.support.engine.clock import EPOCH

LETTERS = ["a", "ж", "\N{GRINNING FACE}", "\\", "\x7f"]


def long_request(letter: str) -> TransferRequest:
    """As long as names, addresses and ids can be."""
    return TransferRequest(
        blob=letter * 1_024,
        mailbox=letter * 320,
        item_type="message",
        item_id="A" * 1_024,
        file_name=letter * 255,
    )


def bytes_of(status: dict[str, object]) -> int:
    """As Durable counts them: JSON as the SDK writes it, in UTF-16."""
    return len(json.dumps(status).encode("utf-16-le"))


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("message", ["", "short", "long"])
def test_no_status_is_too_long(letter: str, message: str) -> None:
    """Whatever the names are made of, with and without an error that quotes them."""
    error = (
        Failure(code="OutcomeUnknown", message={"short": "No.", "long": letter * 9_000}[message])
        if message
        else None
    )
    status = long_request(letter).status.model_copy(update={"error": error, "state": "failed"})
    brief = status.to_custom_status()
    assert bytes_of(brief) <= MAX_STATUS_BYTES
    assert TransferStatus.from_json(brief).state == "failed"
    if error:
        kept = TransferStatus.from_json(brief).error
        assert kept is not None
        assert kept.code == "OutcomeUnknown"
        assert error.message.startswith(kept.message.removesuffix(" …"))


def test_a_usual_status_is_complete() -> None:
    """Nothing is left out of it."""
    status = TransferRequest(blob="in/report.pdf", mailbox="a@contoso.com").status
    assert status.to_custom_status() == status.to_json()


@pytest.mark.parametrize("letter", LETTERS)
def test_what_is_left_out_is_shown_all_the_same(letter: str) -> None:
    """The orchestration's input has it."""
    request = long_request(letter)
    state = OrchestrationState(
        instance_id="t",
        name="attach_blob",
        runtime_status=OrchestrationStatus.RUNNING,
        created_at=EPOCH,
        last_updated_at=EPOCH,
        serialized_input=json.dumps(request.to_json()),
        serialized_output=None,
        serialized_custom_status=json.dumps(request.status.to_custom_status()),
        failure_details=None,
    )
    transfer = transfer_of(state)
    assert (transfer.blob, transfer.file_name) == (request.blob, request.file_name)
    assert (transfer.mailbox, transfer.item_id) == (request.mailbox, request.item_id)
