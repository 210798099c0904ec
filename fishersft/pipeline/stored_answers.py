"""`KeptAnswers`: what language models answered, kept under the digest of what they were asked.

A mapping from text to anything JSON can hold, in one SQLite file (WAL), so that several processes may read and write at
once and a killed one loses nothing that it wrote.  Nothing is created on disk before something is written.  A file that
is not, or no longer, a database is set aside and logged; what it held is asked again.  Knows no model and no selector.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

from fishersft.errors import StoreError, os_reason
from fishersft.store.database import PATIENCE, Inode, damaged, inode, set_aside

log = logging.getLogger(__name__)
ANSWERS_FILE = "answers.sqlite"
T = TypeVar("T")


class KeptAnswers(MutableMapping[str, Any]):
    """Answers in the file `path`; threads may share one, processes open the same file.

    Reading never fails for the file's sake: what cannot be read is not there.  Writing raises `StoreError` in one sentence.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._guard = threading.RLock()
        self._open: sqlite3.Connection | None = None
        self._process = 0  # that opened it
        self._file: Inode | None = None  # that is open

    def __repr__(self) -> str:
        return f"KeptAnswers({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptAnswers, (self.path,)  # a copy in another process opens the file itself

    def __getitem__(self, key: str) -> Any:
        rows = self._read("SELECT value FROM answers WHERE key = ?", (key,))
        if not rows:
            raise KeyError(key)
        try:
            return json.loads(rows[0][0])
        except (ValueError, TypeError, RecursionError) as error:
            log.warning("the kept answer %s in %s cannot be read: %s", key, self.path, error)
            raise KeyError(key) from error

    def __contains__(self, key: object) -> bool:
        try:
            self[str(key)]
        except KeyError:
            return False
        return True

    def __setitem__(self, key: str, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False)
        self._write("INSERT OR REPLACE INTO answers (key, value) VALUES (?, ?)", (key, text))

    def __delitem__(self, key: str) -> None:
        if not self.path.exists() or not self._write("DELETE FROM answers WHERE key = ?", (key,)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([row[0] for row in self._read("SELECT key FROM answers ORDER BY rowid")])

    def __len__(self) -> int:
        rows = self._read("SELECT count(*) FROM answers")
        return int(rows[0][0]) if rows else 0

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._guard:
            if self._open is not None and self._process == os.getpid():
                self._open.close()
                self._open = None

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        if not self.path.exists():
            return []
        try:
            return self._run(lambda db: db.execute(statement, values).fetchall())
        except (sqlite3.Error, OSError) as error:
            log.warning("the kept answers in %s cannot be read: %s", self.path, error)
            return []

    def _write(self, statement: str, values: tuple[Any, ...]) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._run(lambda db: db.execute(statement, values).rowcount)
        except (sqlite3.Error, OSError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else str(error)
            raise StoreError(
                f"Answers cannot be kept in {str(self.path)[:200]} ({reason}); free some space or set FISHERSFT_HOME to another "
                "folder. What was kept before stays."
            ) from error

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` on the open file; one that turns out damaged is set aside, and `work` starts over on an empty one."""
        with self._guard:
            seen = inode(self.path)
            try:
                return work(self._connection())
            except sqlite3.DatabaseError as error:
                if not damaged(error):
                    raise
                self.close()
                set_aside(self.path, seen, "the kept answers", error)
                return work(self._connection())

    def _connection(self) -> sqlite3.Connection:
        if self._open is not None and self._process == os.getpid() and self._file == inode(self.path):
            return self._open
        self.close()  # the file was removed or replaced under us
        self._inherited = self._open  # after a fork: the parent's, which a child must neither use nor close
        self._open = _opened(self.path)
        self._process, self._file = os.getpid(), inode(self.path)
        return self._open


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut perhaps the last answers
        db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute("SELECT key, value FROM answers LIMIT 1").fetchall()
    except BaseException:
        db.close()
        raise
    return db
