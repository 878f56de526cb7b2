"""The commands ``python -m infra.local start | drop | demo``: arguments, output, exit status."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlencode

import grpc
from azure.core.exceptions import AzureError
from rich.console import Console

from infra.local.demo import run_demo
from infra.local.drop import drop_file, follow
from infra.local.errors import LocalError, StackStateError, UsageError
from infra.local.stack import DATA_FOLDER, STACK_FILE, Stack, StackInfo

DEFAULT_PORT = 7071

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOT_DONE = 1
_INTERRUPTED = 130
_MAX_PORT = 65_535


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See: {self.prog} --help")


def main() -> int:
    """Run the command of this process, and return its exit status."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for number in _ENDING:
        signal.signal(number, _interrupt)
    return run_command(sys.argv[1:])


def run_command(texts: Sequence[str]) -> int:
    """Run one command, and return its exit status."""
    console = Console()
    command = ""
    try:
        arguments = _arguments(texts)
        command = arguments.command
        return _run(arguments, console)
    except LocalError as error:
        print(_one_line(str(error)), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        # `start` usually ends like this; for the other commands it is an interruption.
        return 0 if command == "start" else _INTERRUPTED


def _run(arguments: argparse.Namespace, console: Console) -> int:
    try:
        match arguments.command:
            case "start":
                return _start(arguments, console)
            case "drop":
                return _drop(arguments, console)
            case _:
                return 0 if run_demo(console) else _NOT_DONE
    except OSError as error:
        # Files and folders of the user; errors of connections name no file.
        if error.filename is None:
            raise
        raise UsageError(
            f"{error.filename} cannot be used: {error.strerror}. "
            "Correct its path or its permissions."
        ) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin to clean up after Ctrl-C, a closed terminal or a service manager's signal, once."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _arguments(texts: Sequence[str]) -> argparse.Namespace:
    description = "Runs the app on this machine."
    parser = _Parser(prog="python -m infra.local", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="run the stack until Ctrl-C")
    start.add_argument("--graph-url", help="the root of another Graph than the emulator")
    start.add_argument(
        "--data",
        type=Path,
        default=DATA_FOLDER,
        metavar="FOLDER",
        help="keeps blobs, mailboxes and what is under way (default: .local/data)",
    )
    start.add_argument("--port", type=_port, default=DEFAULT_PORT, help="of the Functions host")
    drop = commands.add_parser("drop", help="upload a file and follow its transfer")
    drop.add_argument("file", type=Path)
    drop.add_argument("--to", required=True, metavar="MAILBOX/messages/ID", help="or …/events/ID")
    for command in (start, drop):
        command.add_argument(
            "--stack-file",
            type=Path,
            default=STACK_FILE,
            metavar="FILE",
            help="describes the running stack (default: .local/stack.json)",
        )
    commands.add_parser("demo", help="run the main job and compare the bytes")
    return parser.parse_args(texts)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(
            f"a port is a number from 0 (any free port) to {_MAX_PORT}, not {text!r}"
        )
    return int(text)


def _start(arguments: argparse.Namespace, console: Console) -> int:
    stack = Stack(
        graph_url=arguments.graph_url,
        port=arguments.port,
        info_file=arguments.stack_file,
        data=arguments.data.absolute(),
    )
    with stack:
        console.print(f"Functions host  {stack.info.functions_url}", highlight=False)
        console.print(f"Page            {_page_url(stack)}", soft_wrap=True, highlight=False)
        console.print("                needs the functionKey of .local/stack.json")
        console.print(f"Graph           {stack.info.graph_url}", highlight=False)
        console.print(f"Data            {arguments.data}", soft_wrap=True, highlight=False)
        _list(console, "Was under way when the last stack ended, starts again", stack.started_again)
        if stack.items:
            console.print("Drop a file for one of these items, in another terminal:")
        for mailbox, (message, event) in stack.items.items():
            for item in (f"messages/{message}", f"events/{event}"):
                command = f"  .venv/bin/python -m infra.local drop FILE --to {mailbox}/{item}"
                console.print(command, soft_wrap=True, highlight=False)
        print("ready", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            _list(console, "Under way, starts again with the next start", stack.under_way())
            raise
    return 0


def _list(console: Console, title: str, descriptions: list[str]) -> None:
    if descriptions:
        console.print(f"{title}:", soft_wrap=True, highlight=False)
    for each in descriptions:
        console.print(f"  {each}", soft_wrap=True, highlight=False, markup=False)


def _page_url(stack: Stack) -> str:
    """The page that monitors transfers, with an item filled in."""
    url = f"{stack.info.functions_url}/api/monitor"
    if not stack.items:
        return url
    mailbox, (message, _) = next(iter(stack.items.items()))
    return f"{url}#{urlencode({'mailbox': mailbox, 'message': message})}"


def _drop(arguments: argparse.Namespace, console: Console) -> int:
    info = StackInfo.read(arguments.stack_file)
    info.check_alive()
    try:
        dropped = drop_file(info, arguments.file, arguments.to)
        (end,) = follow(info, [dropped], console)
    except (grpc.RpcError, AzureError) as error:
        raise StackStateError("The local stack stopped before the transfer ended.") from error
    if end.state == "attached":
        console.print(f"attached: {end.attachment_id}", soft_wrap=True, highlight=False)
        return 0
    reason = f": {end.error.code}: {end.error.message}" if end.error else ""
    print(f"{end.state}{reason}", file=sys.stderr)
    return _NOT_DONE
