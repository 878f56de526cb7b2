"""Uploads one file by python-o365, in a process and an environment of its own.

``python python_o365.py URL TOKEN MAILBOX ITEM FILE default|tuned`` prints the seconds. As its
users run it: ranges of 3 MiB, and 200 ms from one request to the next. Tuned: ranges of 3,932,160
bytes, and no such pause.
Patches: the protocol's ``service_url`` for the Graph root, since it knows Microsoft's alone; a
session with the token, since it has no credential of a managed identity; the message is not
fetched first; ``AttachmentItem`` as documented, since it writes ``attachmentItem``, which Graph
may take, but nobody has published that it does.
"""

import sys
from time import perf_counter

import requests
from O365.connection import Connection, MSGraphProtocol
from O365.message import Message
from O365.utils.attachment import UploadSessionRequest


def main(url: str, token: str, mailbox: str, item: str, file: str, mode: str) -> None:
    """Attach the file."""
    tuned = {"requests_delay": 0} if mode == "tuned" else {}
    described = UploadSessionRequest.to_api_data
    UploadSessionRequest.to_api_data = lambda request: {
        "AttachmentItem": described(request)["attachmentItem"]
    }
    connection = Connection(("id", "secret"), **tuned)
    connection.session = requests.Session()
    connection.session.headers["Authorization"] = f"Bearer {token}"
    protocol = MSGraphProtocol()
    protocol.service_url = f"{url}/v1.0/"
    message = Message(con=connection, protocol=protocol, main_resource=f"users/{mailbox}")
    message.object_id = item
    began = perf_counter()
    message.attachments.add(file)
    size = 3_932_160 if mode == "tuned" else None
    sent = message.attachments._update_attachments_to_cloud(chunk_size=size)
    print(perf_counter() - began)
    if not sent:
        sys.exit("the file was not attached")


if __name__ == "__main__":
    main(*sys.argv[1:])
