"""What the referee keeps: every request, every byte, every secret; and how it starts and stops."""

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
    """Method, path, query, headers, body's length, range, mailbox, item and answer."""
    url = client.session(mutable(message), 9)
    clock.advance(5)
    client.put(url, b"abc", 0, 9, X_Mark="seen")
    put = client.emulator.requests[-1]
    assert (put.index, put.kind, put.method) == (2, "range", "PUT")
    assert client.emulator.url + put.target == url
    assert put.path == put.target.partition("?")[0]
    assert "authtoken" not in put.path
    assert put.headers["x-mark"] == "seen"
    assert put.range == ByteRange(0, 2, 9)
    assert (put.body_length, put.body) == (3, b"")
    assert (put.mailbox, put.item) == (MAILBOX, message)
    assert (put.status, put.answer_headers["Date"]) == (200, "Mon, 05 Jan 2026 09:00:05 GMT")
    assert (put.at, put.ended_at, put.concurrency) == (clock.now, clock.now, 1)


def test_requests_are_kept_by_kind_and_order(client: Client, message: str, event: str) -> None:
    """Each kind of request has its name; what the emulator does not know is `other`."""
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


def test_body_of_a_graph_request_is_kept(client: Client, message: str) -> None:
    """What a client declared can be looked up."""
    client.create(message, 9, name="flower")
    assert b'"name": "flower"' in client.emulator.requests[-1].body


def test_referee_hashes_what_arrived(client: Client, message: str) -> None:
    """The digest is of the bytes received, by either way."""
    client.upload(message, b"abcdef", 4)
    client.small(message, b"abcdef")
    digests = {each.sha256 for each in client.emulator.attachments(MAILBOX, message)}
    assert digests == {hashlib.sha256(b"abcdef").hexdigest()}


def test_referee_knows_every_secret(client: Client, message: str) -> None:
    """The identity header, each token and each upload URL's token, for leak tests."""
    url = client.session(message, 9)
    client.http.delete(url)
    secrets = client.emulator.secrets()
    assert secrets == [
        client.emulator.identity_header,
        client.token,
        url.partition("authtoken=")[2],
    ]


def test_clear_forgets_requests_and_keeps_mailboxes(client: Client, message: str) -> None:
    """Counting begins anew; items, attachments and tokens stay."""
    client.small(message)
    client.emulator.clear()
    assert client.emulator.requests == []
    assert client.graph("GET", client.item_url(message)).status_code == 200
    assert client.emulator.requests[0].index == 0
    assert len(client.emulator.attachments(MAILBOX, message)) == 1


def test_parallel_uploads_stay_apart(client: Client, emulator: OutlookEmulator) -> None:
    """Uploads to several mailboxes at once each keep their own bytes."""
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
    """A stopped emulator refuses connections; started again it goes on where it was."""
    url = client.session(message, 6)
    client.put(url, b"abc", 0, 6)
    client.emulator.stop()
    with pytest.raises(requests.ConnectionError):
        client.put(url, b"def", 3, 6)
    client.emulator.start()
    assert client.put(url, b"def", 3, 6).status_code == 201


def test_taken_port_is_told(emulator: OutlookEmulator) -> None:
    """Two emulators cannot have one port."""
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
