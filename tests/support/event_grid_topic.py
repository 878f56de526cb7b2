"""An Event Grid topic on this machine, over TLS."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme


@dataclass
class Topic:
    """A topic that records requests. ``answers`` are its next responses; then it accepts all."""

    authority: Path
    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[tuple[str, Message, Any]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        topic = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                topic.requests.append((self.path, self.headers, body))
                status, headers = topic.answers.pop(0) if topic.answers else (200, {})
                # It repeats the headers that it was sent.
                content = json.dumps({"error": {"message": str(self.headers)}}).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        return Handler


@contextmanager
def running_topic(folder: Path) -> Iterator[Topic]:
    """A topic whose certificate authority is ``topic.authority``, a file in this folder."""
    authority = trustme.CA()
    topic = Topic(authority=folder / "ca.pem")
    authority.cert_pem.write_to_path(str(topic.authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), topic.handler()) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        topic.url = f"https://localhost:{server.server_port}/api/events"
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield topic
        finally:
            server.shutdown()
            serving.join()
