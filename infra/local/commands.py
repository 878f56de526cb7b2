"""The commands of ``python -m infra.local``: their arguments, output and exit status."""

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote, urlencode

import grpc
from azure.core.exceptions import AzureError
from rich.console import Console

from infra.local.demo import run_demo
from infra.local.drop import Outcome, drop_files, follow
from infra.local.errors import LocalError, StackStateError, UsageError
from infra.local.events import EVENTS, SCHEMAS, example_event, send_event
from infra.local.functions_host.durable.adversities import Adversities
from infra.local.heartbeat import heartbeat
from infra.local.selection import chosen_files, chosen_metadata
from infra.local.stack import DATA_FOLDER, STACK_FILE, Stack
from infra.local.stack_info import StackInfo
from shared.errors import StorageUnavailable

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
                return _drop(arguments)
            case "event":
                return _event(arguments, console)
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
    start.add_argument(
        "--engine",
        type=_engine,
        metavar="kind|unkind[:SEED]",
        help="unkind: activities are repeated, checkpoints are lost, timers are late",
    )
    drop = commands.add_parser("drop", help="upload files and follow their transfers")
    drop.add_argument(
        "files", nargs="+", metavar="FILE", help="files, folders, or patterns such as '**/*.pdf'"
    )
    drop.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="metadata of the blobs; may be repeated, and may name the item in place of --to",
    )
    drop.add_argument(
        "--content-id", metavar="ID", help="makes the file an inline picture, <img src='cid:ID'>"
    )
    drop.add_argument(
        "--json", action="store_true", help="print a line of JSON per file; bars go to stderr"
    )
    event = commands.add_parser("event", help="send example events to the webhook")
    event.add_argument(
        "names", nargs="*", metavar="EVENT", help=f"{' or '.join(EVENTS)}; all without one"
    )
    event.add_argument("--schema", choices=SCHEMAS, help="one of the two; both without it")
    for command in (drop, event):
        command.add_argument("--to", metavar="MAILBOX/messages/ID", help="or …/events/ID")
    for command in (start, drop, event):
        command.add_argument(
            "--stack-file",
            type=Path,
            default=STACK_FILE,
            metavar="FILE",
            help="describes the running stack (default: .local/stack.json)",
        )
    commands.add_parser("demo", help="run the main job and compare the bytes")
    arguments = parser.parse_args(texts)
    for name in getattr(arguments, "names", []):
        if name not in EVENTS:
            event.error(f"there is no example of {name!r}; there are {' and '.join(EVENTS)}")
    return arguments


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(
            f"a port is a number from 0 (any free port) to {_MAX_PORT}, not {text!r}"
        )
    return int(text)


def _engine(text: str) -> Adversities | None:
    try:
        return Adversities.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"there is no engine {text!r}; use kind, unkind or, for instance, unkind:7"
        ) from None


def _start(arguments: argparse.Namespace, console: Console) -> int:
    stack = Stack(
        graph_url=arguments.graph_url,
        port=arguments.port,
        info_file=arguments.stack_file,
        data=arguments.data.absolute(),
        adversities=arguments.engine,
    )
    with ExitStack() as running:
        with heartbeat("Starting the stack"):
            running.enter_context(stack)
        console.print(f"Functions host  {stack.info.functions_url}", highlight=False)
        console.print(f"Page            {_page_url(stack)}", soft_wrap=True, highlight=False)
        console.print("                needs the functionKey of .local/stack.json")
        if arguments.engine:
            console.print(f"Engine          unkind:{arguments.engine.seed}", highlight=False)
        console.print(f"Graph           {stack.info.graph_url}", highlight=False)
        console.print(f"Data            {arguments.data}", soft_wrap=True, highlight=False)
        _list(console, "Was under way when the last stack ended, starts again", stack.started_again)
        if stack.items:
            console.print("Drop a file for one of these items, in another terminal:")
        for item in stack.info.items:
            command = f"  .venv/bin/python -m infra.local drop FILE --to {item}"
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


def _drop(arguments: argparse.Namespace) -> int:
    files = chosen_files(arguments.files)
    metadata = chosen_metadata(arguments.metadata)
    if arguments.content_id:
        if len(files) > 1:
            raise UsageError("A content id is for one file. Drop the others by another command.")
        metadata["contentid"] = quote(arguments.content_id)
    info = _running_stack(arguments)
    # With --json the standard output is for programs.
    console = Console(stderr=arguments.json)
    with _until_the_stack_stops():
        outcomes = drop_files(info, files, arguments.to, metadata, console)
    for outcome in outcomes:
        if arguments.json:
            print(json.dumps(outcome.to_json()))
        else:
            _print_outcome(outcome)
    return 0 if all(each.state == "attached" for each in outcomes) else _NOT_DONE


def _print_outcome(outcome: Outcome) -> None:
    if outcome.end and outcome.state == "attached":
        print(f"{outcome.file.path}: attached: {outcome.end.attachment_id}")
        return
    reason = f": {outcome.error.code}: {outcome.error.message}" if outcome.error else ""
    print(f"{outcome.file.path}: {outcome.state}{reason}", file=sys.stderr)


def _event(arguments: argparse.Namespace, console: Console) -> int:
    info = _running_stack(arguments)
    to = arguments.to or next(iter(info.items), None)
    if to is None:
        raise UsageError("This stack has no items of its own. Name one: --to MAILBOX/messages/ID")
    succeeded = True
    with _until_the_stack_stops():
        for name in arguments.names or EVENTS:
            for schema in (arguments.schema,) if arguments.schema else SCHEMAS:
                example = example_event(info, name, schema, to)
                console.print(f"{name}, {schema} schema:", highlight=False)
                console.print_json(json.dumps(example.body))
                status = send_event(info, example)
                (end,) = follow(info, [example.transfer], console) if status == 202 else (None,)
                state = end.state if end else "nothing is started"
                console.print(f"{status}, {state}\n", highlight=False)
                succeeded = succeeded and state == "attached"
    return 0 if succeeded else _NOT_DONE


def _running_stack(arguments: argparse.Namespace) -> StackInfo:
    info = StackInfo.read(arguments.stack_file)
    info.check_alive()
    return info


@contextmanager
def _until_the_stack_stops() -> Iterator[None]:
    try:
        yield
    except (grpc.RpcError, AzureError, StorageUnavailable) as error:
        raise StackStateError("The local stack stopped before the transfer ended.") from error
