"""The two loops that bound the protocol: ranges PUT from memory, and slices read from a blob.

Nothing but ``http.client`` over one kept connection, and nothing is kept of what is read.
"""

import http.client
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import perf_counter
from urllib.parse import SplitResult, urlsplit

from azure.storage.blob import BlobClient, BlobSasPermissions, generate_blob_sas

from tests.benchmarks.measurement import SLICE


def put_loop(upload_url: str, pieces: list[bytes]) -> float:
    """Seconds to PUT the pieces, in order."""
    url, total, start = urlsplit(upload_url), sum(map(len, pieces)), 0
    with closing(_connection(url)) as connection:
        began = perf_counter()
        for piece in pieces:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes {start}-{start + len(piece) - 1}/{total}",
            }
            connection.request("PUT", f"{url.path}?{url.query}", piece, headers)
            answer = connection.getresponse()
            answer.read()
            start += len(piece)
            assert answer.status == (201 if start == total else 200)
        return perf_counter() - began


def read_loop(blob_url: str, size: int) -> tuple[float, float]:
    """Seconds to read every slice of a blob, in order, and the first one alone."""
    url, first = urlsplit(blob_url), 0.0
    with closing(_connection(url)) as connection:
        began = perf_counter()
        for start in range(0, size, SLICE):
            stop = min(start + SLICE, size)
            headers = {"x-ms-range": f"bytes={start}-{stop - 1}", "x-ms-version": "2021-08-06"}
            connection.request("GET", f"{url.path}?{url.query}", headers=headers)
            answer = connection.getresponse()
            assert (answer.status, len(answer.read())) == (206, stop - start)
            first = first or perf_counter() - began
        return perf_counter() - began, first


def readable_url(blob: BlobClient, account_key: str) -> str:
    """The blob's URL with a signature that lets it be read for an hour."""
    sas = generate_blob_sas(
        str(blob.account_name),
        blob.container_name,
        blob.blob_name,
        account_key=account_key,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"{blob.url}?{sas}"


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(str(url.hostname), url.port or 80)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
