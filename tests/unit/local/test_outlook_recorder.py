"""What the emulator records: requests, bytes, secrets; and how it starts and stops."""

import hashlib
import ssl
import threading

import pytest
import requests
import trustme

from infra.local.outlook import OutlookEmulator, Rules
from infra.local.outlook.protocol.byte_range import ByteRange
from infra.local.outlook.protocol.ids import mutable
from tests.unit.local.outlook_client import MAILBOX, Client, Clock


def test_record_has_what_was_sent(client: Client, message: str, clock: Clock) -> None:
    """Method, path, query, headers, body length, range, mailbox, item and response."""
    url = client.session(mutable(message), 9)
    clock.advance(5)
    client.put(url, b"abc", 0, 9, X_Mark="here")
    put = client.emulator.requests[-1]
    assert (put.index, put.kind, put.method) == (2, "range", "PUT")
    assert client.emulator.url + put.target == url
    assert put.path == put.target.partition("?")[0]
    assert "authtoken" not in put.path
    assert put.headers["x-mark"] == "here"
    assert put.range == ByteRange(0, 2, 9)
    assert (put.body_length, put.body) == (3, b"")
    assert (put.mailbox, put.item) == (MAILBOX, message)
    assert (put.status, put.answer_headers["Date"]) == (200, "Mon, 05 Jan 2026 09:00:05 GMT")
    assert (put.at, put.ended_at, put.concurrency) == (clock.now, clock.now, 1)


def test_requests_are_recorded_by_kind_and_order(client: Client, message: str, event: str) -> None:
    """Each kind of request has its name; an unsupported request is `other`."""
    attached = client.small(message).json()["id"]
    url = f"{client.item_url(message)}/attachments"
    session = client.session(event, 6, "event")
    client.put(session, b"abc", 0, 6)
    client.http.get(session)
    client.put(session, b"def", 3, 6)
    client.http.delete(session)
    for method, path in (
        ("GET", url),
        ("GET", f"{url}/{attached}"),
        ("GET", f"{url}/{attached}/$value"),
        ("DELETE", f"{url}/{attached}"),
        ("GET", client.item_url(message)),
        ("PATCH", client.item_url(message)),
    ):
        client.graph(method, path)
    client.graph("POST", client.item_url("").rstrip("/"), json={})
    kinds = "token small_post create range session_state last_range cancel list get_attachment"
    kinds += " raw_content delete_attachment get_item other create_item"
    assert [each.kind for each in client.emulator.requests] == kinds.split()
    assert [each.index for each in client.emulator.requests] == list(range(14))


def test_body_of_a_graph_request_is_recorded(client: Client, message: str) -> None:
    """It has what the client declared."""
    client.create(message, 9, name="flower")
    assert b'"name": "flower"' in client.emulator.requests[-1].body


def test_received_bytes_are_hashed(client: Client, message: str) -> None:
    """The digest is that of the received bytes, after a session and after a POST."""
    client.upload(message, b"abcdef", 4)
    client.small(message, b"abcdef")
    digests = {each.sha256 for each in client.emulator.attachments(MAILBOX, message)}
    assert digests == {hashlib.sha256(b"abcdef").hexdigest()}


def test_every_secret_is_recorded(client: Client, message: str) -> None:
    """The identity header, each token and each upload URL's token, for leak tests."""
    url = client.session(message, 9)
    client.http.delete(url)
    secrets = client.emulator.secrets()
    assert secrets == [
        client.emulator.identity_header,
        client.token,
        url.partition("authtoken=")[2],
    ]


def test_clear_discards_requests_and_keeps_mailboxes(client: Client, message: str) -> None:
    """The counts start again; items, attachments and tokens are kept."""
    client.small(message)
    client.emulator.clear()
    assert client.emulator.requests == []
    assert client.graph("GET", client.item_url(message)).status_code == 200
    assert client.emulator.requests[0].index == 0
    assert len(client.emulator.attachments(MAILBOX, message)) == 1


def test_parallel_uploads_are_separate(client: Client, emulator: OutlookEmulator) -> None:
    """Concurrent uploads to several mailboxes each get their own bytes."""
    contents = {f"user{number}@contoso.com": bytes([number]) * 300_000 for number in range(6)}
    items = {}
    for address in contents:
        emulator.add_mailbox(address)
        items[address] = emulator.add_item(address, "message")

    def upload(address: str) -> None:
        own = Client(emulator)
        path = f"/v1.0/users/{address}/messages/{items[address]}/attachments/createUploadSession"
        item = {"attachmentType": "file", "name": "f", "size": 300_000}
        body = {"AttachmentItem": item}
        url = own.graph("POST", emulator.url + path, json=body).json()["uploadUrl"]
        for start in range(0, 300_000, 50_000):
            own.put(url, contents[address][start : start + 50_000], start, 300_000)
        own.close()

    threads = [threading.Thread(target=upload, args=(address,)) for address in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {address: emulator.attachments(address, items[address]) for address in contents}
    assert {address: each[0].content for address, each in kept.items()} == contents


def test_restart_keeps_port_and_state(client: Client, message: str) -> None:
    """A stopped emulator refuses connections; started again, it has the same state."""
    url = client.session(message, 6)
    client.put(url, b"abc", 0, 6)
    client.emulator.stop()
    with pytest.raises(requests.ConnectionError):
        client.put(url, b"def", 3, 6)
    client.emulator.start()
    assert client.put(url, b"def", 3, 6).status_code == 201


def test_port_in_use_is_an_error(emulator: OutlookEmulator) -> None:
    """Two emulators cannot use the same port."""
    port = int(emulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        OutlookEmulator(port=port).start()


def test_tls_is_served_when_given() -> None:
    """With a certificate every URL is https."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with authority.cert_pem.tempfile() as trusted, OutlookEmulator(Rules(), tls=context) as running:
        assert running.identity_endpoint.startswith("https://127.0.0.1:")
        answer = requests.get(running.identity_endpoint, verify=trusted, timeout=5)
        assert answer.status_code == 401
