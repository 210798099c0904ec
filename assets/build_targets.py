"""Make `assets/evidence/targets-NAME.json`: does choosing for a target help, and which selector helps most?

    python assets/build_targets.py --shakespeare INPUT.txt --sherlock ADVS.txt --instructions DATA.json --model mini --name mini

The pool is mixed from the three files (speeches, paragraphs, instructions with their answers) and the demo corpus, with a column
`domain`.  For each target, some texts of its domain that are not in the pool are the target: half of them choose, half measure.
All selectors get as many tokens as the random draw's first n sentences and as many steps.  Reported are held-out nats a token on
the measuring half, over texts and seeds, and what was lost on the held-out texts of the whole pool.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import fishersft

TARGETS = {
    "instructions": ("instructions",),
    "sherlock": ("sherlock",),
    "shakespeare": ("shakespeare",),
    "sherlock and instructions": ("sherlock", "instructions"),
}
SELECTORS = (
    "uniform,target_matched,target_od,v_optimal,rds_plus,cross_entropy_difference,dsir,knn_kde,on_target,balanced,token_od"
)
Lines = list[dict[str, str]]


def main() -> None:
    asked = _arguments()
    rng = np.random.default_rng(0)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(asked.work or folder)
        place.mkdir(parents=True, exist_ok=True)
        pool, wishes = _mixed(_domains(asked), asked.pool, asked.texts, rng)
        _write(place / "pool.jsonl", pool)
        corpus = fishersft.load_corpus(place / "pool.jsonl", holdout=0.02)
        for name in asked.targets.split(",") if asked.targets else TARGETS:
            domains = TARGETS[name]
            texts = [line for domain in domains for line in wishes[domain][: asked.texts // len(domains)]]
            _write(place / f"{name}.jsonl", texts)
            result = fishersft.finetune(
                corpus,
                asked.model,
                target=str(place / f"{name}.jsonl"),
                selectors=asked.selectors.split(","),
                reference="uniform",
                equal="tokens",
                budgets=tuple(map(int, asked.budgets.split(","))),
                seeds=asked.seeds,
                epochs=2,
                learning_rate=asked.learning_rate,
                lora=asked.lora,
                prompts=0,
                all=False,
                out=place / name.replace(" ", "-"),
                say=print,
            )
            on = corpus.fields["domain"].isin(domains)
            picks = {model.name: model.facts.get("indices") for model in result.run.models.values()}
            share = {key: float(on[some].mean()) for key, some in picks.items() if some}
            found[name] = {**result.as_dict(), "on_target": share}
            print(f"\n{name}\n{result.markdown()}\n" + "\n".join(result.verdict), flush=True)
    for one in found.values():
        del one["about"]["cells"], one["about"]["corpus"]["source"], one["about"]["target"]["target"]
    out = Path(__file__).resolve().parent / "evidence" / f"targets-{asked.name}.json"
    out.write_text(json.dumps({"model": asked.name, "targets": found}, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("shakespeare", "sherlock", "instructions"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--name", default="mini", help="of the file that is written")
    parser.add_argument("--selectors", default=SELECTORS)
    parser.add_argument("--targets", default="")
    parser.add_argument("--budgets", default="30,85", help="sentences of the random draw, whose tokens all get")
    parser.add_argument("--pool", type=int, default=4_000, help="records that can be picked")
    parser.add_argument("--texts", type=int, default=200, help="texts of a target, half of which choose")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--work", default="", help="a folder that keeps the runs, so that a stopped one resumes")
    return parser.parse_args()


def _domains(asked: argparse.Namespace) -> dict[str, list[str]]:
    read = {
        "shakespeare": fishersft.load_corpus(asked.shakespeare, split_on="blank-line", holdout=0),
        "sherlock": fishersft.load_corpus(asked.sherlock, split_on="blank-line", holdout=0),
        "instructions": fishersft.load_corpus(asked.instructions, holdout=0),
        "demo": fishersft.load_corpus("demo", holdout=0),
    }
    return {name: [t for t in dict.fromkeys(corpus.texts) if len(t.split()) >= 5] for name, corpus in read.items()}


def _mixed(domains: dict[str, list[str]], size: int, kept: int, rng: np.random.Generator) -> tuple[Lines, dict[str, Lines]]:
    """The pool, and the texts of each domain that are kept out of it for a target."""
    pool, wishes = [], {}
    for name, texts in domains.items():
        lines = [{"text": texts[i], "domain": name} for i in rng.permutation(len(texts))]
        wishes[name], rest = lines[:kept], lines[kept:]
        pool += rest[: size // len(domains)]
    return [pool[i] for i in rng.permutation(len(pool))], wishes


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
