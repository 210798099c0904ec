"""Explore beyond the map: the player, what-if, more reasons, filters, and sets with names."""

import json
import re
import threading

import numpy as np
import pytest

from fishersft import Budget, embed, load_corpus, load_pool, make_selector, select
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.selections import load_selection, saved_selections
from fishersft.selectors.token_od import SentenceOD, TokenOD
from fishersft.ui import behind, cached
from fishersft.ui.downloads import LABELS
from fishersft.ui.explore import map as sentences

from .test_pages import HOSTILE, drawn_map, figure, lit, numbers, open_page, part, text_of, tiles

CORPUS = {"sentences": "20"}


def played(at):
    return drawn_map(at)[0]


def button(at, start):
    return next(b for b in at.button if b.label.startswith(start))


def test_the_player_has_the_picks_in_order_with_their_gains():
    at = open_page(view="player", sentences="15")
    (data, points), chosen = drawn_map(at), select("demo", budget=15)
    assert [points["record"][k] for k in data["picks"][:15]] == chosen.indices.tolist()
    assert np.allclose(data["gain"], chosen.gains, rtol=1e-4)
    assert len(data["axes"]) == 16
    assert data["side"] is True


def test_the_player_rests_on_the_record_that_is_looked_at():
    at = open_page(view="player", sentences="15", record="281")
    assert played(at)["at"] == 2
    at = open_page(view="player", sentences="15", across="2", up="2")
    assert "two different directions" in text_of(at)


@pytest.mark.slow
def test_pinning_in_and_out_chooses_the_rest_again_and_the_address_says_so():
    at = open_page(**CORPUS, record="281")
    button(at, "Pin out").click().run()
    assert at.query_params["exclude"] == "281"
    picked = at.dataframe[0].value["record"].tolist()
    assert picked == select("demo", budget=20, excluded=[281]).indices.tolist()
    at.session_state["fishersft"].record = 5
    at.run()
    button(at, "Pin in").click().run()
    assert at.dataframe[0].value["record"].tolist()[0] == 5
    assert "pinned record 5; excluded record 281" in text_of(at)
    listed = at.dataframe[0].value["record"].tolist()
    part(at, "Save and repeat")
    assert "--pin 5 --exclude 281" in at.code[0].value
    exec(at.code[1].value.split("print(")[0], scope := {})
    assert scope["picks"].indices.tolist() == listed
    part(at, "Picks")
    button(at, "Clear the what-if").click().run()
    assert at.dataframe[0].value["record"].tolist() == select("demo", budget=20).indices.tolist()


@pytest.mark.parametrize(("bad", "words"), [({"pin": "a"}, "pin a"), ({"exclude": "3"}, "not in the pool")])
def test_a_link_with_pins_that_cannot_be_is_explained(bad, words):
    at = open_page(**CORPUS, **bad)
    assert words in " ".join(e.value.replace("\\", "") for e in [*at.error, *at.warning])


def test_selectors_that_take_no_pins_say_so():
    assert "ignores pinned" in text_of(open_page(**CORPUS, pin="5", selector="longest"))


def test_a_copy_of_a_picked_sentence_gains_little_and_a_new_long_one_more():
    at = open_page(sentences="120", part="What if")
    places = []
    for text in (HOSTILE[0], " ".join(["quartz sphinx judged my vow over zebra lakes"] * 6)):
        at.text_area[0].set_value(text)
        button(at, "What would it gain").click().run()
        assert not at.exception
        place, of = tiles(at)["Place"].replace(",", "").split(" of ")
        assert of == "1131"
        places.append((float(tiles(at)["Gain"].split()[0]), int(place)))
    assert all(1 <= place <= 1131 for _, place in places)
    assert (places[0][0] < places[1][0]) == (places[0][1] > places[1][1])


def test_a_pool_sentence_pasted_gains_what_the_pool_says_it_gains():
    rows = embed("demo")
    from fishersft import load_corpus
    from fishersft.scoring.why import gains_now

    at = open_page(sentences="20", part="What if")
    text = load_corpus("demo").texts[int(rows.index[7])]
    at.text_area[0].set_value(text)
    button(at, "What would it gain").click().run()
    expected = gains_now(rows, select("demo", budget=20).order.positions)[7]
    assert float(tiles(at)["Gain"].split()[0]) == pytest.approx(expected, rel=0.02)


def test_a_filter_acts_on_table_map_and_curve():
    at = open_page(sentences="50")
    at.multiselect(key="filter topic").set_value(["science"]).run()
    assert set(at.dataframe[0].value[" topic"]) == {"science"}
    topics = load_corpus("demo").fields["topic"].to_numpy()
    assert {topics[record] for record in lit(at)} == {"science"}
    assert f"{len(lit(at))} of 1,250 sentences" in text_of(at)
    assert "the search results" in [t.get("name") for t in figure(part(at, "Numbers"), 1)["data"]]


def test_a_set_is_kept_under_its_name_compared_and_shown_again():
    at = open_page(sentences="5", part="Sets")
    at.session_state["fishersft"].lasso = (4, 1, 2)
    at.run()
    next(t for t in at.text_input if t.label == "Name").set_value("my <b>three</b>")
    button(at, "Keep").click().run()
    kept = saved_selections()[0]
    assert kept["name"] == "my <b>three</b>"
    assert sorted(load_selection(kept["key"])[1]["index"]) == [1, 2, 4]
    at = open_page(sentences="5", part="Sets")
    table = at.dataframe[-1].value
    assert (table["name"][0], table["records"][0], table["also picked"][0]) == ("my <b>three</b>", 3, 0)
    at.session_state["kept-1"] = {"selection": {"rows": [0]}}
    at.run()
    button(at, "Show 3 records").click().run()
    assert lit(at) == {1, 2, 4}
    assert sorted(part(at, "Picks").dataframe[0].value["record"]) == [1, 2, 4]
    names = [t.get("name") or "" for t in figure(part(at, "Numbers"), 1)["data"]]
    assert any("three" in n for n in names)
    assert not any("<b>" in n for n in names)


def test_what_the_table_shows_is_offered_in_every_form():
    at = open_page(sentences="5", part="Save and repeat")
    at.session_state["fishersft"].lasso = (4, 1, 2)
    at.run()
    for format in LABELS:
        at.selectbox(key="explore-format").set_value(format).run()
        assert not at.exception and not at.error, format
        assert "by_hand-3" in text_of(at)
    assert at.selectbox(key="explore-format").options == list(LABELS.values())


def test_a_hosted_demo_keeps_nothing_and_takes_a_pasted_sentence(monkeypatch):
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    at = open_page(**CORPUS, part="Sets")
    assert not [b for b in at.button if b.label == "Keep"]
    part(at, "What if")
    at.text_area[0].set_value("A bishop sat on the shore.")
    button(at, "What would it gain").click().run()
    assert "Place" in tiles(at)


@pytest.mark.parametrize(
    ("further", "words"),
    [
        ("nearest", "Nearest selected sentence"),
        ("direction", "Other records along this direction"),
        ("budgets", "After 1 picks"),
        ("neighbours", "cosine of centred"),
    ],
)
def test_every_further_reason_opens(further, words):
    at = open_page(**CORPUS, record="281")
    at.session_state["why-more-None"] = further
    at.run()
    assert not at.exception
    assert words in text_of(at)


def test_ranks_are_those_of_the_orders_and_slow_ones_wait_for_a_button(monkeypatch):
    monkeypatch.setattr("fishersft.ui.explore.why.AT_ONCE", 0.3)
    at = open_page(**CORPUS, record="281")
    at.session_state["why-more-None"] = "ranks"
    at.run()
    ranks = next(d.value for d in at.dataframe if "selector" in d.value).set_index("selector")["rank"]
    assert ranks["TokenOD"] == 2
    rows = embed("demo")
    longest = np.argsort(-rows.tokens, kind="stable")
    assert ranks["Longest"] == 1 + np.flatnonzero(rows.index[longest] == 281)[0]
    assert [b.label for b in at.button if b.label.startswith("Rank it under")]


def test_perplexity_is_that_of_the_stored_losses():
    at = open_page(**CORPUS, record="281")
    pool = load_pool("demo")
    expected = np.exp(pool.losses(np.flatnonzero(pool.index == 281))[0])
    said = re.search(r"Perplexity \*\*([\d.,]+)\*\*", text_of(at))[1]
    assert float(said.replace(",", "")) == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["explore", "compare"])
def test_a_map_that_takes_long_waits_for_a_button_and_is_then_kept(page, tmp_path, monkeypatch):
    monkeypatch.setattr("fishersft.ui.maps.AT_ONCE", 0.0)
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"text": f"{n} plus {n} is {2 * n} on {page}."}) + "\n" for n in range(30)))
    embed(load_corpus(str(path), holdout=0))
    at = open_page(page, corpus=str(path), holdout="0")
    assert "PCA of 30 sentence means" in text_of(at)
    waiting = at.button(key="draw-umap")
    assert re.fullmatch(r"Draw UMAP, about \d+ s", waiting.label)
    waiting.click().run()
    assert "UMAP of 30 sentence means" in text_of(at) and not [b for b in at.button if b.key == "draw-umap"]
    again = open_page(page, corpus=str(path), holdout="0", map="UMAP")
    assert "UMAP of 30 sentence means" in text_of(again)


def test_picks_are_shown_as_they_are_made_and_the_rest_follows(jsonl, monkeypatch):
    corpus = load_corpus(jsonl, holdout=0)
    embed(corpus)
    go, order = threading.Event(), TokenOD.order

    def slowly(self, pool, rng):
        for k, pick in enumerate(order(self, pool, rng)):
            if k == 2:
                go.wait(60)
            yield pick

    monkeypatch.setattr(TokenOD, "order", slowly)
    for name in ("AT_ONCE", "ALREADY"):
        monkeypatch.setattr(behind, name, 2.0)
    at = open_page(corpus=str(jsonl), holdout="0", sentences="5")
    assert "2 of 8 picks computed so far" in text_of(at)
    data, points = drawn_map(at)
    first = [points["record"][k] for k in data["picks"]]
    assert (data["n"], len(first)) == (2, 2)
    assert "Still computing: picks of TokenOD" in text_of(at)
    go.set()
    for _ in range(20):
        at.run()
        if drawn_map(at)[0]["n"] == 5:
            break
    assert [drawn_map(at)[1]["record"][k] for k in drawn_map(at)[0]["picks"]][:2] == first
    assert len(at.dataframe[0].value) == 5
    assert "computed so far" not in text_of(at)


def test_what_a_growing_order_gains_is_told_of_the_whole(jsonl, monkeypatch):
    embed(load_corpus(jsonl, holdout=0))
    go, order = threading.Event(), SentenceOD.order

    def slowly(self, pool, rng):
        for k, pick in enumerate(order(self, pool, rng)):
            if k == 3:
                go.wait(60)
            yield pick

    monkeypatch.setattr(SentenceOD, "order", slowly)
    for name in ("AT_ONCE", "ALREADY"):
        monkeypatch.setattr(behind, name, 2.0)
    at = open_page(corpus=str(jsonl), holdout="0", sentences="5", selector="sentence_od")
    assert "3 of 8 picks computed so far" in text_of(at)
    go.set()
    for _ in range(20):
        at.run()
        if at.get("plotly_chart") and drawn_map(at)[0]["n"] == 5:
            break
    lines = {line["name"]: numbers(line["x"]) for line in figure(at)["data"] if "name" in line}
    assert lines["SentenceOD"][-1] == lines["Uniform, 20 draws"][-1]


@pytest.fixture
def dense(monkeypatch):
    """Maps of more than 400 records are drawn as their density, with 40 of them as points, and with at most 50 marks."""

    def forget():
        for kept in (sentences._points_of, sentences._region):
            kept.clear()

    for name, value in (("MOST_POINTS", 400), ("SAMPLE", 40), ("MOST_LIT", 50)):
        monkeypatch.setattr(sentences, name, value)
    forget()
    yield
    forget()


def places(*parts):
    """{record: its place} of points as the browser gets them."""
    return {r: (x, y) for part in parts for r, x, y in zip(part["record"], part["x"], part["y"], strict=True)}


def test_a_density_has_a_sample_and_every_pick_as_points_where_they_lie_among_all(request):
    whole = places(drawn_map(open_page(sentences="20"))[1])
    request.getfixturevalue("dense")
    at = open_page(sentences="20", selector="uniform", seed="3")
    data, sample = drawn_map(at)
    assert len(sample["record"]) == 40 and sample["density"]["records"] == len(whole)
    records = sample["record"] + data["more"]["record"]
    assert len(records) == len(set(records))
    assert all(whole[record] == place for record, place in places(sample, data["more"]).items())
    chosen = select("demo", selector="uniform", budget=20, seed=3)
    assert [records[k] for k in data["picks"][:20]] == chosen.indices.tolist()
    assert ["not selected"] not in [entry[:1] for entry in data["legend"]]
    assert "Drawn as the density of all records" in text_of(at)


def test_what_is_searched_in_a_density_is_a_point_each_or_where_it_is_too_much_a_density_of_its_own(dense):
    texts = load_corpus("demo").texts
    for word, few in (("knight", True), ("the", False)):
        at = open_page(sentences="20")
        at.text_input(key="q").set_value(word).run()
        data, sample = drawn_map(at)
        shown = sample["record"] + data["more"]["record"]
        found = [i for i in load_pool("demo").index if word in texts[i].lower()]
        assert (0 < len(found) <= 50) == few
        if few:
            assert sorted(shown[k] for k in data["lit"]) == found and data["many"] is None
        else:
            assert {shown[k] for k in data["lit"]} == set(shown) & set(found)
            assert data["many"]["records"] == len(found)


def test_a_region_of_a_density_comes_anew_with_each_of_its_records_where_they_are_few(request):
    whole = places(drawn_map(open_page(sentences="20"))[1])
    request.getfixturevalue("dense")
    at = open_page(sentences="20")
    rows = load_pool("demo").embeddings
    for region in ([20_000, 20_000, 40_000, 40_000], [0, 0, 65_536, 65_536]):
        at.session_state[sentences.REGION] = ((rows.key, "UMAP"), tuple(region))
        at.run()
        data, _ = drawn_map(at)
        close = next(
            p for p in map(json.loads, (c.proto.json or "{}" for c in at.get("bidi_component"))) if p.get("key") == data["close"]
        )
        left, bottom, right, top = region
        there = {record: (x, y) for record, (x, y) in whole.items() if left <= x <= right and bottom <= y <= top}
        assert (close["window"], close["records"]) == (region, len(there))
        assert places(close) == (there if len(there) <= 400 else {})
        assert ("density" in close) == (len(there) > 400)
    at.session_state[sentences.REGION] = (("another corpus", "UMAP"), (0, 0, 9, 9))
    assert drawn_map(at.run())[0]["close"] is None


def test_an_order_that_was_not_there_is_found_once_it_is(tmp_path):
    path = tmp_path / "own.txt"  # which no other test has in this process's memory
    path.write_text("One order.\nAnother order of longer words.\nA third one.\n")
    pool, selector = load_pool(load_corpus(path, holdout=0)), make_selector("token_od")
    assert cached.order(pool, selector, 0) is None
    made = embed_and_select.order(pool, selector, Budget(sentences=len(pool)))
    assert cached.order(pool, selector, 0).positions.tolist() == made.positions.tolist()
