"""The dashboard's benchmark: what it says of a number, what it needs, and visitors who really move their budgets."""

import pytest
from click.testing import CliRunner

from fishersft.corpus.load import load_corpus
from fishersft.errors import UserError
from tests.bench import browser as bench_browser
from tests.bench.__main__ import bench, map_json
from tests.bench.dashboard import DashboardReport, Measure, crowd, figure_size
from tests.bench.texts import write_corpus

from .browsing import CHROMIUM

MACHINE = {"cpus": 2, "instructions": "AVX2", "system": "Linux x86_64", "python": "3.11", "torch": "2"}
PROBLEM = {"points": 5_000, "tokens": 9, "moves": 3, "streamlit": "1", "browser": "Chromium 1", "load_before": 0.1}


def test_a_number_stands_beside_its_target_and_a_missed_one_says_so():
    measures = (
        Measure("a", "a move", 0.2, "s", 0.15, each=(0.1, 0.2, 1.5)),
        Measure("b", "steps", 12.0, "steps/s", 10.0, more=True),
        Measure("c", "steps", 9.0, "steps/s", 10.0, more=True),
        Measure("d", "errors", 0, "", 0),
        Measure("e", "no target", 3.0, "s"),
    )
    said = DashboardReport(PROBLEM, measures, ("the page fell over",), MACHINE).markdown()
    assert "| a move | 200 ms (1.5 s), missed | at most 150 ms |" in said
    assert "| steps | 12 steps/s | at least 10 steps/s |" in said and "9 steps/s, missed" in said
    assert "| errors | 0 | at most 0 |" in said and "| no target | 3 s | - |" in said
    assert "Error: the page fell over" in said
    met = [m["met"] for m in DashboardReport(PROBLEM, measures, (), MACHINE).as_dict()["measures"]]
    assert met == [False, True, False, True, None]


def test_twenty_thousand_points_are_less_than_two_megabytes():
    measure = figure_size(map_json, 20_000)
    assert measure.met and len(measure.each) == 3 and 0.3 < measure.value < 2


def test_without_chromium_or_with_numbers_that_make_no_sense_one_sentence(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(bench_browser.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="No Chromium was found on this machine; install chromium, or set CHROMIUM"):
        bench_browser.chromium()
    found = CliRunner().invoke(bench, ["dashboard", "--points", "3"])
    assert isinstance(found.exception, UserError) and "--points must be at least 100 and was 3." in str(found.exception)


def test_generated_texts_are_the_same_every_time_and_have_topics(tmp_path):
    one, two, other = (write_corpus(tmp_path / f"{k}.jsonl", 200, seed) for k, seed in enumerate((1, 1, 2)))
    assert one.read_text() == two.read_text() != other.read_text()
    corpus = load_corpus(str(one), holdout=0)
    assert len(corpus) == 200 and corpus.categories == ["topic"]


@pytest.mark.browser
@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_visitors_move_their_budgets_at_once_without_an_error(dashboard, browser):
    times, errors = crowd(browser, dashboard, 5, lambda *_: None, rounds=2)
    assert errors == [] and len(times) == 10
