"""`python -m tests.attack.kills`: commands killed at random moments, with the disk full and the store closed in between.

Each command runs undisturbed once, in a store of its own.  Then it runs again and again in another store: it is killed (SIGKILL)
after a random part of the time that it takes, or finds room for a few bytes only on its disk (a small file system; without a
superuser's rights to mount one, it may write no large file), or may not write to its store at all.  In the end it runs to its
end, and its answer must be the undisturbed one.
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
from tests.attack import disk
from tests.attack.folders import tiny
from tests.attack.options import corpus
from tests.attack.trial import is_sentence

KILL, FULL, CLOSED = "kills", "full disks", "closed stores"
JOB = "in the background"  # a command that begins with this is started as a job, or resumed
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
    "worth",  # of tokens: net of the seconds that choosing took
    "choosing",
    "net",
)
Words = list[Any]


def commands(folder: Path, model: Path) -> dict[str, Words]:
    """The commands by name; what they write beside the store goes into `folder`."""
    texts, small = corpus(model.parent), ["--model", model]  # an arena is named by where its corpus is
    curves = ["--sentences", 80, "--dimension", 4, "--runs", 6, "--workers", 1, "--budgets", "8,16"]
    tune = ["--epochs", 1, "--budgets", 6, "--prompts", 3, "--learning-rate", 0.001, "--selectors", "token_od,uniform"]
    tune += ["--keep-models", "--checkpoint-every", 0]
    ranked = ["--models", model, *tune, "--curve", "", "--seeds", 1]
    return {
        "embed": ["embed", texts, *small],
        "select": ["select", texts, *small, "--budget", 12, "--selector", "token_od"],
        "compare": ["compare", texts, *small, "--budget", 12, "--selectors", "token_od,longest"],
        "curves": ["curves", "synthetic", *curves, "--out", folder / "curves"],
        "finetune": ["finetune", texts, *small, *tune, "--out", folder / "tuned"],
        "judge": ["judge", folder / "tuned"],
        "arena": ["arena", texts, *ranked, "--out", folder / "arena"],
        "jobs": [JOB, "compare", texts, *small, "--budget", 12, "--selectors", "token_od,longest"],
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
        if how == FULL and not home.parent.is_mount():
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if how == CLOSED:
            close(home)
        from fishersft import cli

        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = job(words) if words[0] == JOB else 0
                if words[0] != JOB:
                    cli.main()
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


def job(words: Words) -> int:
    """Run a command as a job to its end, the last one again where that did not end well; its status."""
    from fishersft.errors import FisherSFTError
    from fishersft.store import jobs

    try:
        known = jobs.jobs()
        mine = known[0] if known else jobs.start([*map(str, words[1:]), "--json"], kind="compare", title="small")
        if mine.state in ("failed", "cancelled", "lost"):
            mine = jobs.resume(mine.id)
        while not mine.ended:
            time.sleep(0.05)
            mine = jobs.job(mine.id)
    except FisherSFTError as error:
        print(f"fishersft: {error}", file=sys.stderr)
        return 2
    log = jobs.log_lines(mine)
    print(next((line for line in reversed(log) if line.startswith("{")), ""))
    print("\n".join(log) if "Traceback" in "".join(log) else f"fishersft: {mine.sentence}", file=sys.stderr)
    return mine.exit_status or int(mine.state != "done")


def kill(process: int, words: Words, home: Path) -> None:
    """Kill a command, or the process of the job that it waits for."""
    if words[0] == JOB and (home / "jobs.db").exists():
        from fishersft.store import jobs
        from fishersft.store.artifacts import Store

        for one in jobs.jobs(Store(home)):
            if one.pid and not one.ended:
                with contextlib.suppress(OSError):
                    os.kill(one.pid, signal.SIGKILL)
    os.kill(process, signal.SIGKILL)


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


def _difference(wanted: Any, found: Any, where: str = "answer") -> str:
    """The first place where two answers differ, with both values."""
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        pairs = [(wanted[k], found[k], f"{where}.{k}") for k in wanted]
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = [(a, b, f"{where}[{k}]") for k, (a, b) in enumerate(zip(wanted, found, strict=True))]
    else:
        return f"{where} is {json.dumps(found)[:500]} and not {json.dumps(wanted)[:500]}"
    return next((_difference(*pair) for pair in pairs if pair[0] != pair[1]), "")


def disturb(name: str, times: int, model: Path, scratch: Path, rng: random.Random) -> dict[str, int]:
    """Counts of what a command went through, and how it ended; what ended well is made anew from nothing."""
    calm, rough = scratch / f"{name}-calm", scratch / f"{name}-rough"
    rough.mkdir(parents=True)
    small = disk.mounted(rough)
    counts = dict.fromkeys((KILL, FULL, CLOSED, "tracebacks", "other answers"), 0)
    try:
        words = begin(name, calm, model, scratch), begin(name, rough, model, scratch)
        wanted, seconds = answer_of(words[0], calm / "home", scratch)
        home = rough / "home"
        for k in range(times):
            how = (KILL, KILL, FULL, KILL, CLOSED)[k % 5]
            home.mkdir(exist_ok=True)
            room = int(4096 * 2 ** rng.uniform(-1, 9))
            with disk.left(rough, room) if small and how == FULL else contextlib.nullcontext():
                process = child(words[1], home, how, scratch / "answer.json")
                if how == KILL:
                    time.sleep(rng.uniform(0.0, 0.9) * seconds)
                    kill(process, words[1], home)
                _, status = os.waitpid(process, 0)
            home.chmod(0o700)
            counts[how] += 1
            counts["tracebacks"] += how != KILL and (os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 99)
            if status == 0:
                for there in rough.iterdir():
                    shutil.rmtree(there) if there.is_dir() else there.unlink()
                words = words[0], begin(name, rough, model, scratch)
        found, _ = answer_of(words[1], home, scratch)
    finally:
        if small:
            disk.unmount(rough)
    counts["other answers"] += found != wanted
    if found != wanted:
        click.echo(f"{name}: {_difference(wanted, found)}", err=True)
    return counts


def begin(name: str, folder: Path, model: Path, scratch: Path) -> Words:
    """The command, in a folder where all that it needs is ready."""
    folder.mkdir(exist_ok=True)
    if name == "judge":  # judges what was tuned
        answer_of(commands(folder, model)["finetune"], folder / "home", scratch)
    return commands(folder, model)[name]


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
