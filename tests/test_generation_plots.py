"""Figures of fine-tuned models hold the numbers they are given, and no markup of a stranger."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.run import read_run
from fishersft.judge.base import Verdict
from fishersft.judge.report import Judged, Report
from fishersft.plots import generations as gp
from fishersft.plots.base import style

from .tuned_run import tuned_run


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tuned_run(tmp_path_factory.mktemp("runs") / "r", budgets=(50, 200), seeds=(0, 1))
    return FineTuneResult(read_run(folder)).lines


def report():
    won = {("token_od", "uniform"): "aaab", ("token_od", "longest"): "abbb", ("uniform", "longest"): ["a", "b", "tie", "tie"]}
    return Report(tuple(Judged(a, b, 50, 0, k, Verdict(w, "asked")) for (a, b), ws in won.items() for k, w in enumerate(ws)))


@pytest.mark.parametrize("measure", gp.MEASURES)
@pytest.mark.parametrize("shown", gp.MINUS)
def test_a_line_goes_through_the_results_own_numbers(lines, measure, shown):
    fig = gp.held_out_figure(lines, measure, shown)
    drawn = {t.name: t for t in fig.data if t.name}
    for one in lines:
        group = getattr(one, gp.MINUS[shown])
        if measure in group:
            trace = drawn[one.label]
            at = list(trace.x).index(one.budget) if one.budget else 0
            assert trace.y[at] == group[measure].value
    assert drawn["Token Od"].line.color == style("token_od")[0]
    assert drawn["Token Od"].marker.symbol == "circle"


def test_against_tokens_the_axis_is_what_a_selector_really_spent(lines):
    fig = gp.held_out_figure(lines, against="tokens")
    tuned = next(t for t in fig.data if t.name == "Token Od")
    assert list(tuned.x) == [41 * 50, 41 * 200]
    assert fig.layout.xaxis.title.text == "tokens of a selection"


def test_one_budget_has_error_bars_where_a_band_would_have_no_width(lines):
    fig = gp.held_out_figure([one for one in lines if one.budget in (50, None)])
    tuned = next(t for t in fig.data if t.name == "Token Od")
    e = next(one for one in lines if one.selector == "token_od" and one.budget == 50).values["mean"]
    assert tuned.error_y.array[0] == pytest.approx(e.high - e.value)


def test_the_matrix_shows_each_rate_with_its_interval_and_mirrors_it():
    told = report().matrix
    cells = gp.matrix_figure(told, {"token_od": "TokenOD"}).data[0]
    names = list(cells.y)
    row, column = names.index("TokenOD"), names.index("uniform")
    assert cells.z[row][column] == 75
    assert cells.z[column][row] == 25
    rate = told["token_od"]["uniform"]
    assert cells.text[row][column] == f"<b>75%</b><br>{100 * rate.low:.0f} to {100 * rate.high:.0f}"
    assert cells.z[row][row] is None


def test_the_ranking_has_the_strongest_on_top_with_its_interval():
    told = report().ranking
    fig = gp.ranking_figure(told, {})
    assert [t.y[0] for t in fig.data] == [s.name for s in told]
    assert fig.data[0].x[0] == max(s.value for s in told)
    assert fig.data[0].error_x.array[0] == pytest.approx(told[0].high - told[0].value)


def test_win_rates_turn_around_with_the_selector_and_the_papers_are_hollow():
    lines = report().lines
    ours = gp.win_figure(lines, "uniform", {}, {}).data
    assert {t.name: t.y[0] for t in ours} == {"against token_od": 25, "against longest": 50}
    both = gp.win_figure(lines, "token_od", {}, {"uniform": {100: 0.8}, "density": {100: 0.61}}).data
    paper = [t for t in both if t.name.startswith("the paper's")]
    assert [list(t.y) for t in paper] == [[80.0], [61.0]]
    assert all(t.marker.symbol.endswith("-open") for t in paper)


def test_labels_of_a_stranger_are_escaped_and_at_most_so_many_losses_are_drawn(lines):
    evil = [replace(one, label="<b onclick=x>$y$</b>") for one in lines]
    for fig in (gp.held_out_figure(evil), gp.matrix_figure(report().matrix, {"token_od": "<img src=x>"})):
        assert "<img" not in fig.to_json().replace("\\u003c", "<")
        assert "<b on" not in fig.to_json().replace("\\u003c", "<")
    many = {f"<i>{k}</i>-50-s0": [(1, 4.0), (2, 3.5)] for k in range(30)}
    fig = gp.losses_figure(many)
    assert len(fig.data) == gp.MOST_LOSSES
    assert all("<i>" not in t.name for t in fig.data)
    assert np.allclose(fig.data[0].y, [4.0, 3.5])
    json.loads(fig.to_json())
