"""The demo: two files become attachments, and their bytes are compared."""

import hashlib
import secrets
from contextlib import ExitStack

import requests
from rich.console import Console

from infra.local.drop import Dropped, drop, follow, source_container
from infra.local.heartbeat import heartbeat
from infra.local.stack import APP_FOLDER, MAILBOXES, STACK_FILE, Stack
from shared.outlook.clouds import CLOUDS
from shared.outlook.item import OutlookItem
from shared.transfer.payloads import TransferStatus

_MEGABYTE = 1_000_000


def run_demo(console: Console) -> bool:
    """Run the demo; whether both attachments have exactly the bytes of their blobs."""
    STACK_FILE.parent.mkdir(exist_ok=True)
    log_file = STACK_FILE.with_name("demo.log")
    # One range per activity, so that the progress of so small a file is visible.
    settings = {"RANGES_PER_ACTIVITY": "1"}
    with ExitStack() as running:
        log = running.enter_context(log_file.open("wb"))
        with heartbeat("Starting the stack"):
            stack = running.enter_context(Stack(settings=settings, log=log.fileno()))
        mailbox = MAILBOXES[0]
        message, event = stack.items[mailbox]
        console.print(
            f"A 12 MB file for a message of {mailbox}, a 200 KB file for an event:",
            soft_wrap=True,
            highlight=False,
        )
        dropped = [
            _drop(stack, "report.pdf", 12 * _MEGABYTE, f"{mailbox}/messages/{message}"),
            _drop(stack, "agenda.pdf", _MEGABYTE // 5, f"{mailbox}/events/{event}"),
        ]
        ends = follow(stack.info, dropped, console)
        equal = [_show(stack, each, end, console) for each, end in zip(dropped, ends, strict=True)]
    console.print(f"\nThe app's log is in {log_file.relative_to(APP_FOLDER)}.")
    return all(equal)


def _drop(stack: Stack, name: str, size: int, to: str) -> Dropped:
    return drop(stack.info, secrets.token_bytes(size), name, to, "application/pdf")


def _show(stack: Stack, dropped: Dropped, end: TransferStatus, console: Console) -> bool:
    blob = source_container(stack.info).get_blob_client(dropped.blob)
    console.print(f"\n[bold]{dropped.blob}[/bold]", soft_wrap=True, highlight=False)
    console.print("  metadata:")
    for key, value in sorted(blob.get_blob_properties().metadata.items()):
        console.print(f"    {key}: {value}", soft_wrap=True, highlight=False)
    if end.attachment_id is None:
        console.print(f"  [red]not attached: {end.error}[/red]")
        return False
    sent = hashlib.sha256(blob.download_blob().readall()).hexdigest()
    attached = hashlib.sha256(_raw_content(stack, end)).hexdigest()
    console.print(f"  SHA-256 of the blob:       {sent}", soft_wrap=True, highlight=False)
    console.print(f"  SHA-256 of the attachment: {attached}", soft_wrap=True, highlight=False)
    verdict = "[green]equal[/green]" if sent == attached else "[red]DIFFERENT[/red]"
    console.print(f"  The attachment's bytes are {verdict}.")
    return sent == attached


def _raw_content(stack: Stack, end: TransferStatus) -> bytes:
    """The attachment's content, downloaded from Graph (``$value``)."""
    token = requests.get(
        stack.outlook.identity_endpoint,
        params={"api-version": "2019-08-01", "resource": CLOUDS["global"].graph},
        headers={"X-IDENTITY-HEADER": stack.outlook.identity_header},
        timeout=10,
    ).json()["access_token"]
    item = OutlookItem(end.mailbox or "", end.item_type or "message", end.item_id or "")
    response = requests.get(
        f"{stack.info.graph_url}/v1.0{item.path}/attachments/{end.attachment_id}/$value",
        headers={"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId"'},
        timeout=60,
    )
    response.raise_for_status()
    return response.content
