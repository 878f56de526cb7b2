"""Blobs that storage refuses to hand out: final for a blob, or worth another try."""

import io
from typing import Any

import pytest
import requests
import urllib3
from azure.core.pipeline.transport import HttpRequest
from azure.core.rest._requests_basic import RestRequestsTransportResponse

from shared.errors import StorageUnavailable, UnsupportedBlob
from shared.transfer.payloads import TransferStatus
from tests.conftest import MakeHarness
from tests.support.deliveries import EVENTS, call_status
from tests.support.faults.faulty_storage import FaultyTransport, storage_over
from tests.support.files import put_for_new_item
from tests.support.harness import Harness, Product

NAME = "in/report.pdf"
FINAL = [
    (409, "BlobUsesCustomerSpecifiedEncryption"),
    (409, "blobusescustomerspecifiedencryption"),
    (409, "BlobArchived"),
    (409, "BlobBeingRehydrated"),
    (409, "OperationNotSupportedOnDirectory"),
]
PASSING = [
    (403, "KeyVaultEncryptionKeyNotFound"),
    (403, "KeyVaultAccessTokenCannotBeAcquired"),
    (403, "AuthorizationFailure"),
    (409, "ContainerBeingDeleted"),
    (409, ""),
    (500, "InternalError"),
]


class RefusingTransport(FaultyTransport):
    """Answers every request of one method for the source with one refusal, or sends it."""

    refusal: tuple[int, str] | None = None
    method = "HEAD"

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        if self.refusal is None or request.method != self.method:
            return super().send(request, **kwargs)
        response = requests.Response()
        response.status_code, code = self.refusal
        response.reason = "Refused"
        if code:
            response.headers["x-ms-error-code"] = code
        raw = io.BytesIO(b"")
        response.raw = urllib3.HTTPResponse(raw, status=response.status_code, preload_content=False)
        untyped: Any = RestRequestsTransportResponse
        return untyped(request=request, internal_response=response)


def refusing(make_harness: MakeHarness) -> tuple[Harness, RefusingTransport]:
    """An app over a storage account that is about to refuse, with a blob for a new message."""
    transport = RefusingTransport()
    harness = make_harness(None, Product(storage=storage_over(transport)))
    put_for_new_item(harness, "message", b"hello")
    return harness, transport


def test_a_blob_that_is_never_readable_ends_its_event(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning with what to change, no delivery again; a call for it is answered 400."""
    harness, transport = refusing(make_harness)
    for transport.refusal in FINAL:
        for deliver in EVENTS:
            caplog.clear()
            deliver(harness, NAME)
            (entry,) = [each for each in caplog.records if each.name.startswith("shared.")]
            assert "UnsupportedBlob: The blob is" in entry.getMessage()
        assert call_status(harness, NAME) == 400


def test_other_refusals_are_tried_again(make_harness: MakeHarness) -> None:
    """They are about the account or the moment: events are delivered again, a call gets 503."""
    harness, transport = refusing(make_harness)
    for transport.refusal in PASSING:
        for deliver in EVENTS:
            with pytest.raises(StorageUnavailable):
                deliver(harness, NAME)
        assert call_status(harness, NAME) == 503


def test_a_name_that_storage_calls_malformed_ends_its_event(make_harness: MakeHarness) -> None:
    """At every trigger: 400 stays 400."""
    harness, transport = refusing(make_harness)
    transport.refusal = (400, "InvalidUri")
    for deliver in EVENTS:
        deliver(harness, NAME)
    assert call_status(harness, NAME) == 400


@pytest.mark.parametrize("refusal", [FINAL[0], FINAL[2]])
def test_a_refusal_of_the_content_ends_the_transfer(
    make_harness: MakeHarness, refusal: Any
) -> None:
    """Archived after it was inspected, for example: the record says so, nothing is attached."""
    harness, transport = refusing(make_harness)
    engine = harness.begin(NAME)
    transport.method, transport.refusal = "GET", refusal
    status = TransferStatus.from_json(engine.run())
    assert status.state == "failed"
    assert status.error is not None
    assert status.error.code == UnsupportedBlob.code
    assert harness.metadata(NAME)["attachmenterror"].startswith("UnsupportedBlob: The blob is")
