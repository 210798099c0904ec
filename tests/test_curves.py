"""`fishersft curves`: files, the way back from a result to its command, times, figures, and one sentence for each mistake."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from fishersft.commands.curves import curves
from fishersft.design.trajectory import Curve
from fishersft.errors import BudgetError, UserError
from fishersft.experiments.experiment import Experiment, Sweep
from fishersft.experiments.fits import fits_of
from fishersft.experiments.result import MEASURES, read_curves
from fishersft.experiments.summaries import constant_sentence, curves_markdown, standing_of, three, with_interval, worth_sentences
from fishersft.experiments.timing import evaluations, time_greedy
from fishersft.experiments.worlds import Synthetic
from fishersft.export.curves_report import curves_page
from fishersft.export.html import Table
from fishersft.plots.curves import error_figure, share_y, timing_figure

TINY = [
    "--dimension",
    "3",
    "--classes",
    "3",
    "--sentences",
    "60",
    "--runs",
    "2",
    "--workers",
    "1",
    "--selectors",
    "token_od,uniform",
]


def call(*arguments):
    """What a command prints; errors as they are raised."""
    return CliRunner().invoke(curves, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False).stdout


@pytest.fixture
def asked(monkeypatch):
    """What commands ask to measure; nothing is measured."""
    made = []
    monkeypatch.setattr("fishersft.measure_curves", lambda experiment, **_: made.append(experiment))
    monkeypatch.setattr("fishersft.curves_summary", lambda result: {})
    monkeypatch.setattr("fishersft.curves_markdown", lambda result: "")
    return made


@pytest.fixture
def folder(tmp_path):
    call("synthetic", *TINY, "--budgets", "5,20", "--features", "clustered", "--out", tmp_path / "out")
    return tmp_path / "out"


def test_a_folder_gets_csv_json_html_and_records(folder):
    assert sorted(p.name for p in folder.iterdir() if p.name[0] != ".") == [
        "curves.csv",
        "curves.html",
        "curves.json",
        "records.jsonl",
    ]
    table, summary = pd.read_csv(folder / "curves.csv"), json.loads((folder / "curves.json").read_text())
    assert table[["selector", "n"]].to_numpy().tolist() == [["token_od", 5], ["token_od", 20], ["uniform", 5], ["uniform", 20]]
    np.testing.assert_allclose(table["maximum"], [row["maximum"] for row in summary["table"]])
    assert summary["fits"]["slopes"]["token_od"]["value"] < 0
    html = (folder / "curves.html").read_text(encoding="utf-8")
    assert "Plotly.react" in html
    assert 'src="http' not in html  # self-contained
    result = read_curves(folder)
    tables = {table.caption: table for part in curves_page(result).parts for table in part.blocks if isinstance(table, Table)}
    against = next(table for caption, table in tables.items() if caption.startswith("Against Uniform"))
    fits = fits_of(result)
    times, ratio = fits.ratios["token_od"][0], fits.paired["token_od"][0].ratio
    assert against.rows[0][:4] == ("TokenOD", "5", f"{with_interval(times)} times", with_interval(ratio))


def test_the_command_told_makes_the_same_result(folder, tmp_path):
    told = shlex.split(json.loads((folder / "curves.json").read_text())["command"])
    assert told[:3] == ["fishersft", "curves", "synthetic"]
    call(*told[2:], "--workers", "1", "--out", tmp_path / "again")
    assert (tmp_path / "again" / "curves.csv").read_bytes() == (folder / "curves.csv").read_bytes()


def test_the_same_command_again_makes_nothing_again(folder):
    before = (folder / "records.jsonl").read_bytes()
    call("synthetic", *TINY, "--budgets", "5,20", "--features", "clustered", "--out", folder)
    assert (folder / "records.jsonl").read_bytes() == before


def test_json_is_one_object_on_standard_output():
    summary = json.loads(call("synthetic", *TINY, "--budgets", "5", "--equal", "tokens", "--json"))
    assert summary["settings"]["equal"] == "tokens"
    assert summary["out"] is None


def test_the_markdown_table_says_maximum_and_mean(folder):
    result = read_curves(folder)
    worst, mean = (float(result.each("token_od", m)[:, 1].mean()) for m in ("maximum", "mean"))
    assert f"| 20 | {worst:.3g} ({mean:.3g}) |" in curves_markdown(result)


def test_what_is_read_off_the_curves_is_told_in_words_under_the_tables(folder):
    result = read_curves(folder)
    fits, told = fits_of(result), curves_markdown(result)
    for sentence in (standing_of(result).sentence(), *worth_sentences(result, fits), constant_sentence(result, fits)):
        assert sentence
        assert sentence in told
    slope = fits.slopes["uniform"]
    assert f"| Uniform | {three(slope.value)} ({three(slope.low)} to {three(slope.high)}) |" in told


@pytest.mark.parametrize(
    ("world", "changes"),
    [
        (Synthetic(), {}),
        (Synthetic(features="power_law", power=1.5, sentences=500), {"budgets": (5, 400), "seed": 3, "ridge": 0.5}),
        (Synthetic(median_length=4.0), {"equal": "tokens", "selectors": ("uniform",), "parameters": ("token_od.sigma2=2",)}),
    ],
)
def test_an_experiments_arguments_make_that_experiment(world, changes, asked):
    plan = Experiment(world=world, **changes)
    call(*plan.arguments()[1:])
    assert asked == [plan]


def test_a_sweeps_arguments_make_that_sweep(asked):
    for plan in (
        Sweep(Experiment(budgets=(1_000,))),
        Sweep(Experiment(budgets=(200,), runs=2), dimensions=(5, 10), classes=()),
        Sweep(Experiment(budgets=(200,)), dimensions=(), classes=(3, 4)),
    ):
        call(*plan.about.arguments[1:])
        assert asked[-1].about == plan.about


def test_a_sweep_is_written_drawn_and_told(tmp_path):
    plan = ["--budgets", "10", "--sweep", "both", "--sweep-dimensions", "2,3", "--sweep-classes", "3,4"]
    out = call("synthetic", *TINY, *plan, "--out", tmp_path)
    assert out.count("\n| 3 | 4 |") == 1
    result = read_curves(tmp_path)
    assert result.along("dimension", "uniform").x.tolist() == [2, 3]
    assert result.along("classes", "uniform").x.tolist() == [3, 4]
    figure = error_figure(result, over="classes", log=False)
    assert figure.layout.xaxis.title.text == "classes L"
    assert "classes L" in curves_page(result).html()


def test_a_figure_has_a_line_a_band_and_guides(folder):
    result = read_curves(folder)
    figure = error_figure(result)
    names = [t.name for t in figure.data if t.showlegend is not False]
    c = three(fits_of(result).constant)
    assert names == ["TokenOD", "Uniform", "slope -0.5", "slope -0.3", f"the bound's shape, {c}·dL/√n, {c} fitted"]
    line = next(t for t in figure.data if t.name == "TokenOD")
    curve = result.curve("token_od")
    np.testing.assert_allclose(line.y, curve.mean)
    np.testing.assert_allclose(line.customdata, np.stack([curve.low, curve.high], axis=1))
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert error_figure(result, log=False).layout.xaxis.type is None


def test_charts_side_by_side_get_one_axis_that_holds_both_and_marks_within_it(folder):
    result = read_curves(folder)
    one, other = error_figure(result, "maximum"), error_figure(result, "mean")
    share_y([one, other])
    assert one.layout.yaxis.range == other.layout.yaxis.range
    low, high = (10**v for v in one.layout.yaxis.range)
    for name in result.selectors:
        for measure in ("maximum", "mean"):
            assert low < result.curve(name, measure).mean.min() <= result.curve(name, measure).mean.max() < high
    assert len(one.layout.yaxis.tickvals) >= 4
    assert all(low <= mark <= high for mark in one.layout.yaxis.tickvals)


@pytest.mark.parametrize(
    ("values", "bare"),
    [((50, 100, 200, 300, 500, 1_000, 1_500, 2_000), {1_500}), ((20, 30, 40, 50), set()), ((5, 10, 20, 30, 40), set())],
)
def test_only_labels_without_room_are_left_out(values, bare):
    from fishersft.plots.curves import _lines

    line = Curve("a line", np.array(values), np.ones(len(values)), "n", "error")
    axis = _lines([("uniform", line)], log=True, dark=False, height=400, y_log=False).layout.xaxis
    assert {x for x, text in zip(axis.tickvals, axis.ticktext, strict=True) if not text} == bare


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_can_be_drawn_in_the_dark(folder, measure):
    figure = error_figure(read_curves(folder), measure, dark=True, selectors=["uniform"])
    assert figure.layout.yaxis.title.text == MEASURES[measure]
    assert "Uniform" in [t.name for t in figure.data]


def test_algorithm_1_and_the_fast_one_pick_the_same_and_what_was_not_measured_says_so():
    world = Synthetic(sentences=60, dimension=3)
    whole = time_greedy(world, (5, 20), box=60.0)
    assert whole.measured == [True, True]
    assert (whole.picks, whole.same) == (20, 20)
    cut = time_greedy(Synthetic(sentences=2_000, dimension=3), (1, 1_000), box=0.01)
    assert not cut.measured[1]
    assert "extrapolated" in cut.note
    # from its evaluations: the work of 1,000 picks over that of 1
    assert cut.slow[1] / cut.slow[0] == pytest.approx(evaluations(1_000, 2_000) / 2_000, rel=0.5)
    assert [t.name for t in timing_figure(cut).data][-1] == "Algorithm 1, extrapolated"
    with pytest.raises(BudgetError, match="1 to 60"):
        time_greedy(world, (61,))


def test_algorithm_1_evaluates_who_is_left():
    assert evaluations(3, 10) == 10 + 9 + 8


def test_timing_writes_json_and_html_and_a_table(tmp_path):
    out = call("timing", "--sentences", "50", "--dimension", "3", "--box", "5", "--out", tmp_path)
    assert out.startswith("| n | fast greedy, s |")
    assert json.loads((tmp_path / "timing.json").read_text())["budgets"] == [10, 50]
    assert (tmp_path / "timing.html").exists()
    assert json.loads(call("timing", "--sentences", "20", "--dimension", "3", "--box", "5", "--json"))["budgets"] == [10]


def test_words_from_a_file_and_a_teacher_on_a_corpus(tmp_path):
    rng = np.random.default_rng(0)
    vectors = tmp_path / "v.txt"
    vectors.write_text("".join(f"w{i} {' '.join(f'{x:.4f}' for x in rng.normal(size=5))}\n" for i in range(50)))
    summary = json.loads(call("words", "--vectors", vectors, *TINY, "--budgets", "5", "--json"))
    assert summary["settings"]["world"]["source"] == "v.txt"
    assert f"--vectors {vectors}" in summary["command"]
    texts = tmp_path / "t.txt"
    texts.write_text("".join(f"number {i} of the list, and its square is {i * i}\n" for i in range(60)))
    plan = [
        "--dimension",
        "4",
        "--classes",
        "3",
        "--runs",
        "2",
        "--selectors",
        "token_od,uniform",
        "--budgets",
        "5",
        "--workers",
        "1",
    ]
    summary = json.loads(call("teacher", texts, "--holdout", "0", *plan, "--json"))
    assert summary["settings"]["world"]["model"] == "mini"
    assert summary["command"].startswith(f"fishersft curves teacher {texts} --holdout 0.0 --dimension 4 --classes 3")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["synthetic", "--budgets", "50,4000"], "The budget of 4,000 sentences is above the pool of 3,000"),
        (["synthetic", "--budgets", "5 0,x"], "--budgets takes whole numbers"),
        (["synthetic", "--classes", "1"], "'classes' of 'synthetic' must be a whole number of at least 2"),
        (["synthetic", "--dimension", "0"], "'dimension' of 'synthetic' must be a whole number of at least 1"),
        (["synthetic", "--sentences", "10000000000"], "lower --sentences"),
        (["synthetic", "--sweep", "both", "--budgets", "5,6"], "one budget"),
        (["synthetic", "--sweep", "both", "--sweep-dimensions", ""], "at least one value"),
        (["synthetic", "--selectors", "nobody"], "no selector 'nobody'"),
        (["words", "--vectors", "/nowhere/v.txt"], "cannot be read"),
        (["timing", "--budgets", "6000"], "1 to 5,000"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        call(*arguments)


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path):
    there = tmp_path / "x"
    there.write_text("mine")
    with pytest.raises(UserError, match="must be a folder"):
        call("synthetic", *TINY, "--budgets", "5", "--out", there)
    assert there.read_text() == "mine"
