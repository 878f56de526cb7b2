"""A file of the orchestrations under way: the engine itself is in memory, and ends with the host.

Histories are not kept. An orchestration that had not ended when the host stopped, or was killed, is
started again by the next host with the same id, input and external events.
"""

import sqlite3
from pathlib import Path
from typing import Self

from durabletask.internal import orchestrator_service_pb2 as pb

from infra.local.functions_host.errors import JournalError

_TABLES = """
    CREATE TABLE IF NOT EXISTS started (id TEXT PRIMARY KEY, request BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS raised (id TEXT NOT NULL, request BLOB NOT NULL);
"""
# What one process writes, the next one on this machine reads: a commit need not reach the disk.
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"


class Journal:
    """The requests that started the orchestrations under way, and the events for them.

    Its methods are called under the engine's lock.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    def open(cls, file: Path | None) -> Self:
        """The journal in this file; without one, a journal that ends with the process.

        Raises :class:`JournalError` when the file is no journal.
        """
        database = sqlite3.connect(file or ":memory:", autocommit=True, check_same_thread=False)
        try:
            database.executescript(_PRAGMAS + _TABLES)
        except sqlite3.DatabaseError as error:
            database.close()
            raise JournalError(f"{file} is no journal of this version: {error}") from error
        return cls(database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def started(self, request: pb.CreateInstanceRequest) -> None:
        """An orchestration was started."""
        values = (request.instanceId, request.SerializeToString())
        self._database.execute("INSERT OR REPLACE INTO started VALUES (?, ?)", values)

    def raised(self, request: pb.RaiseEventRequest) -> None:
        """An event was raised for an orchestration; kept if that is under way."""
        values = (request.instanceId, request.SerializeToString(), request.instanceId)
        self._database.execute(
            "INSERT INTO raised SELECT ?, ? WHERE EXISTS (SELECT 1 FROM started WHERE id = ?)",
            values,
        )

    def ended(self, instance_id: str) -> None:
        """An orchestration has ended."""
        for table in ("started", "raised"):
            self._database.execute(f"DELETE FROM {table} WHERE id = ?", (instance_id,))  # noqa: S608 (two fixed names)

    def under_way(self) -> list[pb.CreateInstanceRequest]:
        """What was started and has not ended, oldest first."""
        rows = self._database.execute("SELECT request FROM started ORDER BY rowid")
        return [pb.CreateInstanceRequest.FromString(request) for (request,) in rows]

    def events(self) -> list[pb.RaiseEventRequest]:
        """The events for them, oldest first."""
        rows = self._database.execute("SELECT request FROM raised ORDER BY rowid")
        return [pb.RaiseEventRequest.FromString(request) for (request,) in rows]
