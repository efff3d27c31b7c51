# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Keeps SQLite to reading the plain tables of a recording, in bounded time and memory.

A database is a program: a view may compute without an end, a generated column may call any
function, and a damaged tree may lead back into itself.
"""

import sqlite3
from pathlib import Path

from scenedino_ros.core.errors import BagError
from scenedino_ros.core.file_limits import MESSAGE_BYTES, MIB

_TABLES = ("topics", "messages", "message_definitions")
_PRAGMAS = ("table_info", "table_xinfo")
_FUNCTIONS = ("count", "min", "max", "typeof")
# Steps of SQLite's virtual machine: one row takes about 25, and has 15 bytes or more.
_STEPS_PER_BYTE, _STEPS_ALWAYS = 4, 10_000_000
_STEPS_PER_CALL = 10_000
# A rollback journal with this end names another journal, which SQLite deletes after a repair.
_SUPER_JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


class SqliteGuard:
    """Watches the queries of one database."""

    def __init__(self, database: sqlite3.Connection, path: Path, size: int) -> None:
        """Allow a database nothing but reading tables.

        Args:
            database: Opened; its schema may be hostile.
            path: Its file, for the message.
            size: Bytes of the file and its journals. No value can be larger.

        Raises:
            BagError: If what should be a table is a view or has computed columns.
            sqlite3.Error: If the schema cannot be read.
        """
        self._budget = (_STEPS_ALWAYS + _STEPS_PER_BYTE * size) // _STEPS_PER_CALL
        self._calls = 0
        if hasattr(database, "setlimit"):  # from Python 3.11 on
            limit = min(max(size, MIB), MESSAGE_BYTES)
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limit)
        database.set_progress_handler(self._step, _STEPS_PER_CALL)
        _require_tables(database, path)
        database.set_authorizer(_authorize)

    def begin(self) -> None:
        """Allow the next query its steps; one that takes more is interrupted."""
        self._calls = 0

    def _step(self) -> bool:
        self._calls += 1
        return self._calls > self._budget


def refuse_super_journal(journal: Path) -> None:
    """Refuse a journal that makes SQLite delete a file of its choice.

    Raises:
        BagError: If it is such a journal; recorders write none.
    """
    with journal.open("rb") as file:
        file.seek(max(journal.stat().st_size - len(_SUPER_JOURNAL), 0))
        if file.read() == _SUPER_JOURNAL:
            raise BagError(
                f"{journal} must be the journal of one file, but names the journal of several; "
                "remove it to read the recording without its last messages"
            )


def _require_tables(database: sqlite3.Connection, path: Path) -> None:
    for kind, name, sql in database.execute("SELECT type, name, sql FROM sqlite_master"):
        if str(name).lower() not in _TABLES:
            continue
        words = str(sql).split(None, 2)[:2]
        columns = database.execute(f"PRAGMA table_xinfo({str(name).lower()})").fetchall()
        if kind != "table" or [word.upper() for word in words] != ["CREATE", "TABLE"]:
            raise BagError(f"{path} cannot be read as a recording: {name} must be a plain table")
        if any(column[6] for column in columns):
            raise BagError(f"{path} cannot be read as a recording: {name} has computed columns")


def _authorize(
    action: int, first: str | None, second: str | None, _: str | None, source: str | None
) -> int:
    allowed = (
        action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
        or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
        or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
    )
    return sqlite3.SQLITE_OK if allowed and source is None else sqlite3.SQLITE_DENY
