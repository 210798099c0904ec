"""Options of the command line that pass the first check, the edges of what is allowed among them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import click

from tests.attack.trial import command

TEXTS = [
    "The cat sat on the mat.",
    "A storm is coming from the west.",
    "Two knights and a bishop are enough.",
    "Stir the onions until they are soft.",
    "The court finds for the plaintiff.",
    "She wrote to her brother every Sunday without fail, and he never once answered.",
    "Rain.",
    "The heron stands in the reeds and does not move.",
]
RECORDS = 48
DIGITS = ("²", "٣", "9" * 5_000)  # that are no whole number of ours
SKIPPED = {
    "ray_address",
    "revision",
    "base_url",
    "json",
    "help",
    "price_in",
    "price_out",
    "max_cost",
    "wait",
    "out",
    "judge",
    "model",
    "models",
}
SKIPPED |= {"score_model", "engine", "device", "yes", "vectors", "store", "system_column", "context_column", "messages_column"}
SKIPPED |= {"prompt_column", "completion_column", "text_column", "ray_address", "revision", "workers", "reference", "columns"}
NAMES = ["token_od", "sentence_od", "longest", "uniform", "density", "k_center", "matched_od", "perplexity"]
USUAL = {  # values that leave enough to choose from
    "draws": (20, 24),
    "sentences": (40, 80),
    "dimension": (2, 6),
    "budget": (2, 7),
    "token_budget": (60, 70),
    "max_tokens": (8, 40),
    "topics": (2, 4),
    "clusters": (2, 4),
}
POOL = {"pin": (2, 3, 4, 8, 10, 11), "exclude": (12, 16, 18, 19, 20, 24)}  # records that are not held out, by default
WORDS = {  # of a command, other than those that several take
    ("judge", "pairs"): ("token_od:uniform", "uniform:longest", "token_od:base", "matched_od:uniform,longest:uniform"),
    ("judge", "against"): ("uniform", "base", "token_od"),
    ("judge", "budget"): ("50", "100,200", "200"),
    ("judge", "domain"): ("law", "Shakespeare's plays", "\u202e"),
    ("arena", "curve"): ("4", "4,8"),
}
SMALL = {  # so that what is asked for takes moments
    "curves synthetic": ["--sentences", 60, "--dimension", 4, "--runs", 1, "--workers", 1, "--budgets", "8,16"],
    "curves teacher": ["--runs", 1, "--workers", 1, "--budgets", "8,16"],
    "curves timing": ["--sentences", 200, "--dimension", 8, "--budgets", "8", "--box", 0.2],
    "finetune": ["--epochs", 1, "--budgets", 6, "--prompts", 2, "--learning-rate", 0.001, "--selectors", "token_od,uniform"],
    "judge": ["--prompts", 1, "--pairs", "token_od:uniform", "--budget", 50],
    "arena": [
        *("--epochs", 1, "--budgets", 6, "--curve", "8", "--prompts", 0, "--learning-rate", 0.001),
        *("--seeds", 1, "--selectors", "token_od,uniform"),
    ],
}


KINDS = {  # of commands, and how often each is drawn
    "select": 8,
    "compare": 5,
    "embed": 3,
    "curves synthetic": 5,
    "curves teacher": 2,
    "curves timing": 2,
    "finetune": 2,
    "export": 2,
    "runs": 2,
    "judge": 2,
    "arena": 2,
}


def corpus(folder: Path) -> Path:
    path = folder / "c.jsonl"
    lines = [{"text": f"{TEXTS[k % 8]} {k}.", "topic": "abc"[k % 3], "n": k} for k in range(RECORDS)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def options_of(words: list[str]) -> list[click.Option]:
    """What a command takes."""
    from fishersft.cli import commands

    found: Any = commands
    for word in words:
        found = found.get_command(click.Context(found), word)
    return [p for p in found.params if isinstance(p, click.Option) and p.name not in SKIPPED]


def value_of(option: click.Option, rng: random.Random, command: str) -> str:
    """A value of the option's type: mostly usual, sometimes at an edge."""
    edge = rng.random() < 0.12
    kind = option.type
    if isinstance(kind, click.Choice):
        return str(rng.choice(list(kind.choices)))
    name = str(option.name)
    if not edge and (command, name) in WORDS:
        return rng.choice(WORDS[command, name])
    if isinstance(kind, click.IntRange | click.types.IntParamType) or kind.name == "integer":
        return str(rng.choice([0, 1, 10**9, 2**63, -1, *DIGITS]) if edge else rng.randrange(*USUAL.get(name, (1, 12))))
    if kind.name.startswith("float"):
        return str(rng.choice([0.0, 1e-300, 1e300, "nan", "inf", -1.0]) if edge else rng.choice([0.1, 0.25, 0.5, 0.9]))
    if name in ("selectors", "selector_name"):
        picked = rng.sample(NAMES, 1 if name != "selectors" else rng.randrange(1, 4))
        return ",".join(picked)
    if "budget" in name:
        return ",".join(map(str, sorted(rng.sample([4, 8, 12, 16], rng.randrange(1, 3)))))
    if name in ("pin", "exclude"):
        if edge and rng.random() < 0.3:
            return rng.choice(DIGITS)
        return ",".join(map(str, rng.sample(range(RECORDS + 20) if edge else POOL[name], rng.randrange(1, 4))))
    if name == "target":
        return rng.choice(
            [
                "topic=a",
                "topic=b",
                "records=0-9",
                "records=3,5,7",
                *(["topic=zzz", "records=x", "records=²", "/nowhere", "="] if edge else []),
            ]
        )
    if name in ("set", "settings"):
        usual = "sigma2=0.5" if command == "select" else "token_od.sigma2=2"
        return rng.choice([usual, usual, usual, *(["sigma2=0", "sigma2=nan", "x", "a.b=c"] if edge else [])])
    return rng.choice(["8", "0.5", "x", "8,4", "1,2"] if edge else ["8", "4", "4,8"])


def given(words: list[str], rng: random.Random) -> list[str]:
    out: list[str] = []
    for option in options_of(words):
        if rng.random() < 0.16:
            flag = rng.choice([o for o in option.opts if o.startswith("--")] or option.opts)
            out += [flag] if option.is_flag else [flag, value_of(option, rng, words[0])]
    return out


def options(rng: random.Random, folder: Path, home: Path, model: Path) -> str | None:
    """One command with options; a sentence where it refuses.  Beside the model lies another that reads more at once, as a judge."""
    from fishersft import paths

    kind = rng.choices([*KINDS], [*KINDS.values()])[0]
    shutil.copytree(home, folder / "home")
    words: list[Any] = kind.split()
    texts = corpus(folder)
    if kind == "runs":
        verb = rng.choice(["list", "list", "show", "show", "check", "rm", "cancel"])
        id = rng.choice(["demo", "sweep", "teacher", "words", "zzzz"])
        return command(
            "runs", verb, *([] if verb in ("list", "check") else [id]), *(["--json"] if verb in ("list", "show", "check") else [])
        )
    if kind == "export":
        name = rng.choice(["demo", "sweep", "timing", "words", "words-tokens", "nothing"])
        format = rng.choice([*["report"] * 16, "jsonl", "csv", "parquet", "indices", "dataset", "trl", "atlas"])
        return command(
            "export", name, "--format", format, "--out", folder / rng.choice(["out", "out", "out.html", "no/such/out"])
        )
    options = given(words, rng)
    if kind in ("select", "compare", "embed", "curves teacher", "finetune"):
        words.append(texts)
        options += ["--model", str(model)]
    if kind == "judge":
        words.append("demo")
        options += ["--judge", str(model.with_name("judge"))]
    if kind == "arena":
        words.append(rng.choice([f"{texts}", f"{texts}@topic=a"]))
        options += ["--models", str(model)]
    if kind == "select" and not any("budget" in word for word in options):
        options += ["--budget", str(rng.randrange(1, 60) if rng.random() < 0.1 else rng.randrange(1, 8))]
    if kind == "compare":
        options += ["--budget", str(rng.randrange(1, 60) if rng.random() < 0.1 else rng.randrange(1, 8))]
    own = [str(word) for word in SMALL.get(kind, [])]
    own = [word for k in range(0, len(own), 2) if own[k] not in options for word in own[k : k + 2]]
    if kind.startswith("curves") or kind in ("finetune", "arena"):
        options += ["--out", str(folder / "out")]
    elif rng.random() < 0.3 and kind == "select":
        options += ["--out", str(folder / rng.choice(["p.jsonl", "p.csv", "p.parquet", "p.jsonl", "p.csv", "no/p.csv"]))]
    assert paths.home() == folder / "home"
    return command(*words, *own, *options, *(["--json"] if rng.random() < 0.5 and "--json" not in options else []))
