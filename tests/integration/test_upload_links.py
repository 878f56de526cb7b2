"""Pre-signed upload URLs: for one file, and only for an allowed mailbox."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import time_machine
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerClient, UserDelegationKey

from shared.errors import (
    AttachmentTooLarge,
    InvalidRequest,
    MailboxNotAllowed,
    PermissionMissing,
    UnsupportedBlob,
)
from shared.settings import Settings
from shared.storage.presigned_urls import PresignedUrls
from shared.storage.source_container import SourceContainer
from shared.transfer.addressing import read_address
from shared.transfer.admission import check_blob
from shared.transfer.service.requests import UploadLinkRequest
from shared.transfer.service.upload_link import UploadLink, UploadLinks

CONTENT = b"sent by hand"
TYPE = "x-ms-blob-content-type"
BODY: dict[str, Any] = {
    "fileName": "scan.pdf",
    "size": len(CONTENT),
    "contentType": "application/pdf",
    "mailbox": "Scans@contoso.com",
    "messageId": "AAMkADI5+/3drCAAA=",
}


@pytest.fixture
def container(azurite: str) -> Iterator[ContainerClient]:
    """An empty container."""
    with BlobServiceClient.from_connection_string(azurite) as service:
        name = f"uploads-{datetime.now(UTC):%H%M%S%f}"
        yield service.create_container(name)


@pytest.fixture
def uploads(azurite: str, container: ContainerClient) -> Iterator[UploadLinks]:
    with BlobServiceClient.from_connection_string(azurite) as service:
        settings = Settings(allowed_mailboxes=("*@contoso.com",), max_attachment_bytes=1_000)
        yield UploadLinks(settings, PresignedUrls(service, container.container_name))


def offer(uploads: UploadLinks, **changes: object) -> UploadLink:
    return uploads.create(UploadLinkRequest.read(BODY | changes))


def put(upload: UploadLink, url: str = "") -> int:
    return requests.put(url or upload.url, CONTENT, headers=upload.headers, timeout=10).status_code


def test_the_file_arrives_with_its_address(
    uploads: UploadLinks, container: ContainerClient
) -> None:
    """Its type, name and item, as the blob trigger reads them."""
    upload = offer(uploads)
    assert put(upload) == 201
    blob = container.get_blob_client(upload.blob)
    properties = blob.get_blob_properties()
    assert blob.download_blob().readall() == CONTENT
    assert properties.content_settings.content_type == "application/pdf"
    assert properties.content_settings.content_md5
    address = read_address(upload.blob, properties.metadata)
    assert (str(address.item), address.file_name) == (
        "scans@contoso.com/messages/AAMkADI5+/3drCAAA=",
        "scan.pdf",
    )


@pytest.mark.parametrize(
    ("name", "arrives_as"),
    [
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("Überweisung 100% #1?.pdf", "Überweisung 100% #1?.pdf"),
        ("../../a\\b.pdf", ".._.._a_b.pdf"),
        ("..", "attachment"),
        ("請求書" * 85 + ".pdf", ("請求書" * 85)[:251] + ".pdf"),
    ],
)
def test_any_name_is_made_safe(
    uploads: UploadLinks, container: ContainerClient, name: str, arrives_as: str
) -> None:
    """In the blob's name and in its metadata, which takes ASCII alone."""
    upload = offer(uploads, fileName=name)
    assert put(upload) == 201
    metadata = container.get_blob_client(upload.blob).get_blob_properties().metadata
    assert read_address(upload.blob, metadata).file_name == arrives_as
    assert upload.blob.endswith(f"/{arrives_as}")


def test_the_url_is_for_one_new_blob(uploads: UploadLinks, container: ContainerClient) -> None:
    """It cannot read, overwrite, change or delete the blob, or write another."""
    upload = offer(uploads)
    other = upload.url.replace("scan.pdf", "other.pdf")
    assert put(upload, other) == 403
    assert put(upload) == 201
    assert put(upload) == 403
    for method, url in (
        ("GET", upload.url),
        ("DELETE", upload.url),
        ("PUT", f"{upload.url}&comp=metadata"),
        ("GET", f"{upload.url}&comp=metadata"),
    ):
        assert requests.request(method, url, timeout=10).status_code == 403
    assert list(container.list_blob_names()) == [upload.blob]


def test_the_url_expires_after_minutes(uploads: UploadLinks) -> None:
    """The response has the time."""
    with time_machine.travel(datetime.now(UTC) - timedelta(minutes=11), tick=False):
        late = offer(uploads)
        assert late.expires_at - datetime.now(UTC) <= timedelta(minutes=10)
    assert put(late) == 403


def test_two_files_of_one_name_are_two_blobs(uploads: UploadLinks) -> None:
    """No existing blob is overwritten."""
    assert offer(uploads).blob != offer(uploads).blob


def test_the_mailbox_is_checked_first_and_then_the_size(uploads: UploadLinks) -> None:
    """Before anything is signed."""
    with pytest.raises(MailboxNotAllowed):
        offer(uploads, mailbox="someone@elsewhere.com", size=2_000)
    with pytest.raises(AttachmentTooLarge):
        offer(uploads, size=2_000)


def test_every_fault_of_a_request_is_named() -> None:
    """No item, a negative size, an unknown field."""
    with pytest.raises(InvalidRequest) as refused:
        UploadLinkRequest.read({"fileName": "", "size": -1, "mailbox": "a b", "blob": "x"})
    fields = {each.field for each in refused.value.details}
    assert fields == {"fileName", "size", "mailbox", "blob", "messageId"}


def test_the_url_is_not_in_representations(uploads: UploadLinks) -> None:
    """It is a credential."""
    upload = offer(uploads)
    signature = upload.url.partition("sig=")[2]
    assert signature
    assert signature not in repr(upload) + str(upload)
    assert "sig=" not in repr(uploads.presigned_urls.create("x"))


class IdentityService(BlobServiceClient):
    """A client with an identity, which the account accepts or refuses."""

    refusal: HttpResponseError | None = None

    def get_user_delegation_key(self, *times: Any, **_: Any) -> UserDelegationKey:
        if self.refusal is not None:
            raise self.refusal
        start, expiry = (f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in times)
        key = UserDelegationKey()  # type: ignore[no-untyped-call]
        key.signed_oid, key.signed_tid = "object", "tenant"
        key.signed_start, key.signed_expiry = start, expiry
        key.signed_service, key.signed_version = "b", "2020-02-10"
        key.value = "c2VjcmV0"
        return key


def test_an_identity_signs_with_a_delegated_key() -> None:
    """For https only, to create that blob, until the same time."""
    service = IdentityService("https://source.blob.core.windows.net")
    granted = PresignedUrls(service, "inbox").create("by-hand/ä b.pdf")
    place, _, query = granted.url.partition("?")
    assert place == "https://source.blob.core.windows.net/inbox/by-hand/%C3%A4%20b.pdf"
    signed = dict(each.split("=", 1) for each in query.split("&"))
    fields = {name: signed[name] for name in ("sp", "sr", "spr", "skoid", "sktid")}
    assert fields == {"sp": "c", "sr": "b", "spr": "https", "skoid": "object", "sktid": "tenant"}
    assert signed["se"].replace("%3A", ":") == f"{granted.expires_at:%Y-%m-%dT%H:%M:%SZ}"


def test_an_identity_without_the_role_gets_its_name() -> None:
    """The message has it."""
    service = IdentityService("https://source.blob.core.windows.net")
    service.refusal = HttpResponseError("refused")
    service.refusal.status_code = 403
    with pytest.raises(PermissionMissing, match="Storage Blob Delegator"):
        PresignedUrls(service, "inbox").create("x")


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("scan.pdf", "application/pdf"),
        ("SCAN.PDF", "application/pdf"),
        ("scan", "application/octet-stream"),
        ("scan.tar.gz", "application/octet-stream"),
        ("scan.unknown", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_name(uploads: UploadLinks, name: str, type_: str) -> None:
    """Unless the request gives one."""
    assert offer(uploads, fileName=name, contentType=None).headers[TYPE] == type_
    assert offer(uploads, fileName=name, contentType="a/b").headers[TYPE] == "a/b"


def test_a_file_of_another_size_is_not_attached(
    uploads: UploadLinks, container: ContainerClient
) -> None:
    """The link was for the file that the request described."""
    source = SourceContainer(container)
    for size, fits in ((len(CONTENT), True), (len(CONTENT) + 1, False), (0, False)):
        upload = offer(uploads, size=size)
        assert put(upload) == 201
        blob = source.look(upload.blob)
        if fits:
            check_blob(uploads.settings, blob)
            continue
        with pytest.raises(UnsupportedBlob, match=f"its upload link was for {size}"):
            check_blob(uploads.settings, blob)
