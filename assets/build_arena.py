"""Make an arena that ships: which selector is worth its tokens after fine-tuning, for a target and for none?

    python assets/build_arena.py FOLDER --shakespeare INPUT.txt --sherlock ADVS.txt --instructions DATA.json

The settings are the demo, both books (speeches, paragraphs) and the instructions with their answers, each by itself; the demo for
one of its topics; and a pool mixed from all four, with a column `domain`, for four targets: texts of a domain that are not in the
pool, half of which choose while half only measure.  FOLDER keeps the runs, so that the same command goes on where it stopped;
without them it is what ships (`assets/arenas/NAME`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

import fishersft
from fishersft.finetuning.contests import every_selector

TARGETS = {
    "like-instructions": ("instructions",),
    "like-sherlock": ("sherlock",),
    "like-shakespeare": ("shakespeare",),
    "like-sherlock-and-instructions": ("sherlock", "instructions"),
}
ALONE = ("demo", "demo@topic=law", "shakespeare.jsonl", "sherlock.jsonl", "instructions.jsonl")
Lines = list[dict[str, str]]


def main() -> None:
    asked = _arguments()
    out = asked.folder.resolve()
    out.mkdir(parents=True, exist_ok=True)
    model = str(asked.model if asked.model == "mini" else Path(asked.model).resolve())
    _write_corpora(out / "corpora", asked)
    os.chdir(out / "corpora")  # so that a setting is named by its file alone
    settings = asked.settings.split(",") if asked.settings else [*ALONE, *(f"mixed.jsonl@{name}.jsonl" for name in TARGETS)]
    found = fishersft.arena(
        settings,
        [model],
        selectors=asked.selectors.split(",") if asked.selectors else every_selector(),
        out=out,
        budgets=_numbers(asked.budgets),
        curve=_numbers(asked.curve),
        seeds=asked.seeds,
        epochs=2,
        learning_rate=asked.learning_rate,
        lora=asked.lora,
        prompts=0,
        command=_command(asked),
        all=asked.whole,
        say=lambda sentence: print(sentence, flush=True),
    )
    print(found.markdown())


def _numbers(words: str) -> tuple[int, ...]:
    return tuple(int(word) for word in words.split(",") if word)


def _command(asked: argparse.Namespace) -> list[str]:
    """The command line without the paths of this machine."""
    paths = {str(asked.folder): "FOLDER", str(asked.shakespeare): "INPUT.txt", str(asked.sherlock): "ADVS.txt"}
    paths |= {str(asked.instructions): "DATA.json", asked.model: Path(asked.model).name}
    return ["python", "assets/build_arena.py", *(paths.get(word, word) for word in sys.argv[1:])]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("shakespeare", "sherlock", "instructions"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--settings", default="", help="some of them, by their words: demo, mixed.jsonl@sherlock.jsonl")
    parser.add_argument("--selectors", default="")
    parser.add_argument("--budgets", default="60", help="sentences of the random draw, whose tokens all get")
    parser.add_argument("--curve", default="15,30,120,240", help="budgets at which only the random draw is tuned")
    parser.add_argument("--pool", type=int, default=4_000, help="records of the mixed pool")
    parser.add_argument("--texts", type=int, default=200, help="texts of a target, half of which choose")
    parser.add_argument("--held-out", type=int, default=150, help="held-out texts of each corpus")
    parser.add_argument("--most", type=int, default=3_000, help="records of a corpus by itself")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--whole", action="store_true", help="also tune on each whole pool")
    return parser.parse_args()


def _write_corpora(folder: Path, asked: argparse.Namespace) -> None:
    """The corpora as files with a column `split`, the same whenever they are written."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    plain = {"split_on": "blank-line", "holdout": 0}
    read = {
        "shakespeare": fishersft.load_corpus(asked.shakespeare, **plain).texts,
        "sherlock": fishersft.load_corpus(asked.sherlock, **plain).texts,
        "demo": fishersft.load_corpus("demo", holdout=0).texts,
    }
    records: dict[str, Lines] = {
        name: [{"text": t, "domain": name} for t in dict.fromkeys(texts) if len(t.split()) >= 5] for name, texts in read.items()
    }
    records["instructions"] = [
        {**{key: str(one.get(key, "")) for key in ("instruction", "input", "output")}, "domain": "instructions"}
        for one in json.loads(asked.instructions.read_text(encoding="utf-8"))
    ]
    mixed, wanted = Lines(), dict[str, Lines]()
    for name, lines in records.items():
        drawn = [lines[i] for i in rng.permutation(len(lines))]
        if name != "demo":
            _write(folder / f"{name}.jsonl", _split(drawn[: asked.most + asked.held_out], asked.held_out))
        as_texts = [{"text": one.get("text") or _in_one(one), "domain": name} for one in drawn]
        wanted[name], rest = as_texts[: asked.texts], as_texts[asked.texts :]
        share = _split(rest[: (asked.pool + asked.held_out) // len(records)], asked.held_out // len(records))
        mixed += share
    _write(folder / "mixed.jsonl", [mixed[i] for i in rng.permutation(len(mixed))])
    for target, domains in TARGETS.items():
        _write(folder / f"{target}.jsonl", [line for d in domains for line in wanted[d][: asked.texts // len(domains)]])


def _in_one(one: dict[str, str]) -> str:
    return "\n".join(one[key] for key in ("instruction", "input", "output") if one[key])


def _split(lines: Lines, held_out: int) -> Lines:
    return [{**one, "split": "test" if i < held_out else "train"} for i, one in enumerate(lines)]


def _write(path: Path, lines: Lines) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
