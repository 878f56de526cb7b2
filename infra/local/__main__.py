"""Runs the app on this machine: ``python -m infra.local start | drop | demo``."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from urllib.parse import urlencode

import grpc
from azure.core.exceptions import AzureError
from rich.console import Console

from infra.local.demo import run_demo
from infra.local.drop import drop_file, follow
from infra.local.errors import LocalError
from infra.local.functions_host.durable.adversities import Adversities
from infra.local.stack import STACK_FILE, Stack, StackInfo

DEFAULT_PORT = 7071


def main() -> int:
    """Run one command, and return its exit status."""
    arguments = _arguments()
    console = Console()
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        match arguments.command:
            case "start":
                return _start(arguments, console)
            case "drop":
                return _drop(arguments, console)
            case _:
                return 0 if run_demo(console) else 1
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # `start` usually ends like this; for the other commands it is an interruption.
        return 0 if arguments.command == "start" else 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin to clean up after Ctrl-C or a service manager's signal, and ignore further signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="run the stack until Ctrl-C")
    start.add_argument("--graph-url", help="the root of another Graph than the emulator")
    start.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the Functions host")
    start.add_argument(
        "--engine",
        default="kind",
        metavar="kind|unkind[:SEED]",
        help="unkind: activities are repeated, checkpoints are lost, timers are late",
    )
    drop = commands.add_parser("drop", help="upload a file and follow its transfer")
    drop.add_argument("file", type=Path)
    drop.add_argument("--to", required=True, metavar="MAILBOX/messages/ID", help="or …/events/ID")
    commands.add_parser("demo", help="run the main job and compare the bytes")
    return parser.parse_args()


def _start(arguments: argparse.Namespace, console: Console) -> int:
    adversities = _adversities(arguments.engine)
    stack = Stack(
        graph_url=arguments.graph_url,
        port=arguments.port,
        info_file=STACK_FILE,
        adversities=adversities,
    )
    with stack:
        console.print(f"Functions host  {stack.info.functions_url}", highlight=False)
        console.print(f"Page            {_page_url(stack)}", soft_wrap=True, highlight=False)
        console.print("                needs the functionKey of .local/stack.json")
        if adversities:
            console.print(f"Engine          unkind:{adversities.seed}", highlight=False)
        console.print(f"Graph           {stack.info.graph_url}", highlight=False)
        if stack.items:
            console.print("Drop a file for one of these items, in another terminal:")
        for mailbox, (message, event) in stack.items.items():
            for item in (f"messages/{message}", f"events/{event}"):
                command = f"  .venv/bin/python -m infra.local drop FILE --to {mailbox}/{item}"
                console.print(command, soft_wrap=True, highlight=False)
        print("ready", flush=True)
        threading.Event().wait()
    return 0


def _adversities(engine: str) -> Adversities | None:
    """What the engine does to the app.

    Raises :class:`LocalError` when there is no such engine.
    """
    try:
        return Adversities.parse(engine)
    except ValueError:
        raise LocalError(
            f"There is no engine {engine!r}. Use kind, unkind or, for instance, unkind:7."
        ) from None


def _page_url(stack: Stack) -> str:
    """The page that monitors transfers, with an item filled in."""
    url = f"{stack.info.functions_url}/api/monitor"
    if not stack.items:
        return url
    mailbox, (message, _) = next(iter(stack.items.items()))
    return f"{url}#{urlencode({'mailbox': mailbox, 'message': message})}"


def _drop(arguments: argparse.Namespace, console: Console) -> int:
    info = StackInfo.read(STACK_FILE)
    info.check_alive()
    try:
        dropped = drop_file(info, arguments.file, arguments.to)
        (end,) = follow(info, [dropped], console)
    except (grpc.RpcError, AzureError) as error:
        raise LocalError("The local stack stopped before the transfer ended.") from error
    if end.state == "attached":
        console.print(f"attached: {end.attachment_id}", soft_wrap=True, highlight=False)
        return 0
    reason = f": {end.error.code}: {end.error.message}" if end.error else ""
    print(f"{end.state}{reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
