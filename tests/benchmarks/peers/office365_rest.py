"""Uploads one file by Office365-REST-Python-Client, in a process and an environment of its own.

``python office365_rest.py URL TOKEN MAILBOX ITEM FILE default|tuned`` prints the seconds. As its
users run it: ``upload_attachment``, whose ranges have 3,000,000 bytes. Tuned: 3,932,160.
Patches: the Graph root, since it knows Microsoft's alone; a range gets a ``Content-Type`` and
loses its ``Authorization``, which Outlook answers with 401.
"""

import sys
from time import perf_counter

from office365 import graph_request
from office365.graph_client import GraphClient
from office365.runtime.http.http_method import HttpMethod
from office365.runtime.http.request_options import RequestOptions


def main(url: str, token: str, mailbox: str, item: str, file: str, mode: str) -> None:
    """Attach the file."""
    graph_request.get_graph_authority = lambda _environment: url
    set_header = RequestOptions.set_header

    def outlooks_header(options: RequestOptions, name: str, value: object) -> None:
        if options.method != HttpMethod.Put or name != "Authorization":
            set_header(options, name, value)
        if options.method == HttpMethod.Put:
            set_header(options, "Content-Type", "application/octet-stream")

    RequestOptions.set_header = outlooks_header
    client = GraphClient(lambda: {"access_token": token, "token_type": "Bearer"})
    message = client.users[mailbox].messages[item]
    began = perf_counter()
    if mode == "tuned":
        message.attachments.resumable_upload(file, 3_932_160)
    else:
        message.upload_attachment(file)
    client.execute_query()
    print(perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
