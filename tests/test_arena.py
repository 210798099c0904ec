"""An arena: every selector in every setting it can have, resumed, extended and read back; what is damaged is said."""

import json
import shutil

import numpy as np
import pytest

import fishersft
from fishersft import catalogue
from fishersft.errors import ParameterError, StoreError
from fishersft.finetuning.arena import contests_of, read_arena, write_arena
from fishersft.finetuning.contests import Setting, every_selector
from fishersft.finetuning.leaderboard import leaderboard, pool_key
from fishersft.finetuning.results import FineTuneResult
from fishersft.selectors import registry
from fishersft.store.artifacts import Store
from tests.conftest import ROOT, command_line
from tests.tiny_model import make_corpus, make_model
from tests.tuned_run import tuned_run

QUICK = {"budgets": (8,), "curve": (4,), "seeds": 2, "epochs": 1, "batch": 4, "learning_rate": 3e-3, "prompts": 0, "all": False}
WORDED = [w for name, value in QUICK.items() if name != "all" for w in (f"--{name.replace('_', '-')}", str(value).strip("(),"))]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "small.jsonl", 150)


@pytest.fixture(scope="module")
def made(corpus, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("arena") / "out"
    store = Store(tmp_path_factory.mktemp("home"))
    said: list[str] = []
    names = ["token_od", "longest", "target_matched", "ifd"]
    found = fishersft.arena(
        [str(corpus), f"{corpus}@topic=x"], [model], selectors=names, out=out, store=store, say=said.append, **QUICK
    )
    return found, said, out, store


def test_a_setting_has_the_selectors_that_it_can_have_and_the_rest_is_said(made, model):
    found, said, *_ = made
    plain, aimed = found.contests
    assert list(plain.entries) == ["base", "uniform", "token_od", "longest"]
    assert list(aimed.entries) == ["base", "uniform", "token_od", "longest", "target_matched"]
    assert (plain.target, aimed.target) == ("", "topic = x")
    assert {c.model for c in found.contests} == {*found.about["models"]} == {model.name}  # not where it lies
    assert said[-1] == "IFD left out: no setting has the target, the column, or the prompts that are needed."
    assert {"token_od", "uniform", "target_matched"} < set(every_selector())
    assert "ask_llm" not in every_selector()


def test_its_numbers_are_those_of_its_runs(made):
    found, _, out, _ = made
    runs = [FineTuneResult.open(path) for path in sorted((out / "runs").iterdir())]
    assert len(runs) == 2
    for run in runs:
        contest = next(c for c in found.contests if bool(c.target) == run.on_target)
        assert contest.key == contests_of(run)[0].key
        assert contest.pool == pool_key(run.run.about["corpus"]["fingerprint"], run.run.about.get("target", {}).get("key", ""))
        lines = {line.selector: line for line in run.lines if line.budget in (8, None)}
        for name, d in contest.differences.items():
            if expected := lines[name].minus_uniform:
                assert d.value == pytest.approx(expected["mean"].value, abs=1e-5)  # nats are kept as float32
        saved = {name: repr(e.saved) for name, e in contest.entries.items()}
        assert saved == {name: repr(lines[name].saved) for name in saved}
        assert [name for name, told in saved.items() if told == "None"] == ["base", "uniform"]
        assert contest.entries["uniform"].facts["sentences"] == 8
        assert {model.facts["steps"] for model in run.run.models.values() if model.budget == 8} == {2}  # the same for all


def test_the_curve_is_of_uniform_alone_and_of_no_contest(made):
    found, _, out, _ = made
    cells = {path.name for path in (next((out / "runs").iterdir()) / "cells").iterdir() if not path.name.startswith(".")}
    assert {name for name in cells if "-4-" in name} == {"uniform-4-s0", "uniform-4-s1"}
    assert {c.budget for c in found.contests} == {8}


def test_the_same_call_computes_nothing_and_a_selector_may_be_added(made, corpus, model):
    found, _, out, store = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob("cell.json")}
    said: list[str] = []
    more = fishersft.arena([str(corpus)], [model], selectors=["density"], out=out, store=store, say=said.append, **QUICK)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [sentence.partition(":")[0] for sentence in said] == ["density-8-s0", "density-8-s1"]
    assert len(more.contests) == 2  # what is in the folder stays in the result
    assert [s.rank for s in leaderboard(more.contests[:1]) if s.selector == "density"] != [None]
    again = fishersft.arena(
        [str(corpus), f"{corpus}@topic=x"], [model], selectors=["token_od", "longest"], out=out, store=store, **QUICK
    )
    assert again.contests[0].differences["token_od"] == found.contests[0].differences["token_od"]


@pytest.mark.parametrize(("written", "found"), [({"sigma2": 4.0}, 4.0), ({}, "unknown")])
def test_a_changed_parameter_and_one_of_a_later_version_are_named_and_kept(written, found, tmp_path):
    folder = tuned_run(tmp_path / "run")
    run = json.loads((folder / "run.json").read_text())
    for what in ("corpus", "model"):
        run["about"][what]["fingerprint"] = what
    for selector in run["about"]["selectors"]:
        kind = registry()[selector["name"]]
        selector["parameters"] = written if selector["name"] == "token_od" else kind().parameters
    (folder / "run.json").write_text(json.dumps(run))
    made = contests_of(FineTuneResult.open(folder))
    write_arena(tmp_path / "arena", "one", {}, made)
    for contest in (*made, *read_arena(tmp_path / "arena").contests):
        assert {name: e.parameters for name, e in contest.entries.items() if e.parameters} == {"token_od": {"sigma2": found}}
        assert contest.entries["token_od"].label.endswith(f" (sigma2 = {found})")


def test_a_run_of_which_no_model_is_finished_is_no_contest_and_stops_nobody(made, corpus, model, tmp_path):
    *_, out, store = made
    for path in (out / "runs").iterdir():
        shutil.copytree(path, tmp_path / "runs" / path.name)
        if "topic" in path.name:  # as a process leaves it that was stopped, or is at work, before its first model
            shutil.rmtree(tmp_path / "runs" / path.name / "cells")
    found = fishersft.arena([str(corpus)], [model], selectors=["longest"], out=tmp_path, store=store, **QUICK)
    assert [contest.target for contest in found.contests] == [""]


def test_the_command_line_says_the_same_and_the_catalogue_lists_it(corpus, model, tmp_path):
    home = tmp_path / "home"
    asked = ["arena", corpus, "--models", model, "--selectors", "longest,uniform", *WORDED, "--no-all"]
    answer = command_line(*asked, "--json", FISHERSFT_HOME=str(home))
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    board = told["leaderboards"]["For no target"]
    assert [s["selector"] for s in board["placings"]] == ["longest", "base"]
    text = command_line(*asked, FISHERSFT_HOME=str(home))
    assert board["sentence"] in text.stdout
    assert "| 1 | Longest |" in text.stdout
    assert "nats per" not in text.stderr  # nothing was tuned again
    (run,) = (run for run in catalogue.runs(catalogue.ARENA, Store(home)) if not run.shipped)
    assert (run.id, run.problem) == (told["id"], "")
    assert read_arena(run.id, Store(home)).contests[0].key == told["contests"][0]["key"]
    assert "--budgets 8 --curve 4 --seeds 2" in " ".join(told["about"]["command"])


def test_what_another_arena_measured_in_the_same_setting_is_ranked_beside_ones_own(corpus, model, tmp_path):
    asked = ["arena", corpus, "--models", model, *WORDED, "--no-all", "--json"]
    boards = []
    for selector, out in (("longest", tmp_path / "arenas" / "first"), ("density", tmp_path / "second")):
        answer = command_line(*asked, "--selectors", selector, "--out", out, FISHERSFT_HOME=str(tmp_path))
        assert answer.returncode == 0, answer.stderr
        boards.append({s["selector"]: s for s in json.loads(answer.stdout)["leaderboards"]["For no target"]["placings"]})
    assert [set(board) for board in boards] == [{"longest", "base"}, {"longest", "density", "base"}]
    assert boards[1]["longest"]["minus_uniform"] == boards[0]["longest"]["minus_uniform"]


@pytest.mark.parametrize(
    ("text", "corpus", "target"),
    [("demo", "demo", None), ("demo@topic=law", "demo", "topic=law"), ("a@b@c.jsonl", "a@b", "c.jsonl")],
)
def test_a_setting_is_read_from_its_words(text, corpus, target):
    assert Setting.read(text) == Setting(corpus, target)


def test_a_file_whose_name_has_an_at_is_a_corpus(tmp_path):
    (tmp_path / "x@y.txt").write_text("one\n")
    assert Setting.read(str(tmp_path / "x@y.txt")).target is None


def test_mistakes_get_a_sentence(corpus, model, tmp_path):
    with pytest.raises(ParameterError, match="neither a corpus nor CORPUS@TARGET"):
        Setting.read("demo@")
    for words, sentence in (
        (["demo@topic=nothing"], "nothing"),
        ([corpus, "--selectors", "nobody"], "nobody"),
        ([corpus, "--models", ","], "at least one corpus and one model"),
        ([corpus, "--budgets", "400"], "above the pool"),
    ):
        answer = command_line("arena", *words, *WORDED[2:], "--out", tmp_path / "x", FISHERSFT_HOME=str(tmp_path))
        assert (answer.returncode, answer.stdout) == (2, ""), words
        assert sentence in answer.stderr
        assert answer.stderr.strip().count("\n") <= 1


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda file: file.write_text("{"), "is damaged"),
        (lambda file: file.write_text(file.read_text().replace('"seeds": 2', '"seeds": 0')), "is damaged"),
        (lambda file: (file.parent / "contest-0.npy").write_bytes(b"no"), "is not what was written"),
        (lambda file: np.save(file.parent / "contest-0.npy", np.zeros(3)), "is damaged"),
    ],
)
def test_a_damaged_arena_is_said_and_takes_no_list_down(made, tmp_path, damage, sentence):
    store = Store(tmp_path)
    folder = tmp_path / "arenas" / "abc123"
    folder.mkdir(parents=True)
    for path in made[2].glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    assert not catalogue.find_run("abc123", store=store).problem
    damage(folder / "arena.json")
    with pytest.raises(StoreError, match=sentence):
        read_arena(folder)
    assert sentence in catalogue.find_run("abc123", store=store).problem


def test_there_is_no_such_arena():
    with pytest.raises(StoreError, match="There is no arena 'nowhere'"):
        read_arena("nowhere")


def test_the_command_of_a_strangers_arena_is_one_of_ours_or_none(tmp_path):
    folder = tmp_path / "arena"
    shutil.copytree(ROOT / "assets" / "arenas" / "mini", folder)
    assert read_arena("mini").command[:2] == ["python", "assets/build_arena.py"]
    assert read_arena(folder).command == []
    told = json.loads((folder / "arena.json").read_text())
    for command in (["fishersft", "arena", "my corpus.jsonl"], 5, "rm -rf", [["a"]]):
        (folder / "arena.json").write_text(json.dumps({**told, "about": {**told["about"], "command": command}}))
        if isinstance(command, list) and isinstance(command[0], str):
            assert read_arena(folder).command == command
        else:
            with pytest.raises(StoreError, match="damaged"):
                read_arena(folder)
