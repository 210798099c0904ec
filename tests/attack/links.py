"""Deep links of every page, whose values are usual, at the edge, of another kind, or hostile."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.attack.files import ODD

USUAL: dict[str, tuple[str, ...]] = {
    "selector": ("token_od", "uniform", "longest", "density", "target_matched", "perplexity"),
    "selectors": ("token_od,longest", "uniform", "token_od"),
    "unit": ("sentences", "tokens", "percent"),
    "equal": ("sentences", "tokens"),
    "map": ("PCA", "UMAP"),
    "part": ("Picks", "Sets", "What if", "Numbers", "Save and repeat", "Records", "Scores"),
    "section": ("Results", "Read", "Vote", "Win rates", "Set up"),
    "run": ("demo",),
    "show": ("jobs", "selections", "curves", "generations"),
    "result": ("sweep", "words", "timing", "teacher"),
    "experiment": ("Two worlds", "synthetic", "words", "teacher", "timing"),
    "lesson": ("greedy", "ellipse", "lemma", "pools", "gains"),
    "corpus": ("demo", "upload:0123456789abcdef.jsonl", "/etc/passwd", "../x", "hf:a/b"),
    "model": ("mini", "/etc", "../mini"),
    "target": ("topic=law", "records=0-20", "upload:0123456789abcdef.jsonl", "/etc/passwd"),
    "set": ("abcd", "0123456789ab"),
    "lasso": ("0-30", "5", "3,1-2", "0-1388"),
    "pin": ("1,2", "0", "1388"),
    "exclude": ("3", "4,5,6"),
    "view": ("map", "gain"),
    "colour": ("topic", "tokens", "n"),
}
HOSTILE = (
    *ODD,
    "-1",
    "0",
    "1e999",
    "nan",
    "9" * 30,
    "9" * 5_000,
    "²",
    "²-²",
    "٣",
    "1,",
    ",",
    "a" * 5_000,
    "%00",
    "'; rm -rf /",
    "__import__('os')",
    "../../etc",
)


def value(name: str, rng: random.Random) -> str:
    if name in USUAL and rng.random() < 0.6:
        return rng.choice(USUAL[name])
    return rng.choice([*(str(n) for n in (1, 5, 20, 100, 5_000)), "true", "false", *HOSTILE]).encode("utf-8", "replace").decode()


def link(rng: random.Random) -> tuple[str, dict[str, str]]:
    from fishersft.ui.address import OURS, PAGES

    page = rng.choice(list(PAGES))
    own = rng.sample(sorted(PAGES[page]), min(len(PAGES[page]), rng.randrange(0, 5)))
    names = [*own, *rng.sample(OURS, rng.choice([0, 0, 1, 2])), *rng.sample(["x", "record", "q", "embed"], rng.choice([0, 0, 1]))]
    return page, {name: value(name, rng) for name in names}


def follow(page: str, address: dict[str, str]) -> str | None:
    """Open a link; the sentence of the first refusal on the page, and an AssertionError where it shows what it should not."""
    from streamlit.testing.v1 import AppTest

    from tests.attack.folders import ROOT

    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=100)
    for key, text in address.items():
        at.query_params[key] = text
    if page != "explore":
        at.switch_page(f"pages/{page}.py")
    at.run()
    shown: list[Any] = list(at.exception)
    assert not shown, (page, address, shown[0].message, shown[0].stack_trace[-3:])
    said = [str(element.value) for element in (*at.error, *at.warning)]  # a warning says what of the link was not understood
    assert not [text for text in said if "Traceback" in text], (page, address, said)
    return str(at.error[0].value).replace("\n", " ") if at.error else None


def deep_link(rng: random.Random, folder: Path) -> str | None:
    said = follow(*link(rng))
    return None if said is None else f"The page says: {said[:500]}"
