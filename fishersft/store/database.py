"""`Database`: one SQLite file (WAL) that several processes read and write at once.

The file is opened anew for every piece of work, so no connection is shared between threads or has to survive a fork.  Nothing
is created on disk before the first write.  A damaged file, one that is no database, or one with views or triggers, which could
run for ever, is set aside and logged.  Knows no tables: the caller provides the schema.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from fishersft.errors import StoreError, os_reason

log = logging.getLogger(__name__)
waits = logging.getLogger("fishersft.waits")  # the command line shows what it says
PATIENCE = 60.0  # seconds to wait while another process writes
SILENT = 2.0  # of these, before the wait is told of
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
T = TypeVar("T")


@dataclass(frozen=True)
class Database:
    """The file `path`, whose tables are created by `schema` (statements separated by `;`).

    `version` is the schema's number: a file with a later one is refused.  `holds` names the content in messages ("The jobs").
    """

    path: Path
    schema: str
    version: int
    holds: str

    def read(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Run `work` on the file; returns `otherwise` if there is no file or it cannot be read (logged).

        StoreError where another process has locked it for too long: what it holds is not nothing.
        """
        if not self.path.exists():
            return otherwise
        try:
            return self._run(work)
        except (sqlite3.Error, OSError) as error:
            if _is_busy(error):
                raise StoreError(
                    f"{self.holds} in {str(self.path)[:200]} cannot be read: another process has locked them for more than "
                    f"{PATIENCE:.0f} s; try again when it has ended. Nothing is lost."
                ) from error
            log.warning("%s in %s cannot be read: %s", self.holds, self.path, error)
            return otherwise

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one exclusive write transaction, all or nothing; StoreError if the file cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._run(lambda db: _in_transaction(db, work))
        except (sqlite3.Error, OSError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else str(error)
            advice = "free some space or set FISHERSFT_HOME to another folder"
            if _is_busy(error):
                reason, advice = f"another process has locked them for more than {PATIENCE:.0f} s", "try again when it has ended"
            raise StoreError(
                f"{self.holds} cannot be saved in {str(self.path)[:200]} ({reason}); {advice}. What was saved before is intact."
            ) from error

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the open file; if the file turns out to be damaged, set it aside and run `work` again on an empty one."""
        seen = _inode(self.path)
        try:
            return self._patiently(work)
        except sqlite3.DatabaseError as error:
            # a lock, a full disk and a missing permission are subclasses; they are no fault of the file
            outdated = "no such column" in str(error) or "no such table" in str(error)
            if type(error) is not sqlite3.DatabaseError and not outdated:
                raise
            self._set_aside(seen, error)
            with self._opened() as db:
                return work(db)

    def _patiently(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the open file, and again as long as another process holds it, which is told of after a moment."""
        until, told = time.monotonic() + PATIENCE, False
        while True:
            try:
                with self._opened() as db:
                    return work(db)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > until:
                    raise
            if not told:
                waits.warning("Waiting for another process, which has locked %s.", self.path)
            told = True

    def _set_aside(self, seen: tuple[int, int] | None, error: Exception) -> None:
        """Rename the damaged file that was `seen` and log it; does nothing if another process has replaced it already."""
        with FileLock(f"{self.path}.lock"):
            if _inode(self.path) != seen:
                return
            number = 1
            while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
                number += 1
            self.path.rename(aside)
            for tail in ("-wal", "-shm"):  # they belong to the damaged file and would damage the new one
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + tail).rename(aside.with_name(aside.name + tail))
        log.warning("%s in %s cannot be read (%s); they are set aside as %s", self.holds, self.path, error, aside.name)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=min(SILENT, PATIENCE), isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.text_factory = lambda text: str(text, "utf-8", "replace")
            db.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut may lose the last write
            if db.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchone():
                raise sqlite3.DatabaseError("it has a view or a trigger, which fishersft never makes")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found < self.version:
                with FileLock(f"{self.path}.lock"):  # two processes that change the journal mode at once would fail
                    db.execute("PRAGMA journal_mode = WAL")
                    statements = (*self.schema.split(";"), f"PRAGMA user_version = {int(self.version)}")
                    _in_transaction(db, lambda db: [db.execute(statement) for statement in statements])
            elif found > self.version:
                raise StoreError(f"{self.path} was written by a later version of fishersft; update this one to use it.")
            yield db


def _inode(path: Path) -> tuple[int, int] | None:
    """Identifies the file even after it is renamed; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in BUSY


def _in_transaction(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    db.execute("BEGIN IMMEDIATE")
    try:
        made = work(db)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    return made
