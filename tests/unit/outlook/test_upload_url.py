import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from shared.errors import UploadHostNotAllowed
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.upload_url import UploadUrl

CANARY = "eyJcanary"
CLOUD = GraphEndpoint(
    root="https://graph.microsoft.com/v1.0",
    scope="https://graph.microsoft.com/.default",
    upload_hosts=frozenset({"outlook.office.com", "outlook.office365.com"}),
    loopback_uploads=False,
)
LOOPBACK = GraphEndpoint("http://127.0.0.1:1/v1.0", CLOUD.scope, CLOUD.upload_hosts, True)
GOOD = (
    f"https://outlook.office.com/api/v2.0/Users('a@b')/AttachmentSessions('S=')?authtoken={CANARY}"
)


@pytest.mark.parametrize(
    "url",
    [
        GOOD,
        GOOD.replace("outlook.office.com", "Outlook.Office365.com"),
        GOOD.replace("office.com/", "office.com:443/"),
    ],
)
def test_urls_of_outlook_are_accepted_unchanged(url: str) -> None:
    """The URL is not normalised."""
    assert UploadUrl(url, CLOUD).reveal() == url


HOSTILE = [
    "",
    "not a url",
    "http://outlook.office.com/x",
    "https://evil.example/x",
    "https://outlook.office.com.evil.example/x",
    "https://evil.example/outlook.office.com",
    "https://outlook.office.com@evil.example/x",
    "https://user:pw@outlook.office.com/x",
    "https://outlook.office.com:8443/x",
    "https://outlook.office.com:99999/x",
    "https://outlook.office.com\\@evil.example/x",
    "https://evil.example\\.outlook.office.com/x",
    "https://outlook.office.com%2eevil.example/x",
    "https://outlook.office.com\r\n.evil.example/x",
    "https://outlook.office.com /x",
    "https://\u043eutlook.office.com/x",
    "//outlook.office.com/x",
    "file:///etc/passwd",
    "https://169.254.169.254/metadata",
    "https://127.0.0.1/x",
    "http://127.0.0.1:8080/x",
    "https://localhost/x",
    "https://[::1]/x",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_any_other_host_is_refused(url: str) -> None:
    """Nothing is sent there, and the error names the setting."""
    with pytest.raises(UploadHostNotAllowed, match="UPLOAD_HOSTS"):
        UploadUrl(url, CLOUD)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:9", "[::1]:9"])
def test_loopback_is_allowed_only_with_a_loopback_graph(scheme: str, host: str) -> None:
    """The local emulator returns URLs on this machine."""
    assert UploadUrl(f"{scheme}://{host}/x", LOOPBACK).host == host.removesuffix(":9")
    with pytest.raises(UploadHostNotAllowed):
        UploadUrl("http://192.168.0.1/x", LOOPBACK)


def test_it_cannot_be_shown_or_serialised() -> None:
    """Its text form is the host only; pickle, copy and JSON refuse."""
    url = UploadUrl(GOOD, CLOUD)
    shown = f"{url} {url!r} {[url]} %s" % url + str({"u": url})
    assert CANARY not in shown
    assert "outlook.office.com" in shown
    for serialise in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            serialise(url)


def test_a_refusal_does_not_quote_the_url() -> None:
    """The error names the host and not the token."""
    with pytest.raises(UploadHostNotAllowed) as caught:
        UploadUrl(GOOD.replace("outlook.office.com", "evil.example"), CLOUD)
    assert "evil.example" in caught.value.sentence
    assert CANARY not in caught.value.sentence


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://e_v-i%3cl.example:1/x", "ev-i3cl.example"),
        (f"https://{'a' * 300}.example/x", "a" * 255),
        ("https:///x", "(none)"),
        ("not a url", "(none)"),
    ],
)
def test_a_refusal_repeats_only_what_a_host_may_contain(url: str, named: str) -> None:
    """The host is a stranger's text."""
    with pytest.raises(UploadHostNotAllowed) as caught:
        UploadUrl(url, CLOUD)
    assert caught.value.sentence == (
        f"Graph returned an upload URL on host {named}, which is not allowed; nothing was sent "
        "there. If it is a genuine host of Microsoft's, add it to the app setting UPLOAD_HOSTS."
    )


@given(st.text(max_size=80), st.text(max_size=20))
def test_what_is_accepted_connects_to_an_allowed_host(prefix: str, suffix: str) -> None:
    """For any accepted URL, the library would connect to a host of the list."""
    try:
        url = UploadUrl(f"https://{prefix}outlook.office.com{suffix}", CLOUD)
    except UploadHostNotAllowed:
        return
    assert parse_url(url.reveal()).host in CLOUD.upload_hosts
