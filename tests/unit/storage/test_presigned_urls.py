"""Pre-signed URLs: what they allow, for how long, and with which key they are signed."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, UserDelegationKey

from shared.errors import PermissionMissing, StorageUnavailable
from shared.storage.presigned_urls import PresignedUrls

NOW = datetime(2026, 11, 22, 10, 0, 0, 500_000, tzinfo=UTC)
KEYED = "DefaultEndpointsProtocol={};AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint={}://{};"


def service(scheme: str = "https") -> BlobServiceClient:
    text = KEYED.format(scheme, scheme, "account.blob.core.windows.net")
    return BlobServiceClient.from_connection_string(text)


def delegated(answer: UserDelegationKey | Exception) -> tuple[BlobServiceClient, list[Any]]:
    """A client without an account key, and the times that it requested keys for."""
    client = BlobServiceClient("https://account.blob.core.windows.net", credential=None)
    times: list[Any] = []

    def key(*given: object) -> UserDelegationKey:
        times.append(given)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client.get_user_delegation_key = key  # type: ignore[method-assign, assignment]
    return client, times


def create(client: BlobServiceClient, name: str = "a b.pdf") -> tuple[str, dict[str, str]]:
    """The URL without its signature, and the parts of the signature."""
    with time_machine.travel(NOW, tick=False):
        created = PresignedUrls(client, "incoming").create(name)
    assert created.expires_at == datetime(2026, 11, 22, 10, 10, tzinfo=UTC)
    assert created.url not in repr(created)
    url = urlsplit(created.url)
    query = {key: value for key, (value,) in parse_qs(url.query).items()}
    return url._replace(query="").geturl(), query


@pytest.mark.parametrize(("scheme", "protocol"), [("https", "https"), ("http", None)])
def test_a_url_creates_one_blob_within_ten_minutes(scheme: str, protocol: str | None) -> None:
    """It can do nothing else, and has to be used by https unless the account is a local one."""
    url, query = create(service(scheme))
    assert url == f"{scheme}://account.blob.core.windows.net/incoming/a%20b.pdf"
    assert (query["sp"], query["sr"]) == ("c", "b")
    assert query["se"] == "2026-11-22T10:10:00Z"
    assert query.get("spr") == protocol
    assert "skoid" not in query


def test_each_blob_has_a_signature_of_its_own() -> None:
    """Of its container and its name."""
    _, one = create(service())
    _, other = create(service(), "c.pdf")
    assert one["sig"] != other["sig"]


def delegation_key() -> UserDelegationKey:
    key = UserDelegationKey()  # type: ignore[no-untyped-call]  # the SDK has no types here
    for field in ("signed_oid", "signed_tid", "signed_start", "signed_expiry"):
        setattr(key, field, field)
    key.signed_service, key.signed_version, key.value = "b", "2020-02-10", "c2VjcmV0"
    return key


def test_without_an_account_key_the_identity_signs() -> None:
    """With a key that is valid as long as the URL; clocks may differ by five minutes."""
    client, times = delegated(delegation_key())
    _, query = create(client)
    assert query["skoid"] == "signed_oid"
    ((start, expiry),) = times
    assert start == NOW - timedelta(minutes=5)
    assert expiry == datetime(2026, 11, 22, 10, 10, tzinfo=UTC)


def refused(status: int) -> HttpResponseError:
    error = HttpResponseError("no")
    error.status_code, error.error_code = status, "Why"  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("status", [401, 403])
def test_an_identity_without_the_role_learns_which(status: int) -> None:
    """The sentence names the role and the account that it is needed on."""
    client, _ = delegated(refused(status))
    with pytest.raises(PermissionMissing) as caught:
        create(client)
    assert caught.value.sentence == (
        f"Azure Storage refused the app a key to sign upload URLs with ({status} Why). "
        "Grant the app's "
        "identity the role Storage Blob Delegator on the account of the watched container."
    )


def test_an_outage_is_no_missing_role() -> None:
    """It names the blob."""
    client, _ = delegated(refused(503))
    with pytest.raises(StorageUnavailable, match=r"503 \(Why\) for the blob a b\.pdf"):
        create(client)


def test_the_signature_of_the_connection_is_not_passed_on() -> None:
    """A connection string may have one, of wider rights."""
    text = "BlobEndpoint=https://account.blob.core.windows.net;SharedAccessSignature=sig=wide"
    client, _ = delegated(delegation_key())
    signed = BlobServiceClient.from_connection_string(text)
    cast("Any", signed).get_user_delegation_key = client.get_user_delegation_key
    url, query = create(signed)
    assert url == "https://account.blob.core.windows.net/incoming/a%20b.pdf"
    assert query["sig"] != "wide"
