"""A target on Explore and Compare: each way to name one, what follows from it, and what is said of one that cannot be used."""

import json
import shutil

import numpy as np
import pytest

from fishersft import embed, load_corpus, load_pool, select
from fishersft.design.information import design_matrix
from fishersft.pipeline.aim import written
from fishersft.scoring import projection
from fishersft.scoring.precomputed import variance_along
from fishersft.scoring.projection import project
from fishersft.scoring.why import target_help
from fishersft.selectors import find_selector, make_selector, registry
from fishersft.store.artifacts import Store
from fishersft.ui.targets import COMPARED, keep_texts

from .test_pages import drawn_map, figure, open_page, part, text_of, tiles

KINDS = {
    "law": ["The court of {} heard the appeal.", "A judge in {} signed the order.", "The lease of the house in {} was void."],
    "soup": ["Boil {} leeks and salt the water.", "Stir {} spoons of cream into the soup."],
}
PLACES = ["Oslo", "Bergen", "Turin", "Lyon", "Porto", "Ghent", "Leeds", "York", "Bonn", "Graz", "Basel", "Parma"]
RECORDS = [(topic, text.format(place)) for topic, texts in KINDS.items() for text in texts for place in PLACES]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A corpus of two topics, and a store in which it is embedded."""
    folder = tmp_path_factory.mktemp("mixed")
    path = folder / "mixed.jsonl"
    path.write_text("".join(json.dumps({"text": text, "topic": topic}) + "\n" for topic, text in RECORDS))
    embed(load_corpus(path, holdout=0), store=Store(folder / "home"))
    return path, folder / "home"


@pytest.fixture
def corpus(embedded, home, monkeypatch):
    """What an address says of that corpus; the test's own store has its embeddings.  PCA draws maps; few budgets are scored."""
    path, store = embedded
    shutil.copytree(store, home)
    monkeypatch.setattr(projection, "project", lambda means, method, seed, on_stage: project(means, "pca", seed))
    monkeypatch.setattr("fishersft.scoring.interpolation.POINTS", 8)
    return {"corpus": str(path), "holdout": "0", "map": "PCA"}


def pool_for(corpus, target=None):
    return load_pool(load_corpus(corpus["corpus"], holdout=0), target=target)


def shown(at):
    return text_of(at).replace("\\", "")


def button(at, label):
    return next(b for b in at.button if b.label == label)


def test_a_column_s_value_aims_explore_and_the_commands_say_so(corpus):
    at = open_page(**corpus, target="topic=law", sentences="5")
    pool = pool_for(corpus, "topic=law")
    assert pool.target.sentence in shown(at)
    assert at.selectbox(key="selector").value == "target_matched"
    picks = select(load_corpus(corpus["corpus"], holdout=0), selector="target_matched", budget=5, target="topic=law")
    assert at.dataframe[0].value["record"].tolist() == picks.indices.tolist()
    part(at, "Save and repeat")
    assert "--target topic=law" in at.code[0].value
    exec(at.code[1].value.split("print(")[0], scope := {})
    assert scope["picks"].indices.tolist() == picks.indices.tolist()
    assert scope["picks"].parameters["target"] == "topic=law"


def test_every_selector_opens_with_a_target(corpus):
    at = open_page(**corpus, target="records=0-59", sentences="3")
    offered = {find_selector(name).label for name in registry()}
    assert offered == set(at.selectbox(key="selector").options)
    for name in (name for name, kind in registry().items() if kind.needs_target):
        at.selectbox(key="selector").set_value(name).run()
        assert not at.exception, name
        assert bool(at.error) == (name == "on_target"), (name, [e.value for e in at.error])  # which needs a column's value


def test_the_map_keeps_every_record_and_stars_the_target_s(corpus):
    at = open_page(**corpus, target="topic=law", sentences="5")
    data, points = drawn_map(at)
    assert len(points["x"]) == len(RECORDS)
    picks = select(load_corpus(corpus["corpus"], holdout=0), selector="target_matched", budget=5, target="topic=law")
    assert [points["record"][k] for k in data["picks"][:5]] == picks.indices.tolist()
    target = pool_for(corpus, "topic=law").target
    texts = [*target.choosing.index, *target.measuring.index]
    assert sorted(points["record"][k] for k in data["stars"]) == sorted(texts)
    assert ["target text", "star"] in [[entry[0], entry[2]] for entry in data["legend"]]


def test_the_variance_beside_the_map_is_that_of_the_measuring_half(corpus):
    at = open_page(**corpus, target="topic=law", sentences="5", part="Numbers")
    pool = pool_for(corpus, "topic=law")
    order = make_selector("target_matched").select(pool, 5).order.positions
    V = design_matrix((pool.embeddings.block(p) for p in order), pool.embeddings.dimension)
    expected = np.trace(np.linalg.solve(V, pool.target.measured_moment))
    assert variance_along(pool.embeddings, order, np.array([0, 5]), pool.target.measured_moment)[1] == pytest.approx(expected)
    assert float(tiles(at)["Variance on the target"].replace(",", "")) == pytest.approx(expected, rel=0.02)
    assert {"Uniform, 20 draws", "TargetMatched", "TokenOD"} <= {t.get("name") for t in figure(at)["data"]}


def test_a_lasso_becomes_the_target_and_is_kept_across_pages(corpus):
    some = [0, 3, 4, 5, 6, 7, 8, 20]
    at = open_page(**corpus, lasso=written(np.array(some)))
    button(at, "Use as target").click().run()
    assert at.query_params["target"] in (["records=0,3-8,20"], "records=0,3-8,20")
    assert "lasso" not in at.query_params
    assert at.selectbox(key="selector").value == "target_matched"
    chosen = pool_for(corpus, "records=0,3-8,20").target
    assert chosen.sentence in shown(at)
    at.switch_page("pages/compare.py").run()
    assert not at.exception
    assert chosen.sentence in shown(at)
    assert at.multiselect(key="compare-selectors").value == list(COMPARED)
    at.switch_page("pages/explore.py").run()
    button(at, "Drop").click().run()
    assert at.selectbox(key="selector").value == "token_od"
    assert "target" not in at.query_params


def test_compare_has_criteria_of_the_target_only_with_one(corpus):
    at = open_page("compare", **corpus, target="topic=law", budget="4", part="Criteria")
    lines = at.dataframe[0].value["criterion"].tolist()
    assert {"mean variance on the target", "Stein's loss to the target", "share of picks near the target"} <= set(lines)
    assert "comes closest to topic = law, " in shown(at)
    at.segmented_control(key="part").set_value("Save").run()
    assert "--target topic=law" in " ".join(c.value for c in at.code)
    assert "target='topic=law'" in " ".join(c.value for c in at.code)
    plain = open_page("compare", **corpus, budget="4", part="Criteria")
    assert not any("target" in line for line in plain.dataframe[0].value["criterion"])


def test_pasted_texts_are_kept_and_aim_by_their_upload(corpus):
    target = keep_texts(["The court of Rome heard him.", "A judge in Kiel signed.", "", "The lease was void in Metz."])
    at = open_page(**corpus, target=target, part="Save and repeat")
    assert "Target pasted.jsonl: 2 of its texts choose and 1 only measure." in shown(at)
    assert "--target pasted.jsonl" in at.code[0].value
    assert str(Store.default().path) not in json.dumps([c.value for c in at.code])
    assert at.query_params["target"] in ([target], target)
    assert drawn_map(at)[0]["stars"] == []  # they are not records of the corpus


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("topic=dance", "No record of the pool has topic = dance"),
        ("colour=red", "has no column 'colour'"),
        ("/nowhere/texts.jsonl", "/nowhere/texts.jsonl"),
        ("upload:0123456789abcdef.jsonl", "not on this machine"),
        ("records=x", "takes numbers and ranges"),
        ("records=900", "None of the records 900"),
    ],
)
def test_a_target_that_cannot_be_used_is_named_and_can_be_dropped(corpus, target, words):
    at = open_page(**corpus, target=target)
    said = " ".join(e.value for e in at.error).replace("\\", "").replace("\u2060", "")
    assert words in said
    button(at, "Drop the target").click().run()
    assert not at.error
    assert not at.exception
    assert "target" not in at.query_params


def test_a_hosted_demo_opens_no_path_as_a_target(monkeypatch, tmp_path):
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    monkeypatch.chdir(tmp_path)
    for name in ("secret.txt", "topic=secret"):
        (tmp_path / name).write_text("Nobody may read this line.\nNor this one.\n")
    for target in (str(tmp_path / "secret.txt"), "secret.txt", "topic=secret", f"{tmp_path}/topic=secret"):
        at = open_page(target=target)
        assert at.error
        assert "only measure" not in shown(at)


def test_a_selector_that_needs_a_target_says_what_is_missing(corpus):
    at = open_page(**corpus, selector="target_matched")
    assert "chooses for a target, and none is set yet" in shown(at)
    assert at.selectbox(key="selector").value == "token_od"
    assert not at.error
    at = open_page("compare", **corpus, selectors="target_matched,longest")
    assert "for a target only, and none is set yet" in shown(at)
    assert not at.error


def test_why_names_the_target_texts_that_a_pick_helps(corpus):
    pool = pool_for(corpus, "topic=law")
    first = int(
        select(load_corpus(corpus["corpus"], holdout=0), selector="target_matched", budget=1, target="topic=law").indices[0]
    )
    at = open_page(**corpus, target="topic=law", record=str(first))
    assert "For the target" in shown(at)
    assert sum("of the fall: target text" in c.value for c in at.caption) in (3, 4)
    own = int(pool.target.choosing.index[0])
    at = open_page(**corpus, target="topic=law", record=str(own))
    assert f"Record {own:,} is a text of the target" in shown(at)


def test_the_help_for_each_text_is_the_fall_of_its_own_variance(pool_of):
    rows, texts = pool_of(9, 5), pool_of(4, 5, seed=1)
    picked = np.array([2, 5, 7])
    found = target_help(rows, picked, 4, texts)
    V = design_matrix((rows.block(p) for p in picked), 5)
    after = design_matrix((rows.block(p) for p in [*picked, 4]), 5)
    for a in range(4):
        X = texts.block(a)
        parts = [np.trace(X @ np.linalg.solve(W, X.T)) / len(X) / 4 for W in (V, after)]
        assert found.shares[a] == pytest.approx(parts[0] - parts[1])
    M = sum(texts.block(a).T @ texts.block(a) / len(texts.block(a)) for a in range(4)) / 4
    assert found.before == pytest.approx(np.trace(np.linalg.solve(V, M)))
    assert found.fall == pytest.approx(np.trace((np.linalg.inv(V) - np.linalg.inv(after)) @ M))


def test_a_pick_helps_as_it_did_when_it_was_picked(pool_of):
    rows, texts = pool_of(6, 4), pool_of(3, 4, seed=2)
    assert target_help(rows, np.array([1, 3]), 3, texts).fall == pytest.approx(target_help(rows, np.array([1]), 3, texts).fall)


def test_without_a_target_nothing_is_said_of_one(corpus):
    at = open_page(**corpus, part="Numbers")
    assert "Variance on the target" not in tiles(at)
    assert drawn_map(at)[0]["stars"] == []
    assert "--target" not in part(at, "Save and repeat").code[0].value
    assert "target_matched" not in at.selectbox(key="selector").options
