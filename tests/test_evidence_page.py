"""The Evidence page: who leads, in a sentence and a picture that agree with the arena; narrowed, on a phone, on a hosted demo."""

import json
import shlex
from math import inf

import numpy as np
import pytest

from fishersft.errors import StoreError
from fishersft.finetuning.arena import read_arena, write_arena
from fishersft.finetuning.leaderboard import Contest, Entry, Score, leaderboard, sentence
from fishersft.finetuning.results import HeldOut, Interval
from fishersft.finetuning.tokens_saved import TokensSaved
from fishersft.store import jobs
from fishersft.ui.evidence import leaderboard as panels

from .conftest import command_line
from .test_pages import HOSTILE, figure, open_page, text_of

LABELS = {
    "base": "Untuned",
    "uniform": "Uniform",
    "token_od": "TokenOD",
    "target_matched": "TargetMatched",
    "mine": " ".join(HOSTILE),
}

SAVED = {
    "target_matched": (Interval(inf, 8_000.0, inf), 8_000.0, 2_000.0, 100.0),
    "token_od": (Interval(500.0, 250.0, 1_000.0), 8_000.0, 2_000.0),
}


def contest(key, target="", budget=60, model="mini", **shifts):
    rng = np.random.default_rng(len(key))
    tokens = rng.integers(5, 50, 40)
    hard = rng.normal(3, 0.5, 40)
    entries = {}
    for name, shift in {"base": 0.5, "uniform": 0.0, **shifts}.items():
        nats = (hard + shift + rng.normal(0, 0.02, (3, 40))) * tokens
        facts = {"sentences": 60.0, "tokens": 2_000.0, "seconds": 3.0, "choosing": 0.5, "on_target": None}
        saved = TokensSaved(*SAVED[name]) if name in SAVED else None
        score = Score("f1", Interval(0.25, 0.2, 0.3), Interval(-0.1, -0.2, 0.0)) if name == "token_od" else None
        entries[name] = Entry(name, LABELS[name], HeldOut(nats, tokens), facts, saved, score)
    return Contest(key, "demo", target, model, budget, "the 40 held-out texts of demo", entries)


@pytest.fixture
def arena(home):
    contests = [
        contest("a", "topic = law", token_od=0.1, target_matched=-0.2),
        contest("bb", "topic = law", model="bigger", token_od=0.1, target_matched=-0.1),
        contest("ccc", token_od=0.2, mine=0.3),
    ]
    write_arena(home / "arenas" / "feedbeef", "feedbeef", {"command": ["fishersft", "arena", "demo"]}, contests)
    return read_arena(home / "arenas" / "feedbeef")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERSFT_HOME", str(tmp_path))
    return tmp_path


def plain(at):
    return text_of(at).replace("\\", "").replace("\u2060", "")


def test_the_verdict_and_the_picture_are_the_arenas(arena):
    at = open_page("evidence", arena="feedbeef")
    contests = arena.groups["For a target"]
    placings = leaderboard(contests)
    assert sentence(placings, contests) in plain(at)
    drawn = [(trace["y"][0], trace["x"][0]) for trace in figure(at)["data"]]
    assert [name for name, _ in drawn] == ["1. TargetMatched", "2. TokenOD", "Untuned"]
    assert [value for _, value in drawn] == pytest.approx([p.minus_uniform.value for p in placings])
    assert not at.error and not at.warning
    assert "2 contests, 3 seeds a selector" in plain(at)
    (alt,) = (c.proto.alt for c in at.get("plotly_chart")[1:])  # the numbers of the second picture, for who cannot see it
    assert all(f"{contests[1].differences['token_od'].value:+.3f}" in alt and c.title in alt for c in contests)


def test_it_is_narrowed_to_what_the_address_says(arena):
    at = open_page("evidence", arena="feedbeef", model="bigger")
    (one,) = (c for c in arena.contests if c.model == "bigger")
    assert sentence(leaderboard([one]), [one]) in plain(at)
    at = open_page("evidence", arena="feedbeef", aim="For no target", part="Table")
    assert "No selector is clearly better than a random draw" in plain(at)
    assert "fishersft arena demo" in at.code[0].value


def test_the_command_of_an_arena_is_quoted(arena):
    words = ["fishersft", "arena", "my pool.jsonl; touch canary"]
    write_arena(arena.folder, arena.id, {"command": words}, arena.contests)
    at = open_page("evidence", arena="feedbeef", part="Table")
    assert shlex.split(at.code[0].value) == words
    write_arena(arena.folder, arena.id, {"command": 5}, arena.contests)
    with pytest.raises(StoreError, match="command"):
        read_arena(arena.folder)


def test_what_a_token_is_worth_is_told_in_every_form(arena, monkeypatch):
    said = "Each of its tokens does what more than 4 tokens of a random draw do."
    at = open_page("evidence", arena="feedbeef", model="bigger", unit="Tokens of a random draw")
    assert said in plain(at)
    drawn = figure(at, 1)["data"][0]
    assert (drawn["y"], drawn["text"]) == (["TargetMatched", "TokenOD"], [["<b>> 4</b>"], ["<b>0.25</b>"]])
    at = open_page("evidence", arena="feedbeef", model="bigger", part="Table")
    rows = {row["selector"]: row for row in at.dataframe[0].value.to_dict("records")}
    assert rows["TargetMatched"]["a token is worth"] == "more than 4"
    assert rows["TargetMatched"]["tokens saved"] == "more than +5,900 net of choosing"
    assert rows["TokenOD"]["tokens saved"] == "-1,500 (-1,750 to -1,000) before choosing"
    assert rows["TokenOD"]["token F1, minus a random draw"] == "-0.100 (-0.200 to +0.000)"
    monkeypatch.setattr("fishersft.ui.components.touch", lambda: True)
    assert "more than 4" in plain(open_page("evidence", arena="feedbeef", unit="Tokens of a random draw"))


def test_names_from_files_are_shown_and_not_obeyed(arena):
    for part in (panels.CONTESTS, panels.TABLE):
        at = open_page("evidence", arena="feedbeef", aim="For no target", part=part)
        assert not at.error
        assert "<img" not in json.dumps(figure(at)["data"])


def test_on_a_phone_the_contests_are_cards(arena, monkeypatch):
    monkeypatch.setattr("fishersft.ui.components.touch", lambda: True)
    at = open_page("evidence", arena="feedbeef")
    assert len(at.get("plotly_chart")) == 1
    assert "topic = law" in plain(at)


def test_an_arena_of_ones_own_starts_as_a_job_that_the_command_line_would_run_too(arena, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda arguments, **more: started.append((arguments, more)))
    at = open_page("evidence", arena="feedbeef", part=panels.OWN)
    at.multiselect(key="arena-selectors").set_value(["longest"])
    at.number_input(key="arena-n").set_value(8).run()
    next(b for b in at.button if b.key == "run-arena").click().run()
    ((arguments, more),) = started
    assert more["kind"] == "arena"
    assert arguments[:2] == ["arena", "demo"]
    assert " ".join(arguments).count("--budgets 8 --curve 2,4,16") == 1
    assert command_line(*arguments, "--help").returncode == 0


def test_a_hosted_demo_starts_nothing_and_names_no_command(arena, monkeypatch):
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    for part in (panels.TABLE, panels.OWN):
        at = open_page("evidence", part=part)
        assert not [b for b in at.button if b.key == "run-arena"]
        assert "fishersft arena demo" not in " ".join(c.value for c in at.code)
