"""`python -m tests.attack`: generated inputs against every door, and a table of what came of them."""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # what has begun a pool of threads cannot be forked
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import click

from fishersft.paths import write_whole
from fishersft.text import markdown_table
from tests.attack import files, folders, links, options, replies
from tests.attack.trial import ACCEPTED, FAULT, MEGABYTES, REFUSED, SECONDS, Outcome, trial

Attack = Callable[[random.Random, Path], str | None]
COLUMNS = ("inputs", "accepted", "refused in a sentence", "tracebacks", f"over {SECONDS:.0f} s", f"over {MEGABYTES:.0f} MB")
WORKING = (
    "options",
    "run folders",
    "curves folders",
    "deep links",
)  # what these accept is work that was asked for, so only their refusals are timed


def _corpora(scratch: Path) -> Attack:
    from fishersft import load_corpus
    from fishersft.lm.embed import plan
    from fishersft.lm.folder import find_model
    from fishersft.lm.model import load_tokenizer

    plan(load_corpus("demo"), load_tokenizer(find_model("mini")), 256)  # what every input needs is in memory
    return files.corpus


def _models(scratch: Path) -> Attack:
    from fishersft import embed, load_corpus

    sound = folders.tiny(scratch / "tiny")
    embed(load_corpus("demo"), "mini")
    os.environ["FISHERSFT_HOME"] = str(scratch / "home")
    return functools.partial(folders.model, sound=sound)


def _options(scratch: Path) -> Attack:
    import torch

    import fishersft
    from fishersft.lm.model import load_model
    from tests.tiny_model import make_model

    for module in pkgutil.walk_packages(fishersft.__path__, "fishersft."):
        if ".ui" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)

    torch.set_num_threads(1)
    model = folders.tiny(scratch / "tiny")
    make_model(scratch / "judge", context=1024)
    os.environ["FISHERSFT_HOME"] = str(scratch / "home")
    words = ["select", options.corpus(scratch), "--budget", "4", "--model", model]
    subprocess.run([sys.executable, "-m", "fishersft", *map(str, words)], check=True, capture_output=True)
    load_model(str(model))
    return functools.partial(options.options, home=scratch / "home", model=model)


def _runs(scratch: Path) -> Attack:
    from fishersft.export.report import report
    from tests.tuned_run import tuned_run

    report(str(tuned_run(scratch / "warm"))).html()
    return functools.partial(
        folders.run, sound=tuned_run(scratch / "abc123", selectors=("token_od", "uniform", "longest"), target=True)
    )


def _curves(scratch: Path) -> Attack:
    from fishersft.export.report import report

    for name in ("sweep", "timing"):
        report(str(folders.ROOT / "assets" / "curves" / name)).html()
    return folders.curves


def _vectors(scratch: Path) -> Attack:
    import fishersft.experiments.word_vectors  # noqa: F401

    return files.vectors


def _links(scratch: Path) -> Attack:
    from streamlit.components.v2 import manifest_scanner

    from fishersft.ui import behind
    from fishersft.ui.address import PAGES

    manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
    behind.AT_ONCE = behind.ALREADY = 100.0  # a page waits for all that it shows
    os.environ["FISHERSFT_HOME"] = str(scratch / "home")
    for page in PAGES:
        links.follow(page, {})
    return links.deep_link


def _replies(scratch: Path) -> Attack:
    replies.ask({"content": '{"better": "KIVO"}'})  # imports what the first question imports
    return replies.judge_reply


KINDS: dict[str, Callable[[Path], Attack]] = {
    "corpus files": _corpora,
    "model folders": _models,
    "options": _options,
    "run folders": _runs,
    "curves folders": _curves,
    "vectors files": _vectors,
    "deep links": _links,
    "judge replies": _replies,
}


def attack(kind: str, inputs: int, seed: int, first: int = 0) -> Iterator[tuple[Counter[str], dict[str, object] | None]]:
    """The counts of one input of a kind after another, and the fault with what makes it again, where it is one."""
    with tempfile.TemporaryDirectory(prefix="attack-") as scratch:
        make = KINDS[kind](Path(scratch))
        for number in range(first, first + inputs):
            rng = random.Random(f"{kind} {seed} {number}")
            found = trial(functools.partial(_seeded, make, rng))
            slow, large = _limits(kind, found)
            came = dict(zip((ACCEPTED, REFUSED, FAULT), COLUMNS[1:4], strict=True))[found.kind]
            counts = Counter({COLUMNS[0]: 1, came: 1, COLUMNS[4]: int(slow), COLUMNS[5]: int(large)})
            bad = found.kind == FAULT or slow or large
            yield counts, {"input": kind, "number": number, **vars(found)} if bad else None
            if sys.stderr.isatty():
                click.echo(f"\r{kind}: {number + 1:,} of {first + inputs:,}", nl=False, err=True)


def _seeded(make: Attack, rng: random.Random, folder: Path) -> str | None:
    return make(rng, folder)


def _limits(kind: str, found: Outcome) -> tuple[bool, bool]:
    timed = kind not in WORKING or found.kind != ACCEPTED
    return timed and found.seconds > SECONDS, timed and found.megabytes > MEGABYTES


@click.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("--inputs", type=click.IntRange(1), default=1_000, show_default=True, help="Inputs of each kind.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@click.option("--first", type=int, help="Number of the first input, to make one again.")
@click.option(
    "--counts",
    type=click.Path(path_type=Path),
    help="A JSON file that keeps the counts of each kind; the same command goes on where they end.",
)
@click.option("--faults", type=click.Path(path_type=Path), help="A file to which every fault is added, one JSON object a line.")
def main(kinds: tuple[str, ...], inputs: int, seed: int, first: int | None, counts: Path | None, faults: Path | None) -> None:
    """Attack with generated inputs of each KIND, all by default; exits with 1 where there was a fault.

    The table has a row a kind. An input is a fault if it ends in a traceback, a refusal that is no sentence, or a hang; or if it
    takes more than 2 s of processor time or 500 MB (where what is accepted is work that was asked for, such as a report: only where it is refused).
    """
    if unknown := set(kinds) - set(KINDS):
        raise click.UsageError(f"There is no kind {sorted(unknown)[0]}; there are {', '.join(KINDS)}.")
    table: dict[str, dict[str, int]] = json.loads(counts.read_text()) if counts and counts.exists() else {}
    for kind in kinds or KINDS:
        known = table.setdefault(kind, dict.fromkeys(COLUMNS, 0))
        begun = known[COLUMNS[0]] if first is None else first
        for found, fault in attack(kind, inputs - begun if first is None else inputs, seed, begun):
            known |= {column: known[column] + found[column] for column in COLUMNS}
            if counts:
                write_whole(counts, json.dumps(table, indent=1) + "\n")
            if fault and faults:
                with faults.open("a") as file:
                    file.write(json.dumps(fault) + "\n")
            elif fault:
                click.echo(json.dumps(fault), err=True)
    click.echo(
        markdown_table(["input", *COLUMNS], [[kind, *(f"{n[c]:,}" for c in COLUMNS)] for kind, n in table.items()], "---:")
    )
    if any(n[c] for n in table.values() for c in COLUMNS[3:]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
