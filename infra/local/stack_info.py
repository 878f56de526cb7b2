"""How other programs find a running local stack."""

from pathlib import Path
from typing import Self

import requests
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from infra.local.errors import StackStateError

_NOT_RUNNING = "The local stack is not running. Start it first: make start"


class StackInfo(BaseModel):
    """How other programs can use a running stack: ``.local/stack.json``."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    functions_url: str
    function_key: str
    blob_connection_string: str
    container: str
    graph_url: str
    items: tuple[str, ...]
    pid: int
    worker_pid: int
    durable_address: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """The info in a file.

        Raises :class:`StackStateError` when it does not exist or describes no stack.
        """
        try:
            return cls.model_validate_json(file.read_text())
        except FileNotFoundError:
            raise StackStateError(_NOT_RUNNING) from None
        except ValidationError:
            raise StackStateError(
                f"{file} describes no stack of this version. Stop that stack, if one runs, "
                "and start it again: make start"
            ) from None

    def write(self, file: Path) -> None:
        """Write the file, readable only by its owner because it contains keys."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(self.model_dump_json(by_alias=True, indent=2))

    def check_alive(self) -> None:
        """Raise :class:`StackStateError` when the stack has ended without removing its file."""
        try:
            requests.get(self.functions_url, timeout=5)
        except requests.RequestException:
            raise StackStateError(_NOT_RUNNING) from None

    @classmethod
    def runs_already(cls, file: Path) -> str:
        """Why no other stack can be started: the sentence for its user."""
        try:
            info = cls.read(file)
        except StackStateError:
            return "A local stack is starting or stopping already. Try again in a few seconds."
        return (
            f"A local stack runs already, at {info.functions_url} (process {info.pid}). Use that "
            "one, or stop it with Ctrl-C."
        )
