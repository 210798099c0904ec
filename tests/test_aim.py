"""A target in words: what it takes from the pool, which half chooses, and what is said of one that cannot be used."""

import json
import tracemalloc

import numpy as np
import pytest

import fishersft
from fishersft import Budget
from fishersft.errors import CorpusError, ParameterError, UserError
from fishersft.export.provenance import command_of, python_of
from fishersft.pipeline.aim import positions_of, written
from fishersft.pipeline.selections import load_kept
from fishersft.scoring.comparison import scorer_of
from fishersft.scoring.interpolation import pick_path

from .conftest import command_line

SUMS = [f"Add {a} to {b} and you have {a + b}." for a, b in ((3, 9), (14, 5), (21, 30), (8, 77), (65, 4), (12, 12))]


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    path = tmp_path_factory.mktemp("target") / "sums.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in SUMS))
    return path


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_half_chooses_and_half_measures_and_none_does_both(sums):
    pool = fishersft.load_pool("demo", "mini", target=str(sums))
    target = pool.target
    assert (len(target.choosing), len(target.measuring)) == (3, 3)
    assert sorted([*target.choosing.index, *target.measuring.index]) == list(range(6))
    other = fishersft.load_pool("demo", "mini", target=str(sums), target_seed=1).target
    assert other.choosing.index.tolist() != target.choosing.index.tolist()
    assert other.key != target.key


def test_a_value_of_a_column_leaves_the_pool_with_its_records():
    whole = fishersft.load_pool("demo", "mini")
    pool = fishersft.load_pool("demo", "mini", target="topic=law")
    topics = pool.corpus.fields["topic"]
    assert not (topics[pool.index] == "law").any()
    target = pool.target
    assert (topics[target.choosing.index] == "law").all() and (topics[target.measuring.index] == "law").all()
    assert not set(target.choosing.index) & set(target.measuring.index)
    assert target.facts["left_the_pool"] == (topics[whole.index] == "law").sum()
    assert target.facts["choosing"] + target.facts["measuring"] + target.facts["repeated"] == target.facts["given"]


def test_half_of_the_records_of_a_region_stay_in_the_pool():
    whole = fishersft.load_pool("demo", "mini")
    region = whole.index[:40]
    pool = fishersft.load_pool("demo", "mini", target=f"records={written(region)}")
    aimed = {*pool.target.choosing.index, *pool.target.measuring.index}
    assert aimed <= set(region) and not aimed & set(pool.index)
    assert len(set(region) & set(pool.index)) >= 20 - pool.target.facts["near_duplicates"]


def test_rows_and_losses_of_the_smaller_pool_are_those_of_the_whole():
    whole, pool = fishersft.load_pool("demo", "mini"), fishersft.load_pool("demo", "mini", target="topic=law")
    place = {int(record): position for position, record in enumerate(whole.index)}
    for position in (0, 17, len(pool) - 1):
        there = place[int(pool.index[position])]
        assert np.array_equal(pool.embeddings.block(position), whole.embeddings.block(there))
        assert np.allclose(pool.statistics().mean_losses[position], whole.statistics().mean_losses[there])
        assert np.allclose(pool.losses(np.array([position])), whole.losses(np.array([there])))
    assert pool.embeddings.key != whole.embeddings.key


def test_twins_of_measuring_texts_leave_the_pool_and_are_counted(tmp_path, sums):
    others = [f"A note of no great length about the weather on day {i}, with rain and wind {i * 7}." for i in range(80)]
    corpus = tmp_path / "pool.jsonl"
    write(corpus, *({"text": t} for t in [*others, *(s.upper() for s in SUMS)]))
    pool = fishersft.load_pool(fishersft.load_corpus(corpus, holdout=0), "mini", target=str(sums))
    measured = set(pool.target.measuring.index.tolist())
    left = {i - len(others) for i in range(len(others), len(others) + 6)} - {i - len(others) for i in pool.index.tolist()}
    assert left == measured and pool.target.facts["near_duplicates"] == len(measured)


def test_the_same_target_twice_is_not_computed_twice(sums):
    first = fishersft.select("demo", "mini", selector="target_matched", budget=5, target=str(sums))
    again = fishersft.select("demo", "mini", selector="target_matched", budget=5, target=str(sums))
    assert first.order.seconds.tolist() == again.order.seconds.tolist()  # read from the store
    law = fishersft.select("demo", "mini", selector="target_matched", budget=5, target="topic=law")
    assert law.indices.tolist() != first.indices.tolist()


def test_one_text_only_chooses_and_nothing_measures(tmp_path):
    pool = fishersft.load_pool("demo", "mini", target=str(write(tmp_path / "one.jsonl", {"text": SUMS[0]})))
    assert (len(pool.target.choosing), pool.target.measuring) == (1, None)
    assert len(fishersft.make_selector("target_matched").select(pool, 4)) == 4


def test_a_target_in_another_language_works(tmp_path):
    path = write(
        tmp_path / "other.jsonl",
        *({"text": t} for t in ("Der Hund läuft über die Straße.", "猫は窓辺で眠る。", "Где библиотека?")),
    )
    pool = fishersft.load_pool("demo", "mini", target=str(path))
    assert len(fishersft.make_selector("v_optimal").select(pool, Budget(tokens=200)))


def test_a_target_longer_than_the_pool_works_and_is_sampled(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    path = write(tmp_path / "long.jsonl", *({"text": " ".join(rng.choice(words, 8))} for _ in range(400)))
    small = write(tmp_path / "small.jsonl", *({"text": f"A short note {i} about {words[i]}."} for i in range(20)))
    pool = fishersft.load_pool(fishersft.load_corpus(small, holdout=0), "mini", target=str(path))
    assert len(pool.target.choosing) + len(pool.target.measuring) == 200 and pool.target.facts["given"] == 400
    drawn = np.sort(np.random.default_rng(0).permutation(400)[:200]).tolist()
    assert sorted([*pool.target.choosing.index, *pool.target.measuring.index]) == drawn
    assert pool.target.corpus.pool_index.tolist() == drawn  # no others are embedded
    assert len(fishersft.make_selector("rds_plus").select(pool, 20)) == 20


def test_the_column_that_says_what_is_on_target_is_found(tmp_path):
    path = write(tmp_path / "law.jsonl", *({"text": s, "topic": "law"} for s in SUMS))
    pool = fishersft.load_pool("demo", "mini", target=str(path))
    assert (pool.target.column, pool.target.values) == ("topic", ("law",))
    on = pool.target.is_on(pool.corpus, pool.index)
    assert on.sum() == (pool.corpus.fields["topic"][pool.index] == "law").sum() > 0


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("topic=lawn", "No record of the pool has topic = lawn; there are: recipes"),
        ("colour=red", "no column 'colour'"),
        ("records=3-x", "numbers and ranges"),
        ("records=9999999", "is in the pool"),
        ("", "not an empty text"),
    ],
)
def test_a_target_that_is_not_there_gets_a_sentence(target, said):
    with pytest.raises(ParameterError, match=said):
        fishersft.load_pool("demo", "mini", target=target)


def test_files_that_cannot_be_a_target_get_a_sentence(tmp_path):
    for name, text in (("empty.jsonl", ""), ("blank.jsonl", json.dumps({"text": "  "}) + "\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError):
            fishersft.load_pool("demo", "mini", target=str(tmp_path / name))
    with pytest.raises(CorpusError, match="missing"):
        fishersft.load_pool("demo", "mini", target=str(tmp_path / "missing.jsonl"))


def test_numbers_are_written_as_they_are_read():
    for records in ([3], [1, 2, 3, 9], [0, 5, 6, 7, 8, 20]):
        assert positions_of(written(np.array(records)), np.arange(21)).tolist() == records
    assert written(np.array([9, 3, 2, 1])) == "1-3,9"


@pytest.mark.parametrize("text", ["3-9,12", "12,4-6,5-40,12", "9-3,11", "0-99999999999999999999,7", "0-3,50-60", "77", " 3 - 5 "])
def test_records_are_those_whose_numbers_lie_in_a_range(text):
    index = np.array([0, 3, 4, 7, 8, 11, 12, 30])
    ranges = [(int(low), int(high or low)) for low, _, high in (part.partition("-") for part in text.split(","))]
    inside = [k for k, number in enumerate(index) if any(low <= number <= high for low, high in ranges)]
    assert positions_of(text, index).tolist() == inside


def test_a_range_costs_what_the_pool_costs_and_not_what_it_spans():
    tracemalloc.start()
    try:
        assert positions_of("0-10000000,10000001-20000001,20000002-30000002", np.arange(1_000)).tolist() == list(range(1_000))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_losses_after_tuning_fall_most_on_what_is_like_the_target(tmp_path):
    texts = fishersft.load_corpus("demo", holdout=0).texts[:48]
    sums = [f"Add {a} to {b} and you have {a + b}." for a in range(3, 9) for b in range(20, 26)]
    target = write(tmp_path / "target.jsonl", *({"text": text} for text in sums[:12]))
    corpus = fishersft.load_corpus(write(tmp_path / "pool.jsonl", *({"text": t} for t in sums[12:] + texts)), holdout=0)
    pool = fishersft.load_pool(corpus, "mini", target=str(target))
    picks = fishersft.make_selector("cross_entropy_difference", {"epochs": 2, "learning_rate": 5e-4}).select(pool, 12)
    assert (picks.indices < 24).mean() > 0.8  # sums; by chance a third


def test_ifd_asks_for_prompts(tmp_path):
    with pytest.raises(ParameterError, match="demo has no prompts"):
        fishersft.select("demo", "mini", selector="ifd", budget=3)
    pairs = [{"prompt": f"What is {i} plus {i}?", "completion": f"It is {2 * i}."} for i in range(80)]
    chosen = fishersft.select(str(write(tmp_path / "pairs.jsonl", *pairs)), "mini", selector="ifd", budget=5)
    assert len(chosen) == 5 and "gain nothing from their prompt" in chosen.order.notes["ifd"]


def test_the_command_takes_a_target_and_says_what_it_took(sums):
    done = command_line("select", "demo", "--target", str(sums), "--selector", "target_matched", "--budget", "5", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["target"]["choosing"] == 3 and facts["target"]["measuring"] == 3
    refused = command_line("select", "demo", "--selector", "rds_plus", "--budget", "5")
    assert refused.returncode == 2 and "chooses for a target and there is none" in refused.stderr


def test_criteria_are_measured_on_the_half_that_only_measures():
    pool = fishersft.load_pool("demo", "mini", target="topic=law")
    picks = fishersft.make_selector("rds_plus").select(pool, 30)
    scores = fishersft.compare(pool, [fishersft.make_selector("rds_plus")], Budget(30)).row().scores[0]
    V = np.eye(pool.embeddings.dimension)
    for position in picks.order.positions:
        X = pool.embeddings.block(position).astype(float)
        V += X.T @ X
    texts = [pool.target.measuring.block(i).astype(float) for i in range(len(pool.target.measuring))]
    M = sum(X.T @ X / len(X) for X in texts)
    M /= len(pool.target.measuring)
    M += 1e-3 * np.trace(M) / len(M) * np.eye(len(M))
    assert scores.target_variance == pytest.approx(np.trace(M @ np.linalg.inv(V)), rel=1e-6)
    assert 0 < scores.near_target <= 1 and np.isnan(scores.on_target)  # no record of that topic is left to be picked


def test_the_curve_of_a_budget_goes_through_the_scores_of_the_comparison():
    pool = fishersft.load_pool("demo", "mini", target="topic=law")
    selector = fishersft.make_selector("rds_plus")
    scorer = scorer_of(pool)
    order = selector.take(pool, Budget(60))
    path = pick_path(scorer, selector, 0, order)
    n = int(path.at[len(path.at) // 2])
    read, exact = path.read(n), scorer(order.positions[:n])
    for name in ("target_variance", "target_stein_loss", "near_target"):
        assert getattr(read, name) == pytest.approx(getattr(exact, name), rel=1e-4)


def test_the_comparison_says_who_is_closest_to_the_target(sums):
    done = command_line(
        "compare",
        "demo",
        "--target",
        str(sums),
        "--selectors",
        "target_matched,longest",
        "--token-budget",
        "600",
        "--equal",
        "tokens",
    )
    assert done.returncode == 0, done.stderr
    assert "target var." in done.stdout and "comes closest to sums.jsonl, " in done.stdout


def test_an_export_and_its_code_name_the_target(tmp_path, sums):
    pool = fishersft.load_pool("demo", "mini", target="topic=law", target_seed=3)
    picks = fishersft.make_selector("rds_plus").select(pool, 4)
    run = fishersft.save_selection(pool.corpus, pool.embeddings, picks)
    kept = load_kept(run)
    assert "--target topic=law --target-seed 3" in command_of(kept)
    assert "target='topic=law', target_seed=3" in python_of(kept)
    named = fishersft.load_pool("demo", "mini", target=str(sums))
    kept = load_kept(
        fishersft.save_selection(named.corpus, named.embeddings, fishersft.make_selector("rds_plus").select(named, 4))
    )
    assert "--target sums.jsonl" in command_of(kept, shared=True) and str(sums) in command_of(kept)
