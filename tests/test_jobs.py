"""Background jobs: real processes that wait, end, fail, are stopped, die and are taken up again."""

import itertools
import json
import logging
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from fishersft import load_corpus
from fishersft.errors import JobError, StoreError
from fishersft.lm.folder import find_model
from fishersft.pipeline import embed_and_select
from fishersft.store import job_runner, jobs
from fishersft.store.artifacts import Store
from fishersft.store.job_runner import Reporter
from fishersft.store.job_table import LOST_SENTENCE, STALE, WHOLE, JobTable, Process, end_leftovers, gone

from .test_cli import run as fishersft_command
from .test_pages import open_page

pytestmark = pytest.mark.slow
ID = "abc123abc123"

STRANGER = """
import os, pathlib, signal, subprocess, sys, time
from dataclasses import dataclass
from typing import ClassVar
from fishersft.store import job_runner
from fishersft.selectors.base import Selector
from fishersft.design.greedy import Pick

@dataclass(frozen=True)
class Gated(Selector):
    name: ClassVar[str] = "gated"
    label: ClassVar[str] = "Gated"
    summary: ClassVar[str] = "Takes the records as they come, and waits after the third for the file $GATE."
    reference: ClassVar[str] = "none"

    def __post_init__(self):
        if os.environ.get("BROKEN"):
            raise RuntimeError("a bug of a stranger")
        if os.environ.get("STUBBORN"):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            job_runner.report("sulking", 1, 2)
            pathlib.Path(os.environ["STUBBORN"]).write_text(str(child.pid))
            time.sleep(600)

    def order(self, pool, rng):
        for position in range(len(pool)):
            yield Pick(position)
            time.sleep(0.02)
            while position == 2 and not os.path.exists(os.environ["GATE"]):
                time.sleep(0.02)
"""


@pytest.fixture(autouse=True)
def nothing_left_running(home):
    yield
    for job in jobs.jobs():
        if not job.ended:
            jobs.cancel(job.id, grace=0.1)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A selector of another package that waits at a gate; returns the gate, which a file opens."""
    site = tmp_path / "site"
    (site / "gated-1.0.dist-info").mkdir(parents=True)
    (site / "gated.py").write_text(STRANGER)
    (site / "gated-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: gated\nVersion: 1.0\n")
    (site / "gated-1.0.dist-info" / "entry_points.txt").write_text("[fishersft.selectors]\ngated = gated:Gated\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("GATE", str(tmp_path / "gate"))
    return tmp_path / "gate"


@contextmanager
def embedding_held(corpus):
    """While this is open, `fishersft embed` of the corpus waits."""
    key = embed_and_select.embeddings_key(load_corpus(corpus), find_model("mini"))
    with Store.default().lock(key):
        yield


def embed(corpus, **more):
    return jobs.start(["embed", str(corpus)], kind="embed", title="small", **more)


def waited(job, wanted, seconds=300):
    """The job once `wanted` (a state, or a claim about the job) holds."""
    until = time.monotonic() + seconds
    while True:
        now = jobs.job(job.id)
        if now.state == wanted if isinstance(wanted, str) else wanted(now):
            return now
        assert time.monotonic() < until, (wanted, now, jobs.log_lines(now))
        assert not now.ended, (wanted, now, jobs.log_lines(now))
        time.sleep(0.05)


def is_gone(job):
    return not Process.of(job.pid).born


# -- whole jobs


def test_a_job_tells_how_far_it_is_dies_and_is_taken_up_again(jsonl, stranger, home):
    arguments = ["select", str(jsonl), "--selector", "gated", "--budget", "4", "--json"]
    job = jobs.start(arguments, kind="select", title="four of them", out=Path("picks.jsonl"))
    assert (job.state, job.attempt, job.ended, job.kind, job.title) == ("queued", 1, False, "select", "four of them")
    assert job.out == Path.cwd() / "picks.jsonl" and job.arguments == tuple(arguments)
    half = waited(job, lambda now: now.what.startswith("selecting, 3 of 4"))
    assert (half.state, half.total) == ("running", WHOLE) and 0 < half.done < WHOLE
    assert half.eta is not None and half.seconds > 0 and half.pid != os.getpid()

    os.kill(half.pid, signal.SIGKILL)
    lost = waited(job, "lost")
    assert lost.sentence == LOST_SENTENCE and lost.finished and lost.exit_status is None

    stranger.touch()
    again = jobs.resume(job.id[:6])
    assert (again.id, again.attempt, again.done, again.finished) == (job.id, 2, 0, None)
    done = waited(job, "done")
    assert (done.exit_status, done.done, done.total, done.eta) == (0, WHOLE, WHOLE, None)
    assert done.sentence.startswith("Gated chose 4 of 4 sentences")
    log = done.log.read_text()
    assert "--- attempt 2" in log
    picks = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    assert picks["sentences"] == 4
    with pytest.raises(JobError, match=r"is done; only a job that failed, was cancelled or was lost can be resumed"):
        jobs.resume(job.id)


def test_one_job_runs_on_a_device_and_others_do_not_wait_for_it(jsonl):
    with embedding_held(jsonl):
        first, second, elsewhere = embed(jsonl), embed(jsonl), embed(jsonl, device="cuda:1")
        waited(first, "running"), waited(elsewhere, "running")
        time.sleep(0.6)  # longer than a waiting job sleeps between two looks
        assert jobs.job(second.id).state == "queued"
        assert [job.id for job in jobs.jobs()] == [elsewhere.id, second.id, first.id]
    first, second, elsewhere = (waited(job, "done") for job in (first, second, elsewhere))
    assert first.finished <= second.started
    assert elsewhere.started < first.finished
    assert "rows of" in first.sentence
    jobs.remove(first.id)
    assert not first.log.exists() and second.log.is_file() and first.id not in {job.id for job in jobs.jobs()}
    assert embed_and_select.stored_embeddings(load_corpus(jsonl), find_model("mini")) is not None  # what it made stays


def test_a_cancelled_job_stops_and_frees_the_device_and_one_in_the_queue_never_starts(jsonl):
    with embedding_held(jsonl):
        running, queued, next_one = embed(jsonl), embed(jsonl), embed(jsonl)
        waited(running, "running")
        ended = jobs.cancel(queued.id)
        assert (ended.state, ended.started, ended.exit_status) == ("cancelled", None, None)
        assert is_gone(queued)
        ended = jobs.cancel(running.id)
        assert (ended.state, ended.exit_status, ended.stopping) == ("cancelled", 130, False)
        assert ended.sentence == "Interrupted. Finished work is kept; run the same command again to resume it."
        assert is_gone(running)
        for job in (running, queued):
            with pytest.raises(JobError, match=r"has already ended \(cancelled\)"):
                jobs.cancel(job.id)
        resumed = jobs.resume(queued.id)
        waited(next_one, "running")
        assert jobs.job(resumed.id).state == "queued"
        with pytest.raises(JobError, match="is queued; only a job that failed"):
            jobs.resume(resumed.id)
        with pytest.raises(JobError, match="cancel it before you remove it"):
            jobs.remove(next_one.id)
        jobs.cancel(next_one.id)
        assert waited(resumed, "running").attempt == 2


def test_a_job_deaf_to_ctrl_c_is_killed_with_what_it_started(jsonl, stranger, tmp_path, monkeypatch):
    monkeypatch.setenv("STUBBORN", str(tmp_path / "child"))
    job = jobs.start(["select", str(jsonl), "--selector", "gated", "--budget", "4"], kind="select", title="deaf")
    waited(job, lambda now: now.what == "sulking, 1 of 2" and (tmp_path / "child").exists())
    child = Process.of(int((tmp_path / "child").read_text()))
    assert child.alive
    ended = jobs.cancel(job.id, grace=0.2)
    assert (ended.state, ended.exit_status) == ("cancelled", None)
    assert is_gone(ended)
    if sys.platform == "linux":  # the child had left the process group
        assert jobs._ends(lambda: not child.alive, 10)
    else:
        os.kill(child.pid, signal.SIGKILL)


def test_a_failed_job_keeps_its_one_sentence(jsonl, stranger, monkeypatch):
    mistake = jobs.start(["export", "abc"], kind="export", title="no such run", device="a")
    monkeypatch.setenv("BROKEN", "1")
    bug = jobs.start(["select", str(jsonl), "--selector", "gated", "--budget", "2"], kind="select", title="bug", device="b")
    mistake, bug = waited(mistake, "failed"), waited(bug, "failed")
    assert (mistake.exit_status, bug.exit_status) == (2, 1)
    assert mistake.sentence == "In the store no run starts with 'abc'; fishersft select prints the id of what it chose."
    assert bug.sentence == "RuntimeError: a bug of a stranger"
    assert "Traceback" in bug.log.read_text()


def test_a_job_outlives_the_process_that_started_it(home):
    code = (
        "import os; from fishersft.store import jobs\n"
        "print(jobs.start(['export', 'abc'], kind='export', title='orphan').id, flush=True); os._exit(1)"
    )
    held = job_runner._device(JobTable(home), "cpu")
    starter = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True)
    job = jobs.job(starter.stdout.strip())
    assert os.getsid(job.pid) == job.pid  # no terminal, no group of the starter's
    assert job.state == "queued"
    held.release()
    assert waited(job, "failed").exit_status == 2


def test_processes_that_start_jobs_at_once_lose_none_and_share_the_device():
    code = "from fishersft.store import jobs\nfor k in range(2): jobs.start(['export', 'abc'], kind='export', title='t')"
    starters = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [starter.wait() for starter in starters] == [0, 0]
    found = [waited(job, "failed") for job in jobs.jobs()]
    assert len(found) == 4
    for later, earlier in itertools.pairwise(found):
        assert earlier.finished <= later.started


# -- the terminal


def test_the_terminal_lists_shows_stops_and_resumes(jsonl):
    with embedding_held(jsonl):
        job = embed(jsonl)
        waited(job, "running")
        listed = fishersft_command("runs", "list").stdout
        assert job.id in listed and "running" in listed and "embed: small" in listed
        assert fishersft_command("runs", "cancel", job.id).stdout == f"Job {job.id} is cancelled.\n"
        shown = fishersft_command("runs", "show", job.id).stdout
        assert f"command: fishersft embed {jsonl}" in shown and "ended:   Interrupted." in shown and "(exit 130)" in shown
        assert json.loads(fishersft_command("runs", "resume", job.id, "--json").stdout)["attempt"] == 2
        waited(job, "running")
        assert json.loads(fishersft_command("runs", "cancel", job.id, "--json").stdout)["state"] == "cancelled"
    facts = json.loads(fishersft_command("runs", "show", job.id, "--json", "--lines", 2).stdout)
    assert facts["arguments"] == ["embed", str(jsonl)] and len(facts["log_lines"]) == 2
    assert [found["id"] for found in json.loads(fishersft_command("runs", "list", "--kind", "job", "--json").stdout)["runs"]] == [
        job.id
    ]
    for arguments in (("cancel", job.id), ("rm", job.id, "zz")):
        done = fishersft_command("runs", *arguments)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("fishersft: ") and len(done.stderr.strip().splitlines()) == 1
    assert jobs.job(job.id).state == "cancelled"  # rm removes all or none
    assert json.loads(fishersft_command("runs", "rm", job.id[:5], "--json").stdout) == {"removed": [job.id]}
    assert jobs.jobs() == []


def test_nothing_is_on_disk_before_the_first_job(home):
    assert jobs.jobs() == []
    assert fishersft_command("runs", "list", "--kind", "job").stdout == "No jobs.\n"
    with pytest.raises(JobError, match="No job has an id that starts with 'abc'"):
        jobs.job("abc")
    with pytest.raises(JobError, match="needs a command"):
        jobs.start([], kind="none", title="none")
    job_runner.report("embedding", 1, 2)
    assert not home.exists()


# -- rows, without processes of their own


@pytest.fixture
def rows(home):
    return JobTable(home)


@pytest.fixture
def row(rows):
    """A job that this very process runs."""
    rows.add({"id": ID, "kind": "k", "title": "t", "device": "cpu", "arguments": ["x"], "folder": "/", "out": None})
    assert rows.has_process(ID, 1, Process.of(os.getpid()))
    assert rows.runs(rows.one(ID))
    yield rows.one(ID)
    rows.end(rows.one(ID), "done", "")


def test_what_comes_too_late_changes_nothing(rows, row):
    assert not rows.runs(row)
    rows.stop(row, 1)
    assert rows.end(row, "cancelled", "Stopped.", 130)
    assert not rows.end(row, "done", "", 0)
    assert rows.again(row) and not rows.again(row)
    assert not rows.end(row, "failed", "from the first attempt", 1)
    assert not rows.has_process(ID, 1, Process.of(os.getpid()))
    assert rows.beat(row) is None
    assert not rows.remove(row)
    assert rows.job(rows.one("abc")).state == "queued"


def test_a_job_taken_for_lost_goes_on_with_its_next_heartbeat(rows, row):
    elsewhere = Process(1, "1", "another machine").written
    sqlite3.connect(rows.path / "jobs.sqlite").execute("UPDATE jobs SET process = ?", (elsewhere,)).connection.commit()
    row = rows.one("abc")
    assert not gone(row) and gone({**row, "heartbeat": row["heartbeat"] - STALE - 1})
    assert rows.lose(row, "lost", LOST_SENTENCE)
    assert rows.beat(row) == 0
    assert (rows.one("abc")["state"], rows.one("abc")["sentence"], rows.one("abc")["finished"]) == ("running", "", None)
    assert not rows.lose({**row, "process": None}, "lost", "what was read before it had its process")


def test_progress_is_written_at_most_twice_a_second_and_the_last_is_not_lost(rows, row, monkeypatch):
    written = []
    beat = JobTable.beat
    monkeypatch.setattr(JobTable, "beat", lambda self, row, facts=None: (written.append(facts), beat(self, row, facts))[1])
    reporter = Reporter(row, owner=True)
    reporter.start()
    started = time.monotonic()
    for k in range(20_000):
        reporter.note(f"embedding, {k}", k / 19_999)
    reporter.stop()
    assert 1 <= len(written) <= 2 + 2 * (time.monotonic() - started)
    job = jobs.job("abc")
    assert (job.what, job.share) == ("embedding, 19999", 1.0)


def test_a_worker_of_a_job_processs_and_does_not_speak_for_its_life(rows, row, monkeypatch):
    monkeypatch.setenv("FISHERSFT_JOB", ID)
    monkeypatch.setenv("FISHERSFT_JOB_ATTEMPT", "1")
    monkeypatch.setattr(job_runner, "_current", None)
    monkeypatch.setattr(job_runner, "_share", job_runner.Share())
    job_runner.report("training", 2, 8)
    job_runner._current.stop()
    now, job = rows.one(ID), jobs.job(ID)
    assert (job.what, job.share, now["heartbeat"]) == ("training, 2 of 8", 0.25, row["heartbeat"])


def test_a_running_jobs_row_comes_back_where_the_file_was_set_aside(rows, row, caplog):
    (rows.path / "jobs.sqlite").write_bytes(b"to be or not to be " * 400)
    with caplog.at_level(logging.WARNING):
        assert jobs.jobs() == []
    assert "set aside as jobs.sqlite.damaged-1" in caplog.text
    reporter = Reporter(row, owner=True)
    reporter.note("training, 3 of 9", 0.3)
    reporter.start(), reporter.stop()
    assert [(job.id, job.state, job.share) for job in jobs.jobs()] == [(ID, "running", 0.3)]


DAMAGE = [
    *(("id", id) for id in ("", 5, b"\xff", "../../outside", "/etc/passwd", "ABCDEF123456", "abc123abc123\n", "abc123")),
    *(("arguments", text) for text in ("x", "5", "[1, 2]", "[" * 100_000, b"\xff")),
    *(("out", text) for text in ("x", "5", "[]")),
    *(("folder", text) for text in ("[]", "null", "/tmp")),
    *((name, text) for name in ("process", "starter") for text in ("x", "{", "[1]", '[0, "", ""]', '[99999999999999, "5", "m"]')),
    *((name, when) for name in ("queued", "started", "finished", "heartbeat") for when in ("x", 1e300, math.inf, -1.0)),
    *((name, count) for name in ("turn", "attempt", "done", "total") for count in ("x", -1, 2**60, 1.5)),
    *((name, b"\xff") for name in ("title", "kind", "device", "what", "sentence")),
    *(("state", "zzz"), ("stopping", 7), ("title", "x" * 2000), ("exit_status", "x"), ("exit_status", 2**62)),
    *(("step_started", "x"), ("step_first", "x"), ("reported", "x")),
]


def test_a_row_that_we_did_not_write_is_no_job_which_is_told_and_takes_nothing_down(rows, row, home):
    outside = home.parent / "outside.log"
    outside.write_text("another's")
    with sqlite3.connect(home / "jobs.sqlite") as db:
        for number, (column, value) in enumerate(DAMAGE):
            spoilt = {**row, "id": f"{number:012x}", "state": "running", column: value}
            db.execute(f"INSERT INTO jobs ({', '.join(spoilt)}) VALUES ({', '.join('?' * len(spoilt))})", tuple(spoilt.values()))
    assert [job.id for job in jobs.jobs()] == [ID]
    (sentence,) = jobs.left_out()
    assert "jobs.sqlite is damaged" in sentence and f"So are {len(DAMAGE) - 1} more" in sentence
    listed = fishersft_command("runs", "list", "--kind", "job")
    assert listed.returncode == 0 and ID in listed.stdout and sentence in listed.stderr
    for page in ("runs", "curves", "generations"):
        at = open_page(page)
        assert page != "runs" or "is damaged" in " ".join(w.value for w in at.warning)
    for act in (jobs.job, jobs.remove, jobs.resume, jobs.cancel):
        with pytest.raises(JobError, match="No job"):
            act("../../outside")
    assert outside.read_text() == "another's"
    new = jobs.start(["runs", "list"], kind="k", title="t", device="another")
    assert jobs.job(new.id).title == "t"
    jobs.cancel(new.id, grace=0.1)


def test_progress_that_is_half_there_gives_no_time_left(rows, row):
    for missing in ("step_first", "reported", "step_started"):
        rows.beat(row, {"step_started": 1.0, "step_first": 0, "reported": 2.0, "done": 5, "total": 9, missing: None})
        assert jobs.job(ID).eta is None


@pytest.mark.parametrize(
    "spoil",
    [
        "ALTER TABLE jobs DROP COLUMN sentence",
        "ALTER TABLE jobs RENAME TO rows; CREATE VIEW jobs AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT rows.* FROM rows, n WHERE x < 0",
    ],
)
def test_a_table_that_we_did_not_make_is_set_aside(home, rows, spoil):
    rows.add({"id": ID, "kind": "k", "title": "t", "device": "cpu", "arguments": ["x"], "folder": "/", "out": None})
    with sqlite3.connect(home / "jobs.sqlite") as db:
        db.executescript(spoil)
    assert jobs.jobs() == []
    assert list(home.glob("jobs.sqlite.damaged-1"))


def test_time_left_is_that_of_the_whole_job_at_its_mean_pace(rows, row):
    now = time.time()
    step = {"what": "training", "step_started": now - 30, "step_first": 40, "done": 60, "total": 100, "reported": now - 10}
    rows.beat(row, step)  # 20 in 20 s, and 10 s ago there were 40 to do
    assert jobs.job("abc").eta == pytest.approx(30, abs=1)
    rows.beat(row, {"done": 40})
    assert jobs.job("abc").eta is None
    rows.beat(row, {"done": 100})
    assert jobs.job("abc").eta == 0


def test_a_job_asked_through_its_row_stops_itself(rows, row):
    reporter = Reporter(row, owner=True)
    rows.stop(row, 1)
    reporter.note("training, 1 of 9", 0.1)
    reporter.start()
    with pytest.raises(KeyboardInterrupt):
        time.sleep(30)
    reporter.stop()


def test_a_store_that_cannot_be_written_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="FISHERSFT_HOME"):
        jobs.start(["export", "abc"], kind="k", title="t", store=Store(tmp_path / "file"))


def test_a_file_of_a_later_version_is_refused(rows, row):
    path = rows.path / "jobs.sqlite"
    sqlite3.connect(path).execute("PRAGMA user_version = 99").connection.commit()
    with pytest.raises(StoreError, match="later version"):
        jobs.jobs()
    sqlite3.connect(path).execute("PRAGMA user_version = 1").connection.commit()


# -- processes


def test_a_process_is_told_from_a_later_one_with_its_number():
    me = Process.of(os.getpid())
    assert me.alive and Process.read(me.written) == me and Process.read(None) is None
    assert Process(me.pid, "another time", me.machine).alive is False
    assert Process(me.pid, me.born, "another machine").alive is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(child.pid)
    assert process.alive
    child.stdin.close()
    assert jobs._ends(lambda: not process.alive, 20)  # a zombie: nobody has waited for it
    child.wait()
    process.signal(signal.SIGKILL)  # nobody is there


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells the environment of a process")
def test_only_processes_of_the_very_attempt_are_ended():
    code = "import sys; print(flush=True); sys.stdin.read()"
    others = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **more})
        for more in ({"TEST_JOB": "x", "TEST_ATTEMPT": "1"}, {"TEST_JOB": "x", "TEST_ATTEMPT": "2"})
    ]
    for other in others:
        other.stdout.readline()
    assert end_leftovers({"TEST_JOB": "x", "TEST_ATTEMPT": "1"}) == 1
    assert others[0].wait(20) == -signal.SIGKILL
    assert others[1].poll() is None
    others[1].communicate()


def test_the_last_sentence_is_no_progress_bar(tmp_path):
    log = tmp_path / "log"
    log.write_text("old: 1\nfishersft: Out of memory: lower it.\nembedding:  10%|# | 1/9\rembedding: 100%|##| 9/9\n\n")
    assert jobs.last_sentence(log) == "Out of memory: lower it."
    assert jobs.last_sentence(log, 50) == ""
    assert jobs._tail(log)[-1] == "embedding: 100%|##| 9/9"
    assert jobs.last_sentence(tmp_path / "none") == ""
