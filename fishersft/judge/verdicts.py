"""What judges and people said of a run, as it is stored: one SQLite file in the store, and verdicts.jsonl in a run's folder.

    readings   key -> the judgment of one order; the key is a digest of the judge and the texts, so that equal pairs of two
               runs are asked once and a text that was generated anew is asked again
    judges     which judges looked at which run
    votes      of people; a vote that is cast is locked

verdicts.jsonl is an export, with which a shipped run shows its verdicts where there is no store.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from typing import Any, TypedDict

from fishersft.errors import JudgeError, StoreError
from fishersft.finetuning.run import FineTuneRun
from fishersft.judge.base import Judgment
from fishersft.judge.questions import reread
from fishersft.paths import read_whole
from fishersft.store.artifacts import Store
from fishersft.store.checked import checked
from fishersft.store.database import Database

log = logging.getLogger(__name__)
FILE, EXPORT = "verdicts.sqlite", "verdicts.jsonl"
SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (key TEXT PRIMARY KEY, judge TEXT NOT NULL, value TEXT NOT NULL, made REAL NOT NULL);
CREATE INDEX IF NOT EXISTS readings_of ON readings (judge);
CREATE TABLE IF NOT EXISTS judges (run TEXT, judge TEXT, about TEXT NOT NULL, made REAL NOT NULL, PRIMARY KEY (run, judge));
CREATE TABLE IF NOT EXISTS votes (run TEXT, voter TEXT, ballot TEXT, value TEXT NOT NULL, made REAL NOT NULL,
                                  PRIMARY KEY (run, voter, ballot))
"""


def database(store: Store | None = None) -> Database:
    return Database((store or Store.default()).path / FILE, SCHEMA, 1, "The verdicts")


@contextlib.contextmanager
def held_open(store: Store | None = None) -> Iterator[None]:
    """While the file is held open, a write does not fold SQLite's log into it, which takes twenty times as long as the write."""
    with contextlib.closing(sqlite3.connect(database(store).path)) as held:
        with contextlib.suppress(sqlite3.Error):  # the writes themselves say what is wrong
            held.execute("SELECT COUNT(*) FROM judges").fetchone()
        yield


class StoredJudgments(dict[str, Any]):
    """A judge's judgments by key: those of the store and of the run's own export, read once; new ones are stored at once."""

    def __init__(self, run: FineTuneRun, judge: str, store: Store | None = None) -> None:
        self._judge, self._database = judge, database(store)
        found = {line["key"]: line["value"] for line in exported(run, "reading") if line.get("judge") == judge}
        for row in _rows("SELECT key, value FROM readings WHERE judge = ?", judge, store):
            if (value := _json(row["value"])) is not None:
                found[row["key"]] = value
        for key, value in found.items():
            if (judgment := Judgment.of(value)) is not None:
                found[key] = reread(judgment).as_dict()
        super().__init__(found)

    def __setitem__(self, key: str, value: Any) -> None:
        row = (key, self._judge, json.dumps(value, ensure_ascii=True, allow_nan=False), time.time())
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?)", row))
        super().__setitem__(key, value)


def note_judge(run: FineTuneRun, about: dict[str, Any], store: Store | None = None) -> None:
    """Store that a judge looks at a run."""
    row = (run.id, about["id"], json.dumps(about, ensure_ascii=True), time.time())
    database(store).write(lambda db: db.execute("INSERT OR REPLACE INTO judges VALUES (?, ?, ?, ?)", row))


def judges_of(run: FineTuneRun, store: Store | None = None) -> list[dict[str, Any]]:
    """The judges that looked at a run (`Judge.about`), the latest first."""
    rows = _rows("SELECT about FROM judges WHERE run = ? ORDER BY made DESC", run.id, store)
    told = [*(_json(row["about"]) for row in rows), *(line["value"] for line in exported(run, "judge"))]
    found: dict[str, dict[str, Any]] = {}
    for about in told:
        if isinstance(about, dict) and {"id", "name", "label", "symmetric", "reads_words"} <= about.keys():
            found.setdefault(str(about["id"]), about)
    return list(found.values())


def keep_vote(run: str, voter: str, ballot: str, value: dict[str, Any]) -> None:
    """Store a vote for good; JudgeError if this voter has already voted on this ballot."""
    row = (run, voter, ballot, json.dumps(value, ensure_ascii=True), time.time())
    statement = "INSERT OR IGNORE INTO votes VALUES (?, ?, ?, ?, ?)"
    if not database().write(lambda db: db.execute(statement, row).rowcount):
        raise JudgeError("You have voted on this pair already, and a vote is locked once it is cast; go on to the next pair.")


def kept_votes(run: FineTuneRun, store: Store | None = None) -> list[dict[str, Any]]:
    """All votes on a run in the order they came, each with `voter` and `ballot`; those of the export first."""
    rows = _rows("SELECT voter, ballot, value FROM votes WHERE run = ? ORDER BY made, rowid", run.id, store)
    values = ((row["voter"], row["ballot"], _json(row["value"])) for row in rows)
    kept = [{"voter": voter, "ballot": ballot, **value} for voter, ballot, value in values if isinstance(value, dict)]
    told = [line["value"] for line in exported(run, "vote") if isinstance(line["value"], dict)] + kept
    return list({(str(v.get("voter")), str(v.get("ballot"))): v for v in told}.values())


class ExportLine(TypedDict):
    kind: str
    value: Any


def exported(run: FineTuneRun, kind: str) -> list[dict[str, Any]]:
    """Lines of a kind in the run's verdicts.jsonl; none where there is no such file; broken lines are skipped and logged."""
    path = run.folder / EXPORT
    try:
        text = read_whole(path).decode("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read: %s", path, error)
        return []
    lines = [line for line in text.splitlines() if line.strip()]
    sound = []
    for line in lines:
        with contextlib.suppress(StoreError):
            sound.append(checked(line, ExportLine, "A line is damaged", "leave it out"))
    if len(sound) < len(lines):
        log.warning("%s has %d lines that cannot be read", path, len(lines) - len(sound))
    found = [line for line in sound if line["kind"] == kind]
    return [line for line in found if kind != "reading" or (isinstance(line.get("key"), str) and Judgment.of(line["value"]))]


def _rows(statement: str, value: str, store: Store | None) -> list[sqlite3.Row]:
    return database(store).read(lambda db: db.execute(statement, (value,)).fetchall(), [])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
