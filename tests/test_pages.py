"""Every page through Streamlit's own test harness: empty, demo, uploaded, failed."""

import base64
import json
import re
from dataclasses import fields

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from fishersft import Store, embed, load_corpus, select
from fishersft.design.trajectory import draw_orders, log_det_at
from fishersft.fields import declared
from fishersft.selectors import find_selector, registry
from fishersft.ui import components, maps
from fishersft.ui.explore import map as explore_map
from fishersft.ui.explore.panels import _standing
from fishersft.ui.session import Session

from .conftest import ROOT


def open_page(page="explore", **address):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in address.items():
        at.query_params[key] = value
    if page != "explore":  # the page alone, as a link opens it
        at.switch_page(f"pages/{page}.py")
    at.run()
    assert not at.exception, at.exception
    return at


def figure(at, k=0):
    return json.loads(at.get("plotly_chart")[k].proto.spec)


def drawn_map(at):
    """What the map on Explore draws, and the points that it draws it of."""
    parts = [json.loads(part.proto.json or "{}") for part in at.get("bidi_component")]
    data = next(part for part in parts if "picks" in part)
    return data, next(part for part in parts if part.get("key") == data["points"])


def part(at, name):
    """The page with this part of Explore shown below the map."""
    at.session_state["part"] = name
    at.run()
    assert not at.exception, at.exception
    return at


def lit(at):
    """The records that search, filters or a lasso light up on Explore's map."""
    data, points = drawn_map(at)
    return {points["record"][k] for k in data["lit"] or []}


def numbers(packed):
    """An array as plotly packs it into JSON."""
    return np.frombuffer(base64.b64decode(packed["bdata"]), dtype=packed["dtype"])


def text_of(at):
    return " ".join(
        str(e.value)
        for kind in ("markdown", "caption", "info", "warning", "error", "text", "title", "header", "subheader")
        for e in at.get(kind)
    )


def tiles(at):
    return {m.label: m.value for m in at.metric}


def test_the_demo_opens_with_picks_on_the_map():
    at = open_page(part="Numbers")
    assert tiles(at)["Selected"] == "120 of 1,250"
    data, points = drawn_map(at)
    assert (len(points["x"]), len(points["text"]), len(data["picks"]), data["n"]) == (1250, 1250, 1250, 120)
    assert [points["record"][k] for k in data["picks"][:120]] == select("demo", budget=120).indices.tolist()
    assert "1,250 to choose from" in text_of(at)
    for k in (0, 1):  # the difference beside the map, and log det itself
        names = [t.get("name") for t in figure(at, k)["data"]]
        assert "Uniform, 20 draws" in names
        assert "Longest" in names


def test_the_verdict_says_where_the_picks_stand_at_equal_tokens_and_what_is_proven():
    at, chosen, rows = open_page(), select("demo", budget=120), embed("demo")
    fits = [int((np.cumsum(rows.tokens[o]) <= chosen.tokens.sum()).sum()) for o in draw_orders(len(rows))]
    draws = [float(log_det_at(rows, o, [n])[0]) for o, n in zip(draw_orders(len(rows)), fits, strict=True)]
    said = re.search(
        r"\*\*Barely better than chance at equal tokens\*\*: the 120 picks of TokenOD gain \*\*([\d,]+) nats\*\* of log det with 10,119 "
        r"trained tokens, random draws with as many tokens ([\d,]+) to ([\d,]+) and the longest sentences first [\d,]+\. "
        r"That is at least ([\d.]+)% of the best possible with 120 sentences, guaranteed\.",
        text_of(at),
    )
    gained, low, high, proven = (float(part.replace(",", "")) for part in said.groups())
    assert (gained, low, high) == pytest.approx((chosen.log_det, min(draws), max(draws)), rel=1e-3)
    assert 100 * chosen.proven_share <= proven < 100 * chosen.proven_share + 2


@pytest.mark.parametrize(
    ("value", "words"),
    [(120.0, "Better than chance"), (101.6, "Barely better"), (101.0, "No better than chance"), (97.0, "Worse than chance")],
)
def test_a_lead_over_random_draws_is_called_what_it_is(value, words):
    assert _standing(value, np.array([100.0, 101.5, 101.5])).startswith(words)


def test_moving_the_budget_changes_tiles_map_and_table_and_computes_no_selection(monkeypatch):
    at = open_page()
    monkeypatch.setattr("fishersft.selectors.token_od.TokenOD.order", lambda *a, **k: pytest.fail("computed again"))
    at.slider(key="sentences").set_value(7).run()
    assert drawn_map(at)[0]["n"] == 7
    assert len(at.dataframe[0].value) == 7
    assert at.dataframe[0].value["pick"].tolist() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("budget", [3, 20, 120, 150])
def test_the_comparison_in_words_is_what_the_draws_and_the_control_give(budget):
    rows = embed("demo")
    chosen = select("demo", budget=budget)
    spent = int(chosen.tokens.sum())
    said = text_of(open_page(sentences=str(budget), part="Numbers")).replace(",", "")
    longest = np.argsort(-rows.tokens, kind="stable")
    draws = draw_orders(len(rows))

    def f(order, n):
        return float(log_det_at(rows, order, [n])[0])

    def fitting(order):
        return int((np.cumsum(rows.tokens[order]) <= spent).sum())

    found = [float(v) for v in re.search(
        r"At your budget TokenOD gains ([\d.]+) nats.*?Uniform gains ([\d.]+) to ([\d.]+) and Longest ([\d.]+)\. .*?Uniform gains ([\d.]+) to ([\d.]+) and Longest ([\d.]+)\.",
        said,
    ).groups()]  # fmt: skip
    numbers, tokens = [f(o, budget) for o in draws], [f(o, fitting(o)) for o in draws]
    expected = [
        chosen.log_det,
        min(numbers),
        max(numbers),
        f(longest, budget),
        min(tokens),
        max(tokens),
        f(longest, fitting(longest)),
    ]
    assert found == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize("unit", ["percent", "tokens"])
def test_budgets_in_percent_and_tokens(unit):
    at = open_page(unit=unit, part="Numbers")
    at.slider(key=unit).set_value({"percent": 2.0, "tokens": 1000}[unit]).run()
    selected = int(tiles(at)["Selected"].split()[0])
    if unit == "percent":
        assert selected == 25
    else:
        assert int(tiles(at)["Trained tokens"].replace(",", "")) <= 1000
        assert figure(at, 1)["layout"]["xaxis"]["title"]["text"] == "trained tokens selected"


@pytest.mark.parametrize("selector", ["sentence_od", "uniform", "longest"])
def test_every_selector_is_shown_beside_token_od(selector):
    at = open_page(selector=selector, part="Numbers")
    assert "TokenOD" in [t.get("name") for t in figure(at)["data"]]
    share = tiles(at)["Share of the optimum"]
    assert 50 < float(re.search(r"[\d.]+", share)[0]) < 100


def test_an_address_opens_the_same_view():
    at = open_page(selector="sentence_od", sentences="33", colour="topic", record="281")
    assert "the 33 picks of SentenceOD" in text_of(at)
    assert "Record 281" in text_of(at)
    assert at.selectbox(key="colour").value == "topic"
    assert {"recipes", "chess", "clinic"} <= {entry[0] for entry in drawn_map(at)[0]["legend"]}


@pytest.mark.parametrize(
    "bad", [{"sentences": "5000"}, {"selector": "magic"}, {"unit": "miles"}, {"colour": "mood"}, {"record": "x1"}, {"seed": "-1"}]
)
def test_a_stale_address_is_named_on_the_page(bad):
    at = open_page(**bad)
    assert next(iter(bad.values())) in " ".join(w.value for w in at.warning)
    assert "the 120 picks of TokenOD" in text_of(at)


def test_clicking_a_point_opens_its_reasons_and_a_lasso_its_set():
    at = open_page()
    assert "Record 902 is **pick 1** of TokenOD" in text_of(at)  # nothing is asked for yet: the first pick
    assert "record" not in at.query_params
    at.session_state["fishersft"].record = 281
    at.run()
    assert "Record 281 is **pick 2** of TokenOD" in text_of(at)
    rows = embed("demo")
    assert f"Length **{int(rows.tokens[rows.index == 281][0])} tokens**" in text_of(at)
    assert at.query_params["record"] == "281"
    at.session_state["fishersft"].lasso = (0, 1, 2, 4)
    at.run()
    assert len(at.dataframe[0].value) == 4


@pytest.mark.parametrize(("record", "words"), [("3", "is held out"), ("99999", "is not in this corpus")])
def test_a_record_that_no_selector_sees_is_explained(record, words):
    assert words in text_of(open_page(record=record))


def test_an_unpicked_record_says_when_it_would_come():
    at = open_page(sentences="1", record="281")
    assert "is not selected; TokenOD would take it as **pick 2**" in text_of(at)


def test_searching_lights_up_matches_and_filters_the_table():
    at = open_page()
    at.text_input(key="q").set_value("zzzzz").run()
    assert "q" not in at.query_params
    assert "No record matches" in text_of(at)
    at.text_input(key="q").set_value("water THE").run()
    found = at.dataframe[0].value["text"].str.lower()
    assert (found.str.contains("water") & found.str.contains("the")).all()


def test_the_command_line_on_the_page_is_the_one_that_does_the_same():
    at = open_page(selector="uniform", seed="7", sentences="12", part="Save and repeat")
    command = at.code[0].value
    assert command == "fishersft select demo --model mini --selector uniform --budget 12 --seed 7 --out picks.jsonl"
    exec(at.code[1].value.split("print(")[0], scope := {})
    assert len(scope["picks"]) == 12


def test_the_corpus_page_shows_the_demo():
    at = open_page("corpus")
    assert tiles(at)["Records"] == "1,389"
    assert tiles(at)["topic"] == "16 values"
    assert "Embedded: 51,323 rows" in text_of(at)
    assert "**demo**: 1,389 plain texts, 139 held out, 1,250 to choose from; embedded with **mini**" in text_of(at)
    (record,) = [e.proto.body for e in at.get("html") if "Day two after" in re.sub("<[^>]+>", "", e.proto.body)]
    assert "endoftext" not in re.sub("<[^>]+>", "", record) and re.findall(">(start|end)<", record) == ["start", "end"]
    at.segmented_control(key="part").set_value("Records").run()
    assert len(at.dataframe[0].value) == 1389


def test_one_record_is_one_text(tmp_path):
    (path := tmp_path / "one.txt").write_text("A single line.\n")
    assert ": 1 plain text, 0 held out, 1 to choose from; not embedded" in text_of(open_page("corpus", corpus=str(path)))


def test_a_corpus_that_is_not_embedded_is_embedded_by_one_button(jsonl):
    at = open_page("corpus", corpus=str(jsonl))
    assert "has no embeddings" in text_of(open_page(corpus=str(jsonl)))
    next(b for b in at.button if b.label.startswith("Embed")).click().run()
    assert not at.exception
    assert len(embed(load_corpus(str(jsonl)))) == 4
    shown = open_page(corpus=str(jsonl))
    assert len(drawn_map(shown)[1]["x"]) == 4


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ({"corpus": "/nowhere/x.txt"}, "There is no file"),
        ({"corpus": "upload:0123456789abcdef.txt"}, "not on this machine"),
        ({"corpus": "upload:../../etc/passwd"}, "upload the file again"),
        ({"model": "./nowhere"}, "There is no model folder"),
        ({"corpus": "demo", "holdout": "lots"}, "must be a number"),
    ],
)
@pytest.mark.parametrize("page", ["explore", "corpus"])
def test_what_cannot_be_opened_gets_a_box_and_no_traceback(address, sentence, page):
    at = open_page(page, **address)
    assert sentence in " ".join(e.value.replace("\\", "") for e in at.error)


def chosen(at, **columns):
    """The Corpus page after columns were named in its form, by the label of their box."""
    for label, column in columns.items():
        next(box for box in at.selectbox if box.label == label.replace("_", " ")).set_value(column)
    return next(b for b in at.button if b.label == "Read again").click().run()


def test_a_column_that_is_not_found_can_be_chosen(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("title,abstract\n" + "".join(f"t{i},some words {i}\n" for i in range(6)))
    at = open_page("corpus", corpus=str(path))
    assert "Choose below what they hold" in at.error[0].value
    assert "title, abstract" in text_of(at)
    assert tiles(chosen(at, Text_column="abstract"))["Records"] == "6"


def test_questions_and_answers_under_any_name_can_be_opened_and_the_link_keeps_the_columns(tmp_path):
    path = tmp_path / "faq.jsonl"
    rows = [{"asked": f"What is {i}?", "said": f"A number, {i}.", "persona": "Be kind."} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    at = chosen(open_page("corpus", corpus=str(path)), Prompt_column="asked", Completion_column="said", System_column="persona")
    assert "Read as **prompts and completions**" in text_of(at)
    assert (at.query_params["prompt_column"], at.query_params["system_column"]) == ("asked", "persona")
    body = " ".join(e.proto.body.replace("<br>", "") for e in at.get("html"))
    marked = re.sub(r"<span style=\"opacity:.8[^>]*>[^<]*</span>|<[^>]+>", "", body)
    assert marked.startswith("A number, 0.")  # what the assistant says, and nothing of the question or the persona
    assert "Be kind" in re.sub("<[^>]+>", "", body)


def test_a_first_line_that_looks_like_a_record_is_asked_about(tmp_path):
    at = open_page("corpus", corpus=str(ROOT / "tests" / "data" / "cases" / "no_header.csv"))
    assert "choose nowhere for Column names under How it is read" in text_of(at)
    assert tiles(chosen(at, Column_names="none"))["Records"] == "8"


def test_what_is_not_used_and_what_is_not_trained_is_said(tmp_path):
    path = tmp_path / "p.jsonl"
    rows = [{"prompt": "q", "completion": "" if i < 2 else f"a{i}", "label": i > 3} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = " ".join(w.value.replace("\\", "") for w in open_page("corpus", corpus=str(path), holdout="0").warning)
    assert "label (false in 4 records, which are trained all the same)" in said
    assert "2 blank (records 0 and 1)" in said


def test_a_hosted_demo_opens_no_paths_and_no_models(monkeypatch, jsonl):
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    assert "opens no paths" in open_page(corpus=str(jsonl)).error[0].value
    assert "one model" in open_page(model="gpt2").error[0].value
    at = open_page("corpus")
    assert not at.text_input
    assert "the one that this hosted demo has" in text_of(at)
    kept = Store.default().keep_upload(jsonl.read_bytes(), ".jsonl", "mine.jsonl")
    at = open_page("corpus", corpus=f"upload:{kept.name}")
    assert tiles(at)["Records"] == "8"
    assert "**mine.jsonl**: 8 plain texts" in text_of(at)


HOSTILE = [
    "<img src=x onerror=alert(1)>", "</span><script>alert(1)</script>", "$x^2$ $$y$$", ":red[danger] :material/home:",
    "![beacon](http://127.0.0.1:9/beacon.png)", "[click](javascript:alert(1))", "<b>bold</b>", "\u202eright to left\u202c",
    "zero\u200bwidth\ufeff", "a" * 100_000, "{{ 7*7 }} %s {0}", "\x00\x07 control", "# heading\n- list\n> quote",
]  # fmt: skip


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "<img src=x>.jsonl"
    rows = [{"text": t, "topic": HOSTILE[i % 2], "<i>col</i>": "ab"[i % 2]} for i, t in enumerate(HOSTILE)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    embed(load_corpus(str(path), holdout=0))
    return str(path)


def test_hostile_text_is_shown_and_never_obeyed(hostile):
    for record in range(len(HOSTILE)):
        at = open_page(corpus=hostile, holdout="0", record=str(record), sentences="5", colour="topic", map="PCA")
        for element in at.get("html"):
            body = element.proto.body
            assert not re.search(r"<(?!/?(div|span|br|style)\b)[a-z]", body.split("</style>")[-1])
            assert "\u202e" not in body
        for markdown in at.markdown:
            assert "](" not in re.sub(r"\\.", "", markdown.value)
            assert "<" not in re.sub(r"\\.", "", markdown.value)
            assert not markdown.allow_html
        names = "".join(t.get("name") or "" for t in figure(at)["data"])
        assert "<" not in names
    at = open_page("corpus", corpus=hostile, holdout="0")
    assert tiles(at)["Records"] == str(len(HOSTILE))


class TestParameters:
    @pytest.fixture
    def small(self, jsonl):
        embed(load_corpus(jsonl))
        return str(jsonl)

    def test_a_form_appears_for_the_parameters_of_a_selector_and_changes_what_is_computed(self, small):
        at = open_page(corpus=small, part="Save and repeat")
        at.number_input(key="token_od.sigma2").set_value(50.0).run()
        assert not at.exception
        assert "--set sigma2=50.0" in "".join(c.value for c in at.code)
        assert "TokenOD, sigma2=50.0" in [t.get("name") for t in figure(at)["data"]]

    def test_a_link_carries_numbers_and_choices_but_never_a_server(self, small):
        at = open_page(corpus=small, selector="perplexity", part="Save and repeat", **{"perplexity.keep": "middle"})
        assert "--set keep=middle" in "".join(c.value for c in at.code)
        at = open_page(corpus=small, selector="ask_llm", **{"ask_llm.base_url": "http://127.0.0.1:9/v1", "ask_llm.model": "x"})
        assert next(t for t in at.text_input if t.key == "ask_llm.base_url").value == ""
        assert "needs an instruction-tuned model" in text_of(at)

    def test_help_comes_from_the_declaration(self):
        assert declared(find_selector("token_od"))["sigma2"].about.help.startswith("Weight of the identity")
        for name, kind in registry().items():
            assert {one.name for one in declared(kind).values() if one.about.help} == {f.name for f in fields(kind)}, name

    def test_every_selector_opens(self, small):
        at = open_page(corpus=small)
        for name in (name for name, kind in registry().items() if not kind.needs_target):  # test_target_pages.py has the others
            at.selectbox(key="selector").set_value(name).run()
            assert not at.exception, name
            assert bool(at.error) == (name in ("ask_llm", "ifd")), (name, [e.value for e in at.error])

    def test_what_reaches_out_is_not_offered_on_a_hosted_demo(self, monkeypatch):
        monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
        assert "Ask-LLM" not in open_page().selectbox(key="selector").options


def test_a_refused_upload_is_called_by_its_own_name_and_no_place_or_option_of_the_host_is_told(home):
    for name, data, said in (
        ("my notes.jsonl", b'{"text": "a"}\n{broken\n', "my notes.jsonl, line 2 is broken"),
        ("nothing.txt", b"", "nothing.txt is empty"),
        ("table.csv", b"aa,bb\n1,2\n", "table.csv has columns of no known shape"),
    ):
        kept = Store.default().keep_upload(data, name[name.rindex(".") :], name)
        for page in ("corpus", "explore"):
            at = open_page(page, corpus=f"upload:{kept.name}")
            told = " ".join(e.value for e in [*at.error, *at.caption]).replace("\\", "")
            assert said in told
            assert not re.search(r"--[a-z]", told)
            assert str(home) not in told
            assert kept.stem not in told


CRAFTED = [None, "x", "9", float("nan"), float("inf"), -5, 1e300, 10**400, [], [[1]], ["a"], [float("nan")], [None], {"a": 1}]


@pytest.mark.parametrize("sent", CRAFTED, ids=lambda sent: str(sent)[:12])
def test_what_no_browser_of_ours_sends_chooses_no_record(sent, monkeypatch):
    visitor = Session()
    state = {"table": {"selection": {"rows": sent}}, "odd": {"selection": {"points": sent}}}
    state["chart"] = {"selection": {"points": [{"customdata": sent}, sent, {}]}}
    monkeypatch.setattr(st, "session_state", state | {explore_map.KEY: {"record": sent, "lasso": [sent] * 3, "region": sent}})
    components.open_row(visitor, "table", [7, 8, 9])
    for key in ("odd", "chart"):
        maps.point_or_lasso(visitor, key)
    explore_map._clicked(visitor)
    explore_map._marked(None, visitor, "PCA", None)
    explore_map._regarded(None, "PCA")
    assert (visitor.record, visitor.lasso, explore_map.REGION in st.session_state) == (None, (), False)


def test_what_a_browser_sends_chooses_its_record(monkeypatch):
    visitor, points = Session(), [{"customdata": 4}, {"customdata": [6]}]
    state = {
        "table": {"selection": {"rows": [2]}},
        "one": {"selection": {"points": points[:1]}},
        "two": {"selection": {"points": points}},
    }
    monkeypatch.setattr(st, "session_state", state | {explore_map.KEY: {"record": 5}})
    components.open_row(visitor, "table", [7, 8, 9])
    assert visitor.record == 9
    maps.point_or_lasso(visitor, "one")
    assert visitor.record == 4
    explore_map._clicked(visitor)
    assert visitor.record == 5
    maps.point_or_lasso(visitor, "two")
    assert visitor.lasso == (4, 6)
