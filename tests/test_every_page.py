"""Every page in every state of what lies behind it: nothing there yet, the demo, an upload, and a store that has gone bad."""

import json
import shutil

import pytest
import streamlit as st

from fishersft import Store, embed, load_corpus, select
from fishersft.pipeline.selections import save_selection
from fishersft.ui.address import PAGES

from .judged_run import make_run
from .test_pages import open_page, text_of

LINES = [f"The town of number {n} lies {n} miles from the sea." for n in range(12)]


def uploaded(name="my places.jsonl"):
    data = "".join(json.dumps({"text": line, "topic": "ab"[n % 2]}) + "\n" for n, line in enumerate(LINES)).encode()
    return Store.default().keep_upload(data, ".jsonl", name)


@pytest.mark.parametrize("page", PAGES)
def test_where_nothing_is_computed_yet_it_says_what_to_do_next(page):
    path = uploaded()
    at = open_page(page, corpus=f"upload:{path.name}")
    said = text_of(at)
    assert not at.error, [e.value for e in at.error]
    if page in ("explore", "compare"):
        assert "has no embeddings under this model yet" in said
        assert [b.label for b in at.button] == ["Go to the Corpus page"]
    if page == "corpus":
        assert any(b.label.startswith("Embed") for b in at.button)


@pytest.mark.parametrize("page", PAGES)
def test_the_demo_is_there_for_whoever_comes_first(page):
    at = open_page(page)
    assert not at.error and not at.warning
    assert (
        at.get("plotly_chart")
        or at.dataframe
        or [c for c in at.get("bidi_component") if c.proto.json or c.proto.mixed.json]
        or page == "runs"
    )


@pytest.mark.parametrize("page", PAGES)
def test_an_upload_is_shown_by_its_own_name(page):
    path = uploaded()
    embed(load_corpus(str(path)))
    at = open_page(page, corpus=f"upload:{path.name}")
    assert not at.error and not at.warning
    if page in ("explore", "compare", "corpus"):
        assert "my places.jsonl" in text_of(at)
    assert path.stem not in text_of(at)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"\x00not what it was\xff"], ids=["cut", "other"]
)
def test_a_store_whose_files_are_damaged_is_no_traceback_on_any_page(page, damage, home):
    path = uploaded()
    corpus = load_corpus(str(path))
    picks = select(corpus, budget=4)
    save_selection(corpus, embed(corpus), picks)
    make_run(home / "runs" / "finetune-abc123", model=False)
    shutil.copytree(next((home / "runs").iterdir()), home / "runs" / "finetune-abc124")
    open_page(page, corpus=f"upload:{path.name}")  # whatever it writes is there too
    for file in [p for p in home.rglob("*") if p.is_file() and p.parent.name != "uploads" and p.suffix != ".lock"]:
        file.write_bytes(damage(file.read_bytes()))
    st.cache_data.clear()
    st.cache_resource.clear()
    at = open_page(page, corpus=f"upload:{path.name}")
    if page in ("explore", "compare"):
        assert at.error or "has no embeddings" in text_of(at)
    again = open_page(page)  # the demo lies elsewhere and is whole
    assert page in ("generations", "runs") or not again.error  # those two tell of the damaged runs
