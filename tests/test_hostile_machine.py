"""A machine that is against us: its disk is full, its database locked, its clock is set, its store is of another age.

Nothing is lost, what is refused is refused in one sentence, and the same command goes on.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tokenizers
import torch
from safetensors.torch import save_file

from fishersft import load_corpus
from fishersft.errors import StoreError, write_refusal
from fishersft.finetuning.run import read_run
from fishersft.judge import verdicts
from fishersft.judge.verdicts import judges_of
from fishersft.paths import write_whole, writing
from fishersft.store import database, jobs
from fishersft.store.database import Database

from .attack import disk
from .conftest import ROOT, command_line
from .judged_run import make_run
from .test_cli import run as fishersft_command
from .test_pages import open_page
from .tiny_model import make_corpus, make_model

FIRST_EDITION = ROOT / "tests" / "data" / "first_edition.tar.gz"  # made by the version of 25 November 2026, whose schema was 1
KEPT = {"mine": "curves", "fc0c6eaa4692": "finetuned", "457b2687eb67": "job", "a9bedff92728": "selection"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not disk.mounted(folder, 16):
        pytest.skip("a full disk needs the right to mount a small file system")
    yield folder
    disk.unmount(folder)


NUMBERS = torch.zeros(100_000)
VOCABULARY = tokenizers.models.WordLevel({str(k): k for k in range(20_000)}, unk_token="0")
WRITERS = {
    "safetensors": lambda path: save_file({"a": NUMBERS}, path),
    "torch": lambda path: torch.save({"a": NUMBERS}, path),
    "numpy": lambda path: np.save(path.with_suffix(".npy"), NUMBERS.numpy()),
    "numpy, several": lambda path: np.savez(path, a=NUMBERS.numpy()),
    "tokenizers": lambda path: tokenizers.Tokenizer(VOCABULARY).save(str(path)),
    "ourselves": lambda path: write_whole(path, b"0" * 400_000),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes_to_a_full_disk_is_told_of_in_one_sentence(small_disk, writer):
    with disk.left(small_disk, 20_000), pytest.raises(StoreError) as refused, writing(small_disk / "it"):
        WRITERS[writer](small_disk / "it")
    assert str(refused.value) in {
        f"{small_disk / 'it'} cannot be written ({reason}); name another place with --out."
        for reason in ("no space left on device", "only a part could be written")
    }


def test_an_error_that_is_no_refusal_stays_what_it_is():
    assert write_refusal(ValueError("no space left")) is None
    with pytest.raises(RuntimeError, match="a bug"), writing("it"):
        raise RuntimeError("a bug")


COMMANDS = {
    "select": ["--budget", 12, "--out", "{out}/picks.parquet"],
    "finetune": [
        *("--budgets", 6, "--epochs", 1, "--prompts", 2, "--learning-rate", 0.01, "--selectors", "token_od"),
        *("--keep-models", "--checkpoint-every", 0, "--out", "{out}/run"),
    ],
}  # fmt: skip


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_with_ever_more_room_is_refused_in_a_sentence_until_it_ends_as_with_room_enough(small_disk, tmp_path, command):
    corpus, model = make_corpus(tmp_path / "c.jsonl", 40), make_model(tmp_path / "model")

    def run(out):
        words = [str(word).format(out=out) for word in COMMANDS[command]]
        return command_line(command, corpus, "--model", model, *words, "--json", FISHERSFT_HOME=str(out / "home"))

    (tmp_path / "calm").mkdir()
    calm, refused = run(tmp_path / "calm"), 0
    assert calm.returncode == 0, calm.stderr
    for step in range(40):
        with disk.left(small_disk, int(4_096 * math.sqrt(2) ** step)):  # up to what is needed, whatever was kept so far
            done = run(small_disk)
        if done.returncode == 0:
            break
        said = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("fishersft: ")][-1]
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "no space left on device" in said or "only a part could be written" in said or "disk is full" in said
        refused += 1
    assert refused > 2
    assert done.returncode == 0
    assert steady(json.loads(done.stdout)) == steady(json.loads(calm.stdout))


def steady(found):
    """An answer without times and places."""
    if command := found.get("lines"):
        return [(line["selector"], line["tokens"], line["values"]["mean"]["value"]) for line in command]
    return {name: value for name, value in found.items() if name in ("log_det", "tokens", "picks")}


def test_a_store_of_the_first_edition_opens(home, tmp_path):
    with tarfile.open(FIRST_EDITION) as packed:
        packed.extractall(home, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # not in every 3.11
    listed = json.loads(command_line("runs", "list", "--json").stdout)
    assert {run["id"]: run["kind"] for run in listed["runs"] if not run["shipped"]} == KEPT
    assert not [run for run in listed["runs"] if run["problem"]] and listed["set_aside"] == []
    assert "9 were written by an earlier version, without checksums" in command_line("runs", "check").stdout
    for id, kind in KEPT.items():
        assert command_line("runs", "show", id).returncode == 0
        if kind != "job":
            done = command_line("export", id, "--format", "report", "--out", tmp_path / f"{id}.html")
            assert done.returncode == 0, done.stderr
    assert "done on cpu" in command_line("runs", "show", "457b").stdout
    picks = tmp_path / "picks.jsonl"
    assert command_line("export", "a9be", "--format", "jsonl", "--out", picks).returncode == 0
    assert [json.loads(line)["rank"] for line in picks.read_text().splitlines()] == [1, 2, 3, 4, 5]
    assert [judge["name"] for judge in judges_of(read_run(home / "runs" / "fc0c6eaa4692"))] == ["reference"]
    (upload,) = (home / "uploads").glob("*.jsonl")
    assert load_corpus(upload, holdout=0).texts == ["an upload", "b is"]


HOLD = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[3] == "alone":
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN EXCLUSIVE")
db.execute("CREATE TABLE held (x)")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
db.execute("ROLLBACK")
"""


@contextlib.contextmanager
def held(path, seconds, how=""):
    """While this is open, another process has locked a database, for at most so many seconds."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path, str(seconds), how], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.kill()


@pytest.fixture
def rows(home):
    """A database with a row."""
    there = Database(home / "it.sqlite", "CREATE TABLE IF NOT EXISTS it (n INTEGER)", 1, "The rows")
    there.write(lambda db: db.execute("INSERT INTO it VALUES (1)"))
    return there


def values(db):
    return [row["n"] for row in db.execute("SELECT n FROM it ORDER BY n")]


def test_what_is_locked_for_a_moment_is_waited_for_and_told_of(rows, caplog, monkeypatch):
    monkeypatch.setattr(database, "SILENT", 0.2)
    with held(rows.path, 2.0):
        assert rows.read(values, []) == [1]  # one who writes keeps nobody from reading
        rows.write(lambda db: db.execute("INSERT INTO it VALUES (2)"))
    assert rows.read(values, []) == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [f"Waiting for another process, which has locked {rows.path}."]


def test_what_stays_locked_is_refused_and_never_taken_for_empty(rows, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.5)
    with held(rows.path, 60.0, "alone"):
        with pytest.raises(StoreError, match=r"The rows in .* cannot be read: another process has locked them"):
            rows.read(values, [])
        with pytest.raises(StoreError, match=r"cannot be saved .* \(another process has locked them .*try again"):
            rows.write(lambda db: db.execute("INSERT INTO it VALUES (2)"))
    assert rows.read(values, []) == [1]


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize("how", ["", "alone"])
def test_a_command_waits_for_half_a_minute_and_says_so(home, tmp_path, how):
    run = make_run(home / "runs" / "abc123", prompts=2)
    calm = fishersft_command("judge", run, "--json")
    assert calm.returncode == 0, calm.stderr
    (home / "verdicts.sqlite").rename(tmp_path / "before.sqlite")
    verdicts.database().write(lambda db: None)
    started = time.monotonic()
    with held(home / "verdicts.sqlite", 30.0, how):
        done = fishersft_command("judge", run, "--json")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started > 29
    assert done.stderr.count("Waiting for another process, which has locked") == 1
    assert json.loads(done.stdout) == json.loads(calm.stdout)
    assert [judge["name"] for judge in judges_of(read_run(run))] == ["reference"]


FAKETIME = next(iter(sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"))), None)


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.skipif(FAKETIME is None, reason="setting the clock of one process needs libfaketime")
def test_a_clock_that_is_set_back_and_forward_changes_no_answer_and_loses_no_job(home, tmp_path):
    corpus, model = make_corpus(tmp_path / "c.jsonl", 40), make_model(tmp_path / "model")
    clock = tmp_path / "clock"
    set_ = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    set_ |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    small = ["--model", model, "--budget", 6, "--json"]
    calm = json.loads(fishersft_command("select", corpus, *small, FISHERSFT_HOME=str(tmp_path / "calm")).stdout)
    for when in ("-40y", "+60y", "-1d", "+0"):  # one store through all of these times
        clock.write_text(when)
        for words in (["select", corpus, *small], ["runs", "list", "--json"], ["runs", "check"]):
            done = fishersft_command(*words, **set_)
            assert done.returncode == 0, (when, done.stderr)
            if words[0] == "select":
                assert steady(json.loads(done.stdout)) == steady(calm)
    clock.write_text("+0")
    with mock.patch.dict(os.environ, set_):
        tune = ["--epochs", 60, "--budgets", 20, "--prompts", 0, "--learning-rate", 0.001, "--selectors", "uniform"]
        job = jobs.start(["finetune", str(corpus), "--model", str(model), *map(str, tune)], kind="finetune", title="t")
    seen = []
    until = time.monotonic() + 200
    while not (now := jobs.job(job.id)).ended and time.monotonic() < until:
        clock.write_text(("+1y", "-30y", "+0")[len(seen) % 3])  # while it runs
        seen.append((now.state, now.seconds, now.eta))
        time.sleep(0.5)
    assert now.state == "done", jobs.log_lines(now)
    assert "lost" not in {state for state, _, _ in seen}
    assert all(value is None or value >= 0 for _, *times in seen for value in times)


@pytest.mark.slow
def test_a_job_whose_row_is_locked_is_told_of_on_its_page_and_the_button_says_why(home, monkeypatch):
    job = jobs.start(["runs", "list"], kind="list", title="short")
    while not jobs.job(job.id).ended:
        time.sleep(0.1)
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    with held(home / "jobs.sqlite", 60.0, "alone"):
        at = open_page("runs", show="jobs")
        assert any("another process has locked them" in str(error.value) for error in at.error)
    assert jobs.job(job.id).state == "done"
