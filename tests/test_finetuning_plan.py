"""A plan is made from parameters by name, is written down as before, and its cost is worked out before it runs."""

import json

import numpy as np
import pytest

from fishersft import paths
from fishersft.corpus.load import load_corpus
from fishersft.errors import ParameterError
from fishersft.finetuning.plan import PASSES, STARTING, Speed, cost_of, make_plan, manifest_of
from fishersft.lm.folder import find_model
from fishersft.pipeline.embed_and_select import load_pool
from fishersft.selectors import make_selector, make_selectors


def test_a_plan_is_written_down_as_the_version_that_made_the_shipped_run_wrote_it():
    """Otherwise nobody could add to a run or resume it; only steps are said anew, since that run's were whole sentences."""
    about = json.loads((paths.asset("runs") / "demo" / "run.json").read_text())["about"]
    corpus, folder = load_corpus("demo"), find_model("mini")
    plan = make_plan(
        make_selectors(["token_od", "uniform", "longest", "matched_od"]),
        budgets="50,100,200",
        equal="tokens",
        seeds=2,
        prompts=30,
    )
    assert manifest_of(corpus, folder, plan, 256, load_pool(corpus, folder), about["command"]) == {
        **about,
        "steps": "equal parts",
    }


def test_values_and_texts_make_the_same_plan_and_an_unknown_name_is_refused():
    selectors = make_selectors(["uniform"])
    assert make_plan(selectors, budgets="20,50", seeds="2", lora="true") == make_plan(
        selectors, budgets=(20, 50), seeds=2, lora=True
    )
    with pytest.raises(ParameterError, match="no parameter 'speed'; it has budgets, equal, .* learning_rate, .* prompts"):
        make_plan(selectors, speed=3)


def test_the_cost_of_a_plan_worked_out_by_hand():
    plan = make_plan(
        (make_selector("token_od"), make_selector("uniform")),
        budgets=(2,),
        learning_rate=1e-4,
        epochs=3,
        prompts=33,
        new_tokens=10,
    )
    pool, held_out = np.array([10, 2, 6, 2]), np.array([7, 3])
    cost = cost_of(plan, pool, held_out, Speed(tokens=100.0, step=0.5))
    assert cost.models == 4  # untuned, two selections, the whole pool
    assert cost.least == 3 * (2 * 2 * 5 + 20)  # two sentences of 5 on average, twice, and all
    assert cost.most == 3 * (2 * 16 + 20)  # the longest two have 16
    rest = 4 * (STARTING + 10 / 100 + 2 * 10 * 0.5)  # 33 prompts are two batches
    assert cost.seconds == pytest.approx((rest + PASSES * 1.2, rest + PASSES * 1.56))


def test_finding_the_learning_rate_costs_more_and_so_do_more_seeds():
    def seconds(**more):
        plan = make_plan((make_selector("uniform"),), budgets=(20,), **more)
        return cost_of(plan, np.full(100, 30), np.full(10, 30), Speed(1000.0, 0.01)).seconds[0]

    assert seconds() > seconds(learning_rate=1e-4)
    assert seconds(seeds=2, learning_rate=1e-4) > seconds(learning_rate=1e-4)
