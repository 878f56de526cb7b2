"""The creation of upload sessions: which are refused, and what the attachment gets."""

from typing import Any

import pytest

from infra.local.outlook import OutlookEmulator, Rules
from tests.unit.local.outlook_client import MAILBOX, Client, refusal


@pytest.mark.parametrize("minimum", [3_000_000, 3_145_728])
def test_session_for_a_small_file_is_refused(
    emulator: OutlookEmulator, client: Client, message: str, minimum: int
) -> None:
    """One byte below the minimum is too small, the minimum itself is not."""
    emulator.rules = Rules(minimum_session_bytes=minimum)
    answer = client.create(message, minimum - 1)
    assert refusal(answer) == (400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
    assert client.create(message, minimum).status_code == 201


def test_session_for_an_empty_file_is_refused(client: Client, message: str) -> None:
    """A file without bytes is below every minimum."""
    answer = client.create(message, 0)
    assert refusal(answer) == (400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")


def test_session_for_too_large_a_file_is_refused(client: Client, message: str) -> None:
    """One byte over 150 MiB is too large."""
    answer = client.create(message, 157_286_401)
    assert refusal(answer) == (413, "ErrorAttachmentSizeLimitExceeded")
    assert client.create(message, 157_286_400).status_code == 201


def test_session_is_for_files_only(client: Client, message: str) -> None:
    """Another `attachmentType` than `file` is 405."""
    answer = client.create(message, 9, attachmentType="item")
    code = "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments"
    assert refusal(answer) == (405, code)


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"name": None}, "ErrorInvalidRequest"),
        ({"name": ""}, "ErrorInvalidRequest"),
        ({"name": 7}, "RequestBodyRead"),
        ({"size": None}, "ErrorInvalidRequest"),
        ({"size": -1}, "ErrorInvalidRequest"),
        ({"size": "9"}, "RequestBodyRead"),
        ({"size": True}, "RequestBodyRead"),
        ({"isInline": "yes"}, "RequestBodyRead"),
        ({"colour": "red"}, "RequestBodyRead"),
    ],
)
def test_session_request_must_be_well_formed(
    client: Client, message: str, properties: dict[str, Any], code: str
) -> None:
    """A property that is missing, unknown or of another type is a bad request."""
    answer = client.create(message, **({"size": 9} | properties))
    assert refusal(answer) == (400, code)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("microsoft.graph.attachmentItem", 201),
        ("#microsoft.graph.AttachmentItem", 201),
        ("#microsoft.graph.drive", 400),
    ],
)
def test_session_request_may_name_its_type(
    client: Client, message: str, name: str, status: int
) -> None:
    """OData allows any object to have an annotation with its type."""
    properties: dict[str, Any] = {"@odata.type": name}
    answer = client.create(message, size=9, **properties)
    assert answer.status_code == status


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"AttachmentItem": 1}', '{"size": 1}'])
def test_session_request_must_be_the_right_json(client: Client, message: str, body: str) -> None:
    """A body that is not `{"AttachmentItem": {…}}` is a bad request."""
    url = f"{client.item_url(message)}/attachments/createUploadSession"
    headers = {"Content-Type": "application/json"}
    assert client.graph("POST", url, headers, data=body).status_code == 400


def test_session_request_needs_its_content_type(client: Client, message: str) -> None:
    """Another media type is refused."""
    url = f"{client.item_url(message)}/attachments/createUploadSession"
    answer = client.graph("POST", url, {"Content-Type": "text/plain"}, data="{}")
    assert refusal(answer) == (415, "UnsupportedMediaType")


def test_cloud_without_sessions_refuses_them(
    emulator: OutlookEmulator, client: Client, message: str
) -> None:
    """A national cloud can be without the action; it still has the small POST."""
    emulator.rules = Rules(upload_sessions=False)
    assert refusal(client.create(message, 4_000_000)) == (400, "BadRequest")
    assert client.small(message).status_code == 201


def test_session_keeps_the_description_of_the_file(client: Client, message: str) -> None:
    """Name, type and the picture's content id reach the attachment."""
    properties = {"contentType": "image/png", "isInline": True, "contentId": "cid"}
    client.upload(message, b"picture", 7, name="ひと 🌼.png", **properties)
    [attachment] = client.emulator.attachments(MAILBOX, message)
    assert (attachment.name, attachment.content_type) == ("ひと 🌼.png", "image/png")
    assert (attachment.is_inline, attachment.content_id) == (True, "cid")
