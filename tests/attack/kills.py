"""`python -m tests.attack.kills`: commands killed at random moments, with the disk full and the store closed in between.

Each command runs undisturbed once, in a store of its own.  Then it runs again and again in another store: it is killed (SIGKILL)
after a random part of the time that it takes, or may write no file of more than a few bytes (a full disk), or may not write to
its store at all.  In the end it runs to its end, and its answer must be the undisturbed one.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import os
import pkgutil
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # what has begun a pool of threads cannot be forked
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import click

from fishersft.text import markdown_table
from tests.attack.folders import tiny
from tests.attack.options import corpus
from tests.attack.trial import is_sentence

KILL, FULL, CLOSED = "kills", "full disks", "closed stores"
NEW_MOUNTS, PRIVATE, BIND, READ_ONLY = 0x20000, 0x44000, 0x1000, 0x1021  # of Linux
VOLATILE = (
    "second",
    "made",
    "time",
    "path",
    "out",
    "home",
    "folder",
    "version",
    "run",
    "speed",
    "log",
    "eta",
    "took",
    "cost",
    "file",
    "stored",
    "resumed",
)
Words = list[Any]


def commands(folder: Path, model: Path) -> dict[str, Words]:
    """The commands by name; what they write beside the store goes into `folder`."""
    texts, small = corpus(folder), ["--model", model]
    curves = ["--sentences", 80, "--dimension", 4, "--runs", 6, "--workers", 1, "--budgets", "8,16"]
    tune = ["--epochs", 1, "--budgets", 6, "--prompts", 3, "--learning-rate", 0.001, "--selectors", "token_od,uniform"]
    return {
        "embed": ["embed", texts, *small],
        "select": ["select", texts, *small, "--budget", 12, "--selector", "token_od"],
        "compare": ["compare", texts, *small, "--budget", 12, "--selectors", "token_od,longest"],
        "curves": ["curves", "synthetic", *curves, "--out", folder / "curves"],
        "finetune": ["finetune", texts, *small, *tune, "--out", folder / "tuned"],
        "judge": ["judge", folder / "tuned"],
    }


def close(home: Path) -> None:
    """Make a folder read-only for this process, for a superuser too; and for good until somebody opens it again."""
    if os.geteuid():
        home.chmod(0o500)
        return
    kernel, path = ctypes.CDLL(None, use_errno=True), str(home).encode()
    assert kernel.unshare(NEW_MOUNTS) == 0
    for source, target, flags in ((b"none", b"/", PRIVATE), (path, path, BIND), (None, path, READ_ONLY)):
        assert kernel.mount(source, target, None, flags, None) == 0


def child(words: Words, home: Path, how: str, answer: Path) -> int:
    """Start a command in a fork of this process; its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.environ["FISHERSFT_HOME"] = str(home)
        out, err = io.StringIO(), io.StringIO()
        sys.argv = ["fishersft", *map(str, words), "--json"]
        if how == FULL:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if how == CLOSED:
            close(home)
        from fishersft import cli

        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc(file=err)
        if how == KILL:
            answer.write_text(json.dumps([status, out.getvalue(), err.getvalue()[-2_000:]]))
        else:  # it may write no file, so it says in its status whether what it said is a sentence
            lines = [line for line in err.getvalue().replace("\r", "\n").splitlines() if line.strip()]
            said = lines[-1] if lines else ""
            if status and not (status in (1, 2) and is_sentence(said) and "Traceback" not in err.getvalue()):
                status = 99
                os.write(2, f"{how}: {err.getvalue()[-1_500:]}\n".encode())
    finally:
        os._exit(status)


def answer_of(words: Words, home: Path, scratch: Path) -> tuple[Any, float]:
    """What a command that runs to its end prints, without what differs from run to run; and the seconds it took."""
    started, file = time.monotonic(), scratch / "answer.json"
    file.unlink(missing_ok=True)
    os.waitpid(child(words, home, KILL, file), 0)
    status, out, err = json.loads(file.read_text())
    assert status == 0, (words, err)
    return _lasting(json.loads(out)), time.monotonic() - started


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if not any(word in k for word in VOLATILE)}
    if isinstance(value, list):
        return [_lasting(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def disturb(name: str, times: int, model: Path, scratch: Path, rng: random.Random) -> dict[str, int]:
    """Counts of what a command went through, and how it ended."""
    calm, rough = scratch / f"{name}-calm", scratch / f"{name}-rough"
    for folder in (calm, rough):
        folder.mkdir()
        if name == "judge":  # judges what was tuned
            answer_of(commands(folder, model)["finetune"], folder / "home", scratch)
    words = commands(calm, model)[name], commands(rough, model)[name]
    wanted, seconds = answer_of(words[0], calm / "home", scratch)
    counts = dict.fromkeys((KILL, FULL, CLOSED, "tracebacks", "other answers"), 0)
    home = rough / "home"
    for k in range(times):
        how = (KILL, KILL, FULL, KILL, CLOSED)[k % 5] if k else KILL
        if how == CLOSED:
            home.mkdir(exist_ok=True)
        process = child(words[1], home, how, scratch / "answer.json")
        if how == KILL:
            time.sleep(rng.uniform(0.0, 0.9) * seconds)
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if home.exists():
            home.chmod(0o700)
        counts[how] += 1
        counts["tracebacks"] += how != KILL and (os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 99)
    found, _ = answer_of(words[1], home, scratch)
    counts["other answers"] += found != wanted
    if found != wanted:
        click.echo(json.dumps({"command": name, "wanted": wanted, "found": found})[:3_000], err=True)
    return counts


@click.command()
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.option("--times", type=click.IntRange(1), default=27, show_default=True, help="How often each command is disturbed.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the moments.")
def main(names: tuple[str, ...], times: int, seed: int) -> None:
    """Disturb each COMMAND and compare its answer with that of an undisturbed one; exits with 1 where they differ."""
    import fishersft

    for module in pkgutil.walk_packages(fishersft.__path__, "fishersft."):
        if ".ui" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    scratch = Path(tempfile.mkdtemp(prefix="kills-"))
    scratch.chmod(0o755)
    try:
        model = tiny(scratch / "tiny")
        every = commands(scratch, model)
        table = {n: disturb(n, times, model, scratch, random.Random(f"{n} {seed}")) for n in names or every}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    columns = list(next(iter(table.values())))
    rows = [[name, *(str(counts[c]) for c in columns)] for name, counts in table.items()]
    rows.append(["in all", *(str(sum(counts[c] for counts in table.values())) for c in columns)])
    click.echo(markdown_table(["command", *columns], rows, "---:"))
    if any(counts[c] for counts in table.values() for c in columns[3:]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
