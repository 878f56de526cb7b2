"""Mailboxes, items and attachments in a folder, so that they outlast the emulator.

``mailboxes.json`` has all but the content of the attachments, which is in ``contents``, by digest.
Upload sessions and tokens are not kept: for clients they have expired.
"""

import mmap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from infra.local.outlook.state.mailboxes import Attachment, Mailbox, Mailboxes

_MAILBOXES = TypeAdapter(list[Mailbox])


class UnreadableFolder(Exception):
    """Raised when the folder holds something else than this emulator writes."""


class StateFolder:
    """Reads and writes the folder, each file completely or not at all."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "mailboxes.json"
        self._contents = folder / "contents"
        self._written = b""
        self._contents.mkdir(parents=True, exist_ok=True)

    def load(self) -> Mailboxes:
        """The mailboxes of the folder; none when it is new.

        Raises :class:`UnreadableFolder`.
        """
        mailboxes = Mailboxes()
        if not self._file.exists():
            return mailboxes
        try:
            for mailbox in _MAILBOXES.validate_json(self._file.read_bytes()):
                for item in mailbox.items.values():
                    item.attachments = [self._with_content(each) for each in item.attachments]
                mailboxes.keep(mailbox)
        except (ValidationError, FileNotFoundError) as error:
            raise UnreadableFolder(
                f"{self._file} is not of this version, or its contents are missing. "
                "Delete the folder, or choose another."
            ) from error
        return mailboxes

    def save(self, mailboxes: Mailboxes) -> None:
        """Write what has changed."""
        text = _MAILBOXES.dump_json(list(mailboxes.all()), indent=1)
        if text == self._written:
            return
        attachments = list(_attachments(mailboxes))
        for each in attachments:
            if not (self._contents / each.sha256).exists():
                self._write(self._contents / each.sha256, each.chunks)
        self._write(self._file, (text,))
        self._written = text
        for name in {file.name for file in self._contents.iterdir()} - {
            each.sha256 for each in attachments
        }:
            (self._contents / name).unlink()

    def _write(self, file: Path, chunks: Iterable[bytes | mmap.mmap]) -> None:
        unfinished = file.with_name(f"{file.name}.unfinished")
        with unfinished.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        unfinished.replace(file)

    def _with_content(self, attachment: Attachment) -> Attachment:
        """The attachment with its content mapped into memory, not read."""
        with (self._contents / attachment.sha256).open("rb") as stream:
            if not stream.seek(0, 2):
                return attachment  # a file without bytes cannot be mapped
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return replace(attachment, chunks=(mapped,))


def _attachments(mailboxes: Mailboxes) -> Iterable[Attachment]:
    for mailbox in mailboxes.all():
        for item in mailbox.items.values():
            yield from item.attachments
