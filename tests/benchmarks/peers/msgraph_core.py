"""Uploads one file by msgraph-core, in a process and an environment of its own.

``python msgraph_core.py URL TOKEN MAILBOX ITEM FILE default|tuned`` prints the seconds. As its
users run it, it cannot: its ranges of 5 MiB are more than Outlook takes in one. Tuned: ranges of
3,932,160 bytes.
Patches: ``upload()`` is left out, since it reads ``nextExpectedRanges`` in one case alone, stumbles
over a range without an end, and goes on after the last; the loop below calls its ``next_chunk``,
which makes and sends each request, with the range in both ends. The session is made by requests,
since msgraph-core alone has no call for it, and JSON's reader is registered here, for it has none.
"""

import asyncio
import sys
from pathlib import Path
from time import perf_counter

import requests
from kiota_abstractions.authentication import AnonymousAuthenticationProvider
from kiota_abstractions.serialization.parse_node_factory_registry import ParseNodeFactoryRegistry
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
from msgraph_core import BaseGraphRequestAdapter
from msgraph_core.models import LargeFileUploadSession
from msgraph_core.tasks import LargeFileUploadTask


async def main(url: str, token: str, mailbox: str, item: str, file: str, mode: str) -> None:
    """Attach the file."""
    size = Path(file).stat().st_size
    ParseNodeFactoryRegistry().CONTENT_TYPE_ASSOCIATED_FACTORIES["application/json"] = (
        JsonParseNodeFactory()
    )
    adapter = BaseGraphRequestAdapter(AnonymousAuthenticationProvider())
    tuned = {"max_chunk_size": 3_932_160} if mode == "tuned" else {}
    began = perf_counter()
    created = requests.post(
        f"{url}/v1.0/users/{mailbox}/messages/{item}/attachments/createUploadSession",
        json={"AttachmentItem": {"attachmentType": "file", "name": "peer.bin", "size": size}},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    session = LargeFileUploadSession(upload_url=created.json()["uploadUrl"])
    with Path(file).open("rb") as stream:
        task = LargeFileUploadTask(session, adapter, stream, **tuned)
        for start in range(0, size, task.max_chunk_size):
            stream.seek(start)
            task.next_range = f"{start}-{min(start + task.max_chunk_size, size) - 1}"
            await task.next_chunk(stream)
    print(perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
