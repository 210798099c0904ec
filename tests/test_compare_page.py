"""The Compare page: what it opens with, what its address means, and that its numbers are those of the command."""

import json
import re

import numpy as np
import pytest

from fishersft import Budget, compare, embed, load_corpus, load_pool, make_selector, paths, select
from fishersft.errors import ParameterError
from fishersft.experiments.result import read_curves
from fishersft.experiments.summaries import standing_of
from fishersft.finetuning.arena import write_arena
from fishersft.finetuning.intervals import HeldOut
from fishersft.finetuning.leaderboard import Contest, Entry, after_tuning, pool_key
from fishersft.scoring.summaries import comparison_sentences
from fishersft.selectors import registry
from fishersft.ui.compare.view import DEFAULT
from fishersft.ui.components import number

from .conftest import TEXTS, command_line
from .test_pages import figure, numbers, open_page, text_of


def maps(at):
    """The traces of points of the figures that are maps."""
    found = [json.loads(c.proto.spec) for c in at.get("plotly_chart")]
    return [f["data"][0] for f in found if "customdata" in f["data"][0] and f["data"][0]["mode"] == "markers"]


def codes(points):
    return numbers(points["marker"]["color"])


def shown_in(at, k):
    return at.dataframe[k].value


def plain(text):
    return text.replace("\\", "")


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.jsonl"  # so small that its map is not UMAP's, which takes seconds
    path.write_text(
        "".join(json.dumps({"text": f"{t} {i}", "topic": "ab"[i % 2]}) + "\n" for i, t in enumerate([*TEXTS, "One more."]))
    )
    embed(load_corpus(path, holdout=0))
    return {"corpus": str(path), "holdout": "0"}


def test_what_fine_tuning_on_such_picks_came_to_stands_beside_the_answer(small, tmp_path, monkeypatch):
    corpus = load_corpus(small["corpus"], holdout=0)
    nats = np.random.default_rng(0).normal(90, 5, (3, 40))
    held = {name: HeldOut(nats * factor, np.full(40, 30)) for name, factor in (("uniform", 1), ("longest", 1.2))}
    facts = {"sentences": 60.0, "tokens": 900.0}
    entries = {name: Entry(name, name.title(), one, facts) for name, one in held.items()}
    contest = Contest("k", "small", "", "mini", 60, "40 texts", entries, pool_key(corpus.fingerprint))
    home = tmp_path / "home"
    write_arena(home / "arenas" / "beef", "beef", {}, [contest])
    monkeypatch.setenv("FISHERSFT_HOME", str(home))
    embed(corpus)
    at = open_page("compare", **small, selectors="longest,token_od", budget="3")
    told = after_tuning([contest], ["longest", "token_od"])
    assert "Longest" in told and "worse than a random draw" in told
    assert told in plain(text_of(at))
    other = open_page("compare", **small, selectors="sentence_od,token_od", budget="3")
    assert "After fine-tuning" not in text_of(other)


def test_the_demo_opens_with_three_maps_and_computes_no_selection_and_no_draw(monkeypatch):
    monkeypatch.setattr("fishersft.selectors.base.Selector.take", lambda *a, **k: pytest.fail("chose again"))
    monkeypatch.setattr("fishersft.scoring.random_baseline._scored", lambda *a, **k: pytest.fail("scored the draws again"))
    monkeypatch.setattr("fishersft.lm.model.CausalLM.__init__", lambda *a, **k: pytest.fail("loaded the model"))
    at = open_page("compare")
    assert not at.error and not at.warning
    assert len(maps(at)) == 3
    said = [int(n) for n in re.findall(r": ([\d,]+) sentences, ", text_of(at))]
    assert [int((codes(m) > 0).sum()) for m in maps(at)] == said and said[0] == 120
    axes = [json.loads(c.proto.spec)["layout"]["xaxis"]["range"] for c in at.get("plotly_chart")[:3]]
    assert axes[0] == axes[1] == axes[2]


def test_the_words_and_the_table_are_what_the_command_prints():
    at = open_page("compare")
    done = command_line("compare", "demo", "--budget", 120, "--selectors", ",".join(DEFAULT), "--equal", "tokens", "--json")
    found = json.loads(done.stdout)
    said = plain(text_of(at))
    assert all(sentence in said for sentence in found["summary"])
    order = [plain(m.value).startswith((found["summary"][0], "**TokenOD**:")) for m in at.markdown]
    assert plain(at.markdown[order.index(True)].value).startswith("At equal tokens")  # the answer stands above the maps
    at.segmented_control(key="part").set_value("Criteria").run()
    table = shown_in(at, 0).set_index("criterion")
    for row in found["rows"]:
        cell = table.loc["trained tokens", row["label"]].split(" ")[0].replace(",", "")
        assert float(cell) == min(s["tokens"] for s in row["scores"])
        gained = table.loc["log det gained (nats)", row["label"]].split(" ")[0].replace(",", "")
        assert float(gained) == pytest.approx(min(s["log_det"] for s in row["scores"]), abs=0.5)
    assert "◆" in table.loc["log det of the means (nats)", "SentenceOD"]
    assert "◆" not in table.loc["log det of the means (nats)", "TokenOD"]


def test_four_selectors_the_pair_on_one_map_and_every_class_counted(small):
    address = {"selectors": "token_od,uniform,longest,k_center", "budget": "4", "maps": "first two together"}
    at = open_page("compare", **small, **address, part="Criteria")
    pool = load_pool(load_corpus(small["corpus"], holdout=0))
    found = compare(pool, [make_selector(n) for n in ("token_od", "uniform")], Budget(sentences=4), equal="tokens")
    one, two = (set(s.indices.tolist()) for s in found.selections.values())
    (points,) = maps(at)
    counts = [int((codes(points) == k).sum()) for k in range(4)]
    assert counts == [len(pool) - len(one | two), len(one - two), len(two - one), len(one & two)]
    symbols = dict(zip(codes(points), points["marker"]["symbol"], strict=True))
    assert len(set(symbols.values())) == len(symbols) > 2  # a shape a class, not colour alone
    assert len(shown_in(at, 0).columns) == 2 + 4 + 2 + 1


def test_a_lasso_lights_the_same_records_on_every_map_and_narrows_the_table(small):
    at = open_page("compare", **small, selectors="token_od,longest,k_center", budget="5", part="Records")
    at.session_state["fishersft"].lasso = (0, 1, 2, 3, 6)
    at.run()
    bright = []
    for points in maps(at):
        lit = numbers(points["marker"]["opacity"]) == 1.0
        bright.append(set(numbers(points["customdata"])[lit].tolist()))
    assert bright == [{0, 1, 2, 3, 6}] * 3
    at.segmented_control(key="rows").set_value("the lasso").run()
    assert set(shown_in(at, 0)["record"]) == {0, 1, 2, 3, 6}
    at.segmented_control(key="rows").set_value("in both").run()
    listed = at.dataframe[0].value if len(at.dataframe) else None
    assert listed is None or set(listed["record"]) <= {0, 1, 2, 3, 6}
    next(b for b in at.button if b.label == "Clear the lasso").click().run()
    assert "Clear the lasso" not in [b.label for b in at.button]


def test_the_maps_zoom_to_the_lasso_together(small):
    at = open_page("compare", **small, budget="5")
    before = figure(at)["layout"]["xaxis"]["range"]
    at.session_state["fishersft"].lasso = (0, 1)
    at.run()
    at.toggle(key="zoom").set_value(True).run()
    after = [figure(at, k)["layout"]["xaxis"]["range"] for k in range(3)]
    assert after[0] == after[1] == after[2] != before
    assert after[0][1] - after[0][0] < before[1] - before[0]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"selectors": "token_od,magic,longest"}, "magic"),
        ({"selectors": "longest"}, "at least 2"),
        ({"selectors": "token_od,longest,uniform,sentence_od,density"}, "density (at most 4)"),
        ({"equal": "words"}, "words"),
        ({"budget": "99999"}, "99999"),
        ({"map": "globe"}, "globe"),
        ({"maps": "many"}, "many"),
        ({"rows": "odd"}, "odd"),
        ({"part": "Odds"}, "Odds"),
        ({"seed": "-3"}, "-3"),
    ],
)
def test_a_stale_address_is_named_on_the_page(small, bad, named):
    assert named in plain(" ".join(w.value for w in open_page("compare", **small, **bad).warning))


def test_an_address_opens_the_same_view_and_the_page_writes_it(small):
    at = open_page("compare", **small, selectors="k_center,uniform", budget="4", equal="tokens", seed="3", rows="only the first")
    assert at.multiselect(key="compare-selectors").value == ["k_center", "uniform"]
    assert (at.slider(key="budget").value, at.number_input(key="seed").value) == (4, 3)
    assert at.query_params["selectors"] == "k_center,uniform"
    assert at.segmented_control(key="part").value == "Records"  # a link from before there were parts opens the one that it needs
    at.multiselect(key="compare-selectors").set_value(list(DEFAULT)).run()
    assert "selectors" not in at.query_params


def test_fewer_than_two_selectors_are_asked_for_more(small):
    at = open_page("compare", **small)
    at.multiselect(key="compare-selectors").set_value(["token_od"]).run()
    assert "at least two selectors" in text_of(at) and not at.exception


def test_what_takes_long_says_how_long_and_waits_to_be_asked(monkeypatch):
    monkeypatch.setattr("fishersft.selectors.matched_od.MatchedOD.order", lambda *a, **k: pytest.fail("computed uninvited"))
    at = open_page("compare", selectors="token_od,longest,matched_od")
    assert [b.label for b in at.button if b.label.startswith("Compute")] == ["Compute MatchedOD"]
    assert "MatchedOD has not chosen from this corpus yet; this takes about " in text_of(at)
    assert len(maps(at)) == 2


def test_the_python_and_the_command_on_the_page_give_its_numbers(small):
    at = open_page("compare", **small, selectors="longest,uniform", budget="4", seed="2")
    said = plain(text_of(at))
    at.segmented_control(key="part").set_value("Save").run()
    exec(at.code[1].value.split("print(")[0], scope := {})
    assert all(sentence in said for sentence in comparison_sentences(scope["found"]))
    done = command_line(*at.code[0].value.split()[1:], "--json")
    assert json.loads(done.stdout)["summary"] == list(comparison_sentences(scope["found"]))


def test_every_selector_has_a_purpose_and_tables_hold_only_what_was_measured():
    at = open_page("evidence", part="Before fine-tuning")
    demo, errors, rest = (t.value for t in at.table)
    labels = {f"**{kind.label.replace('+', chr(92) + '+')}**" for kind in registry().values()}
    assert {*demo.index, *rest.index} == labels and not {*demo.index} & {*rest.index}
    assert all((t != "").all(axis=None) and not t.isna().any(axis=None) for t in (demo, errors, rest))
    assert "not measured" not in text_of(at)
    measured = [kind for name, kind in registry().items() if not kind.needs_target and name not in ("ask_llm", "ifd")]
    assert len(demo) == len(measured)  # the others need a target, a chat model or prompts
    assert any("fishersft compare demo --budget 120 --equal tokens" in c.value for c in at.code)
    for name, column in (("teacher-tokens", "demo"), ("imbalanced-tokens", "imbalanced")):
        error = standing_of(read_curves(paths.asset("curves", name)), 200).errors["density"]
        shown = next(errors[c] for c in errors if c.startswith(column))["**DensitySampling**"]
        assert plain(shown).startswith(f"{number(error.value)} ({number(error.low)} to {number(error.high)})")


def test_only_the_part_that_is_shown_is_computed_and_maps_come_before_the_scores(small, monkeypatch):
    def refuse(*_, **__):
        raise ParameterError("This was scored.")

    monkeypatch.setattr("fishersft.ui.cached.comparison", refuse)
    monkeypatch.setattr("fishersft.ui.cached.band", lambda *a, **k: pytest.fail("computed what is not shown"))
    at = open_page("compare", **small, budget="4", map="PCA")
    assert len(maps(at)) == 3 and at.error[0].value == "This was scored."


def test_an_order_that_a_command_took_further_is_shown_as_far_as_the_draws_beside_it(small, monkeypatch):
    monkeypatch.setattr("fishersft.ui.cached.SMALL_POOL", 2)
    monkeypatch.setattr("fishersft.ui.cached.MOST_PICKS", 4)
    for name in ("token_od", "longest"):
        select(load_corpus(small["corpus"], holdout=0), selector=name, budget=8)
    at = open_page("compare", **small, selectors="token_od,longest", equal="sentences", map="PCA", budget="8")
    assert at.slider(key="budget").max == 4


def test_the_draws_wait_for_a_button_and_the_picks_do_not(small, monkeypatch):
    monkeypatch.setattr("fishersft.ui.compare.scores.POINTS", 2)
    monkeypatch.setattr("fishersft.ui.compare.scores.DRAWS_AT_ONCE", 0.0)
    at = open_page("compare", **small, budget="4", map="PCA")
    assert len(maps(at)) == 3 and "these have not been scored yet" in text_of(at)
    assert "This part needs the random draws" in text_of(at)
    at.segmented_control(key="part").set_value("Records").run()
    assert len(at.dataframe)
    at.button(key="score-draws").click().run()
    assert "At equal tokens" in text_of(at)


def test_on_a_phone_tables_are_cards_that_keep_the_text(small, monkeypatch):
    monkeypatch.setattr("fishersft.ui.components.touch", lambda: True)
    at = open_page("compare", **small, budget="4", map="PCA", part="Records")
    assert not len(at.dataframe)
    picks = [b for b in at.button if b.label.startswith("Record ")]
    picks[0].click().run()
    assert at.session_state["fishersft"].record == int(picks[0].label.split()[1])
    at.segmented_control(key="part").set_value("Criteria").run()
    assert not len(at.dataframe) and not len(at.table) and "TokenOD" in text_of(at)
    at = open_page("evidence", part="Before fine-tuning")
    assert not len(at.dataframe) and not len(at.table) and "TokenOD" in text_of(at)


def test_a_hosted_demo_scores_under_no_other_model(monkeypatch):
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    at = open_page("compare", part="Transfer")
    assert not [t for t in at.text_input if t.key == "compare-score"]
    assert "Ask-LLM" not in at.multiselect(key="compare-selectors").options


def test_transfer_shows_both_choices_under_the_other_model(small, shared):
    other = str(shared / "models" / "stories260K")
    at = open_page("compare", **small, selectors="token_od,longest", budget="5", score=other)
    button = next(b for b in at.button if b.label.startswith("Embed"))
    button.click().run()
    assert not at.exception
    score = [b for b in at.button if b.label == "Score under it"]
    if score:
        score[0].click().run()
    table = next(d.value for d in at.dataframe if "shared picks" in d.value.columns)
    corpus = load_corpus(small["corpus"], holdout=0)
    selectors = [make_selector(n) for n in ("token_od", "longest")]
    found = compare(load_pool(corpus), selectors, Budget(sentences=5), equal="tokens", score_pool=load_pool(corpus, other))
    assert table["log det, chosen by stories260K"].tolist() == [f"{r.scores[0].log_det:.3g}" for r in found.home.values()]
    assert "Chosen by mini, scored under stories260K" in plain(text_of(at))
    assert np.isclose(found.home["token_od"].value("log_det"), found.home["token_od"].selection.log_det)
    at.segmented_control(key="part").set_value("Save").run()
    assert f"--score-model {other}" in at.code[0].value


def test_hostile_text_is_shown_and_never_obeyed(tmp_path):
    from .test_pages import HOSTILE

    path = tmp_path / "h.jsonl"
    path.write_text("".join(json.dumps({"text": t, "topic": HOSTILE[i % 2]}) + "\n" for i, t in enumerate(HOSTILE)))
    embed(load_corpus(str(path), holdout=0))
    at = open_page("compare", corpus=str(path), holdout="0", budget="4", record="0", map="PCA")
    for part in ("Overlap", "Topics", "Records"):
        at.segmented_control(key="part").set_value(part).run()
        for chart in at.get("plotly_chart"):
            assert "<img" not in chart.proto.spec and "<script" not in chart.proto.spec
        for markdown in at.markdown:
            assert "<" not in plain_marks(markdown.value) and not markdown.allow_html


def plain_marks(text):
    return re.sub(r"\\.", "", text)
