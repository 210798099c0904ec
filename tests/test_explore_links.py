"""What a link to Explore carries: filters, a lasso, a kept set; and what it leaves out."""

import json
import random

import numpy as np
import pytest

from fishersft import load_corpus
from fishersft.pipeline.selections import saved_selections
from fishersft.ui.address import as_ranges, from_ranges
from fishersft.ui.explore.map import code_of

from .test_pages import drawn_map, lit, open_page, text_of


def address(at):
    """What the address bar holds now."""
    return {key: value[0] if isinstance(value, list) else value for key, value in at.query_params.items()}


def said(at):
    return " ".join(w.value for w in at.warning).replace("\\", "")


def held_by(at, *records):
    at.session_state["fishersft"].lasso = tuple(records)
    return at.run()


class TestRanges:
    def test_what_is_written_is_read_again(self):
        draw = random.Random(0)
        for _ in range(200):
            chosen = sorted(draw.sample(range(300), draw.randint(1, 60)))
            assert from_ranges(as_ranges(chosen)) == tuple(chosen)
        assert as_ranges([9, 3, 2, 1]) == "1-3,9"

    def test_too_many_ranges_are_not_cut_but_left_out(self):
        assert as_ranges(range(100_000)) == "0-99999"
        assert as_ranges(range(0, 100_000, 2)) == ""
        assert as_ranges([]) == ""

    @pytest.mark.parametrize("bad", ["", "a", "1,", "3-1", "1--2", "0-999999999", "1" * 700, "-1", "\u0661"])
    def test_what_is_no_list_of_records_is_refused(self, bad):
        assert from_ranges(bad) is None


class TestFilters:
    def test_filters_reopen_from_the_address_without_any_text_of_the_corpus(self):
        at = open_page(sentences="50")
        at.multiselect(key="filter topic").set_value(["science", "chess"])
        slider = next(s for s in at.slider if s.label == "Trained tokens")
        slider.set_value((30, 60)).run()
        link = address(at)
        assert link["length"] == "30-60"
        assert "science" not in json.dumps(link)
        again = open_page(**link)
        assert not again.warning
        assert set(again.multiselect(key="filter topic").value) == {"science", "chess"}
        assert address(again) == link
        corpus = load_corpus("demo")
        topics = corpus.fields["topic"].to_numpy()
        assert {topics[r] for r in lit(again)} == {"science", "chess"}
        assert lit(again) == lit(at)

    def test_a_filter_that_is_taken_back_leaves_the_address(self):
        at = open_page(filter=code_of("topic", "science"), length="30-60")
        at.multiselect(key="filter topic").set_value([])
        next(s for s in at.slider if s.label == "Trained tokens").set_value((1, 200)).run()
        assert "filter" not in address(at)

    @pytest.mark.parametrize(
        ("bad", "words"), [({"filter": "abcd1234"}, "no value of this corpus"), ({"length": "9-1"}, "length 9-1")]
    )
    def test_a_filter_that_means_nothing_here_is_named(self, bad, words):
        at = open_page(**bad)
        assert words in said(at)
        assert len(lit(at)) == 0


class TestLasso:
    def test_a_lasso_reopens_from_the_address_on_map_table_and_player(self):
        link = address(held_by(open_page(sentences="5"), 4, 1, 2))
        assert link["lasso"] == "1-2,4"
        at = open_page(**link)
        assert sorted(at.dataframe[0].value["record"]) == [1, 2, 4]
        assert lit(at) == {1, 2, 4}
        assert lit(open_page(**link, view="player")) == {1, 2, 4}

    def test_records_of_a_lasso_that_are_not_in_the_pool_are_named(self):
        at = open_page(lasso="1-4")  # 3 is held out
        assert "lasso 3 (1 of its records are not in the pool)" in said(at)
        assert sorted(at.dataframe[0].value["record"]) == [1, 2, 4]

    def test_a_lasso_too_large_for_a_link_is_told_and_a_kept_one_has_its_id_there(self):
        at = open_page(sentences="5", part="Sets")
        many = at.session_state["fishersft"]
        held_by(at, *np.sort(drawn_map(at)[1]["record"])[::2].tolist())
        assert "lasso" not in address(at)
        assert "leaves out the 625 records of the lasso" in text_of(at)
        next(t for t in at.text_input if t.label == "Name").set_value("every other")
        next(b for b in at.button if b.label == "Keep").click().run()
        at.run()
        run = saved_selections()[0]["key"][:12]
        assert address(at)["set"] == run
        assert "leaves out" not in text_of(at)
        again = open_page(set=run)
        assert not again.warning
        assert again.session_state["fishersft"].lasso_name == "every other"
        assert lit(again) == set(many.lasso)

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            ({"set": "abcdef"}, "no such set is kept"),
            ({"set": "my set"}, "the id of a kept set"),
            ({"lasso": "many"}, "such as 0-3,7"),
        ],
    )
    def test_a_set_that_is_not_there_is_named(self, bad, words):
        assert words in said(open_page(**bad))

    def test_a_set_of_another_corpus_is_named(self, jsonl):
        from fishersft import embed, select
        from fishersft.pipeline.selections import save_selection

        corpus = load_corpus(jsonl, holdout=0)
        run = save_selection(corpus, embed(corpus), select(corpus, budget=2))
        assert "kept from another corpus" in said(open_page(set=run))


def test_the_player_lights_what_is_searched_and_goes_on_where_it_was():
    at = open_page(view="player", sentences="15")
    before = drawn_map(at)[0]
    assert before["lit"] is None
    at.text_input(key="q").set_value("water").run()
    assert drawn_map(at)[0]["key"] == before["key"]  # the player keeps its place
    texts = load_corpus("demo").texts
    found = [record for record in drawn_map(at)[1]["record"] if "water" in texts[record].lower()]
    assert sorted(lit(at)) == sorted(found)
    assert found
    assert "leaves out the search words" in text_of(at)
    assert "water" not in json.dumps(address(at))
