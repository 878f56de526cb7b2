"""Locks of the running stack, and the folder in which its data last."""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from infra.local.errors import StackStateError, UsageError


@contextmanager
def locked(file: Path, taken: str) -> Iterator[None]:
    """Hold this file's lock, which ends with the process, however it ends.

    Raises :class:`StackStateError` with the sentence ``taken`` when another process holds it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackStateError(taken) from None
        yield


class Identity(BaseModel):
    """What stays the same from start to start, so that clients find the stack again."""

    function_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    graph_port: int = 0


class DataFolder:
    """The folders and files of each part of the stack.

    ``path`` is where they are; one stack at a time uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.azurite = path / "azurite"
        self.outlook = path / "outlook"
        self.journal = path / "orchestrations.sqlite"
        self._identity = path / "identity.json"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Create the folder, and keep other stacks from it.

        Raises :class:`StackStateError` when another stack uses it, :class:`OSError` when it cannot
        be written.
        """
        taken = f"Another stack uses the data in {self.path}. Choose another folder with --data."
        with locked(self.path / "in-use.lock", taken):
            self.azurite.mkdir(exist_ok=True)
            yield

    def read_identity(self) -> Identity:
        """The identity of the earlier stacks, or a new one.

        Raises :class:`UsageError` when the file is not of this version.
        """
        if not self._identity.exists():
            return Identity()
        try:
            return Identity.model_validate_json(self._identity.read_text())
        except ValidationError:
            raise UsageError(
                f"{self._identity} is not of this version. Delete {self.path}, or choose another "
                "folder with --data."
            ) from None

    def write_identity(self, identity: Identity) -> None:
        """Keep the identity, readable only by its owner because it contains a key."""
        self._identity.touch(mode=0o600)
        self._identity.write_text(identity.model_dump_json())
