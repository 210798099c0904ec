"""The menu of downloads on the Runs page: every form is offered, says what it is, and refuses in a sentence."""

import pytest

from fishersft import catalogue, embed, load_corpus, select
from fishersft.export import formats
from fishersft.pipeline.selections import load_kept, save_selection
from fishersft.ui.downloads import LABELS, REPORT

from .test_pages import open_page, text_of
from .test_reports import measured


@pytest.fixture
def kept(jsonl):
    corpus = load_corpus(jsonl, holdout=0)
    return load_kept(save_selection(corpus, embed(corpus), select(corpus, budget=3)))


def buttons(at):
    return [b.proto.label for b in at.get("download_button")]


def test_every_form_has_a_place_in_the_menu_and_says_what_it_is_and_what_opens_it(kept):
    assert set(LABELS) == {*formats.FORMATS, REPORT}
    at = open_page("runs", run=kept.id)
    menu = at.selectbox(key=f"run-{kept.id}-format")
    assert menu.options == list(LABELS.values())
    for format in LABELS:
        at.selectbox(key=f"run-{kept.id}-format").set_value(format).run()
        assert not at.exception, format
        assert not at.error
        assert buttons(at) == ["Download"]
        known = formats.FORMATS.get(format)
        assert (known.what if known else "one HTML page") in text_of(at)
    at.selectbox(key=f"run-{kept.id}-format").set_value("atlas").run()
    assert at.code[0].value == "embedding-atlas token_od-3-atlas.parquet --text text --x x --y y"
    assert f"fishersft export {kept.id}" in at.code[1].value


def test_a_corpus_that_is_gone_is_a_sentence_and_the_other_forms_stay(kept, jsonl):
    jsonl.unlink()
    at = open_page("runs", run=kept.id)
    at.selectbox(key=f"run-{kept.id}-format").set_value("atlas").run()
    assert "There is no file" in at.error[0].value
    assert not buttons(at)
    for format in ("dataset", REPORT):
        at.selectbox(key=f"run-{kept.id}-format").set_value(format).run()
        assert buttons(at) == ["Download"]
        assert not at.error


def test_runs_of_other_kinds_have_a_report(tmp_path):
    measured(tmp_path / "home" / "runs" / "abc123")
    assert "Report" in buttons(open_page("runs", finetuned="abc123"))
    assert "Report" in buttons(open_page("runs", result=catalogue.contents(catalogue.CURVES)[0].id))
