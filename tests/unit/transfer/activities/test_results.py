import pytest

from shared.errors import BlobDeleted, StorageUnavailable, Superseded
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.storage.ledger import LedgerUnreadable
from shared.transfer.activities.blob_reader import ContentUncertain, RestartRequired
from shared.transfer.activities.results import result_of_error, result_of_refusal
from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.retry_table import Call
from tests.support.jobs import job


def test_a_final_refusal_of_a_post_is_looked_at_once() -> None:
    """If the file is not attached, it ends the transfer."""
    response = GraphResponse(403, code="ErrorAccessDenied")
    result = result_of_refusal(Call.SMALL_POST, response, job())
    assert result is not None
    assert result.otherwise is not None
    assert (result.outcome, result.look_once) == ("reconcile", True)
    assert (result.otherwise.outcome, result.otherwise.failure) == ("failed", result.failure)
    created = result_of_refusal(Call.CREATE, response, job())
    assert created is not None
    assert created.outcome == "failed"


@pytest.mark.parametrize(
    ("response", "may_be_attached"),
    [
        (GraphResponse(429, code="ApplicationThrottled"), True),
        (GraphResponse(no_response=NoResponse.NEVER_SENT), False),
    ],
)
def test_a_repeated_post_may_have_attached(response: GraphResponse, may_be_attached: bool) -> None:
    """Unless nothing was sent."""
    result = result_of_refusal(Call.SMALL_POST, response, job())
    assert result is not None
    assert (result.outcome, result.may_be_attached) == ("retry", may_be_attached)


def test_a_success_is_no_refusal() -> None:
    assert result_of_refusal(Call.LIST, GraphResponse(200), job()) is None


@pytest.mark.parametrize(
    ("call", "response", "outcome", "retry_after", "tries"),
    [
        (Call.CREATE, GraphResponse(429, retry_after=42.0), "retry", 42.0, None),
        (Call.CREATE, GraphResponse(429), "retry", 5.0, None),
        (Call.LIST, GraphResponse(404), "retry", None, 4),
        (Call.SMALL_POST, GraphResponse(500, retry_after=7.0), "reconcile", 7.0, None),
        (
            Call.SMALL_POST,
            GraphResponse(no_response=NoResponse.UNKNOWN),
            "reconcile",
            None,
            None,
        ),
        (Call.SMALL_POST, GraphResponse(413), "session_instead", None, None),
        (Call.LIST, GraphResponse(403, code="ErrorAccessDenied"), "failed", None, None),
        (Call.LIST, GraphResponse(403), "retry", None, 4),
        (Call.SMALL_POST, GraphResponse(403), "reconcile", None, None),
    ],
)
def test_a_refusal_keeps_its_retry_after(
    call: Call,
    response: GraphResponse,
    outcome: str,
    retry_after: float | None,
    tries: int | None,
) -> None:
    """The result has the row's outcome and bound, and the response's Retry-After."""
    result = result_of_refusal(call, response, job())
    assert result is not None
    assert (result.outcome, result.retry_after, result.tries) == (outcome, retry_after, tries)
    assert result.failure is not None
    assert not result.storage_failed


@pytest.mark.parametrize(
    ("error", "outcome", "code", "storage_failed"),
    [
        (StorageUnavailable("x"), "retry", "StorageUnavailable", True),
        (LedgerUnreadable("t"), "retry", "StorageUnavailable", True),
        (Superseded("b"), "superseded", "Superseded", False),
        (RestartRequired("0x2"), "start_over", "UnsupportedBlob", False),
        (ContentUncertain("x"), "failed", "UnsupportedBlob", False),
        (BlobDeleted("b"), "failed", "BlobDeleted", False),
    ],
)
def test_an_error_becomes_a_result(
    error: RestartRequired | StorageUnavailable,
    outcome: str,
    code: str,
    storage_failed: bool,
) -> None:
    """With the published code, and whether storage is to blame."""
    result = result_of_error(error)
    assert result.failure is not None
    assert (result.outcome, result.failure.code) == (outcome, code)
    assert result.storage_failed is storage_failed
    assert ActivityResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(("code", "expected"), [("StorageUnavailable", True), ("Odd", False)])
def test_a_history_of_1_0_has_no_flag(code: str, expected: bool) -> None:
    """There, the failure's code says that storage is to blame."""
    old = {"outcome": "retry", "failure": {"code": code, "message": "x"}}
    assert ActivityResult.from_json(old).storage_failed is expected
    assert not ActivityResult.from_json(old | {"storageFailed": False}).storage_failed
