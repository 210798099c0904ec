"""Runs of fine-tuning: the same hyperparameters for all, equal sentences or equal tokens, and nothing lost to a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fishersft.corpus.encode import encode
from fishersft.corpus.records import Text
from fishersft.errors import StoreError
from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.run import read_run
from fishersft.finetuning.stages import edge_warning, finetune
from fishersft.lm.losses import nats_of
from fishersft.lm.model import load_model
from tests.conftest import ROOT, command_line
from tests.tiny_model import WORDS, make_corpus, make_model

COMMON = (
    "--epochs",
    1,
    "--batch",
    4,
    "--prompts",
    3,
    "--prompt-tokens",
    3,
    "--new-tokens",
    6,
    "--precision",
    "float32",
    "--threads",
    1,
)  # sums depend on how many share them


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "small.jsonl", 120)


def arguments(corpus, model, out, *more):
    return ("finetune", corpus, "--model", model, "--out", out, *COMMON, *(more or MORE))


MORE = ("--selectors", "token_od,uniform", "--budgets", "4,12", "--seeds", "2", "--learning-rate", "0.003")
FEWER = ("--selectors", "uniform", "--budgets", "12", "--seeds", "2", "--learning-rate", "0.003", "--no-all")  # of the same cells


@pytest.fixture(scope="module")
def finished(corpus, model, tmp_path_factory):
    """A whole run, made once."""
    out = tmp_path_factory.mktemp("run") / "whole"
    answer = command_line(*arguments(corpus, model, out), "--json", FISHERSFT_HOME=str(out.parent / "home"))
    assert answer.returncode == 0, answer.stderr
    return out, json.loads(answer.stdout)


def test_every_selection_the_untuned_and_the_whole_pool_are_measured(finished):
    out, summary = finished
    run = read_run(out)
    assert list(run.models) == run.about["cells"]
    assert len(run.models) == 2 * 2 * 2 + 2
    assert [(line["selector"], line["budget"]) for line in summary["lines"]] == [
        ("base", None),
        ("token_od", 4),
        ("uniform", 4),
        ("token_od", 12),
        ("uniform", 12),
        ("all", None),
    ]
    assert {c.facts.get("learning_rate") for c in run.models.values()} == {None, 0.003}  # None is the untuned
    assert run.reference_model is not None


def test_held_out_texts_are_never_trained_on(finished):
    run = read_run(finished[0])
    held_out = set(run.held_out["index"])
    assert held_out
    for cell in run.models.values():
        assert not held_out & set(cell.facts.get("indices") or ())
    assert {p.index for p in run.prompts} <= held_out


def test_means_are_those_of_the_kept_nats(finished):
    run = read_run(finished[0])
    tokens = np.array(run.held_out["tokens"])
    (line,) = (x for x in FineTuneResult(run).lines if (x.selector, x.budget) == ("uniform", 12))
    by_hand = np.mean([run.nats(f"uniform-12-s{s}").sum() / tokens.sum() for s in (0, 1)])
    assert line.values["mean"].value == pytest.approx(by_hand)
    base = run.nats("base").sum() / tokens.sum()
    assert line.minus_base["mean"].value == pytest.approx(by_hand - base)
    assert line.values["mean"].low < by_hand < line.values["mean"].high


def test_every_model_answers_the_same_prompts(finished):
    run = read_run(finished[0])
    assert [p.number for p in run.prompts] == [0, 1, 2]
    for name in run.models:
        assert [t.prompt for t in run.texts(name)] == [0, 1, 2]


@pytest.mark.parametrize("name", ["held_out.npy", "texts.jsonl"])
def test_one_bit_that_has_turned_in_a_models_file_is_found(finished, home, name):
    place = home / "runs" / "kept"
    shutil.copytree(finished[0], place)
    assert command_line("runs", "check").returncode == 0
    file = place / "cells" / "uniform-12-s1" / name
    content = bytearray(file.read_bytes())
    content[-3] ^= 1  # a number of the array is another one, of about the same size; a letter of the text another letter
    file.write_bytes(content)
    run = read_run(place)
    with pytest.raises(StoreError, match=f"{name} is damaged \\(it is not what was written\\); delete the folder of its model"):
        run.nats("uniform-12-s1") if name == "held_out.npy" else run.texts("uniform-12-s1")
    done = command_line("runs", "check")
    assert done.returncode == 1
    assert f"{name} is damaged (it is not what was written)" in done.stdout


def test_a_finished_run_does_nothing_again(finished, corpus, model):
    out, _ = finished
    before = {p: p.stat().st_mtime_ns for p in out.rglob("cell.json")}
    answer = command_line(*arguments(corpus, model, out))
    assert answer.returncode == 0, answer.stderr
    assert {p: p.stat().st_mtime_ns for p in out.rglob("cell.json")} == before


@pytest.mark.rare
@pytest.mark.slow
def test_a_killed_run_ends_with_the_numbers_of_an_undisturbed_one(finished, corpus, model, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "fishersft", *map(str, arguments(corpus, model, out, *FEWER)), "--checkpoint-every", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 400
    while not list(out.glob("work/*/checkpoint-*/whole")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(out.glob("cells/*/cell.json"))) < 3
    answer = command_line(*arguments(corpus, model, out, *FEWER))
    assert answer.returncode == 0, answer.stderr
    whole, killed = read_run(finished[0]), read_run(out)
    for name in killed.about["cells"]:
        assert np.array_equal(whole.nats(name), killed.nats(name)), name
        assert whole.texts(name) == killed.texts(name)


@pytest.mark.rare
@pytest.mark.slow
def test_a_run_killed_between_its_training_and_its_texts_ends_with_the_same_numbers(finished, corpus, model, tmp_path):
    """A real kill -9 while a tuned model is measured and continues prompts: nothing of it was kept, and nothing is lost."""
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "fishersft", *map(str, arguments(corpus, model, out, *FEWER))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    losses, until = out / "work" / "uniform-12-s0" / "losses.jsonl", time.monotonic() + 400
    while process.poll() is None and time.monotonic() < until:
        if losses.exists() and '"step": 3' in losses.read_text():  # twelve sentences, four a step
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert '"step": 3' in losses.read_text() and not (out / "cells" / "uniform-12-s0" / "cell.json").exists()
    answer = command_line(*arguments(corpus, model, out, *FEWER))
    assert answer.returncode == 0, answer.stderr
    whole, killed = read_run(finished[0]), read_run(out)
    for name in killed.about["cells"]:
        assert np.array_equal(whole.nats(name), killed.nats(name)), name
        assert whole.texts(name) == killed.texts(name)


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc-per-node=2", "--standalone"),
    "accelerate": (
        # --multi_gpu is its way of starting several processes; without a GPU each computes on the processor
        *("accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
    ),
}


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_processes_of_a_launcher_share_a_run_and_no_model_is_made_twice(finished, corpus, model, tmp_path, launcher):
    out = tmp_path / "shared"
    words = map(str, arguments(corpus, model, out, *FEWER))
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "-m", "fishersft", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("Nats per held-out token. Run") == 2  # both were there, and both told the whole run
    for name in read_run(out).about["cells"]:
        assert both.stderr.count(f"{name}: ") == 1
    whole, shared = read_run(finished[0]), read_run(out)
    assert all(np.array_equal(whole.nats(n), shared.nats(n)) for n in shared.about["cells"])


def test_selectors_budgets_and_seeds_may_be_added_and_the_rest_may_not(finished, corpus, model, tmp_path):
    out = tmp_path / "grown"
    first = ("--selectors", "uniform", "--budgets", "4", "--learning-rate", "0.003", "--no-all")
    assert command_line(*arguments(corpus, model, out, *first)).returncode == 0
    more = ("--selectors", "uniform,longest", "--budgets", "4,6", "--learning-rate", "0.003", "--no-all")
    assert command_line(*arguments(corpus, model, out, *more)).returncode == 0
    assert set(read_run(out).models) == {"base", "uniform-4-s0", "longest-4-s0", "uniform-6-s0", "longest-6-s0"}
    other = ("--selectors", "uniform", "--budgets", "4", "--learning-rate", "0.001", "--no-all")
    refused = command_line(*arguments(corpus, model, out, *other))
    assert refused.returncode == 2
    assert "holds a run with another training" in refused.stderr


def test_at_equal_tokens_nobody_gets_more_than_the_reference(corpus, model, tmp_path):
    out = tmp_path / "tokens"
    more = ("--selectors", "longest,uniform", "--budgets", "8,16", "--equal", "tokens", "--learning-rate", "0.003", "--no-all")
    assert command_line(*arguments(corpus, model, out, *more)).returncode == 0
    cells = read_run(out).models
    for n in (8, 16):
        reference, other = cells[f"longest-{n}-s0"], cells[f"uniform-{n}-s0"]
        assert reference.sentences == n
        assert 0.8 * reference.tokens < other.tokens <= reference.tokens
        assert other.sentences > n
        assert other.facts["steps"] == reference.facts["steps"]  # as many tokens a step, or more steps would win


def test_the_learning_rate_is_found_on_a_uniform_draw_of_the_pool(corpus, model, tmp_path):
    out = tmp_path / "sweep"
    answer = command_line(*arguments(corpus, model, out, "--selectors", "token_od", "--budgets", "8", "--no-all"))
    assert answer.returncode == 0, answer.stderr
    found = json.loads((out / "rate.json").read_text())
    assert found["chosen"] == min((nats, float(rate)) for rate, nats in found["nats"].items())[1]
    assert f"learning rate {found['chosen']:g}" in answer.stderr
    assert read_run(out).models["token_od-8-s0"].facts["learning_rate"] == found["chosen"]


def test_a_search_for_the_learning_rate_that_was_stopped_goes_on_where_it_was(corpus, model, tmp_path, home):
    class Stopped(Exception):
        pass

    def search(out, stop_at=2.0):
        """The shares of the search that were reported; stopped once one of them is above `stop_at`."""
        seen = []

        def told(what, done, total):
            if what.startswith("finding"):
                seen.append(done / total)
                if seen[-1] > stop_at:
                    raise Stopped

        settings = {"epochs": 1, "batch": 4, "prompts": 0, "precision": "float32", "budgets": (8,), "all": False}
        try:
            finetune(corpus, model, selectors=["uniform"], out=out, on_stage=told, checkpoint_seconds=0, **settings)
        except Stopped:
            return seen
        return seen

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert search(whole)[0] < 0.25
    search(parts, stop_at=0.5)  # in the third of four rates
    tried = json.loads((parts / "work" / "tried.json").read_text())
    assert list(tried["nats"]) == ["3e-05", "0.0001"]
    assert search(parts)[0] > 0.5  # neither the two that were finished nor the steps before the last checkpoint
    nats = [json.loads((out / "rate.json").read_text())["nats"] for out in (whole, parts)]
    assert nats[0] == pytest.approx(nats[1], rel=1e-5)
    assert not (parts / "work").exists()


def test_a_rate_at_the_end_of_those_tried_is_said_to_be_one():
    tried = {"3e-05": 4.6, "0.0001": 4.5, "0.001": None}
    assert edge_warning(1e-4, tried) == ""
    assert "the smallest that was tried; a lower one" in edge_warning(3e-5, tried)
    assert "the largest that was tried; a higher one" in edge_warning(1e-3, tried)


def test_a_model_made_worse_by_tuning_is_said_in_so_many_words(finished, corpus, tmp_path):
    more = ("--selectors", "uniform", "--budgets", "4", "--learning-rate", "0.9", "--no-all")
    tuned_already = read_run(finished[0]).reference_model
    answer = command_line(*arguments(corpus, tuned_already, tmp_path / "bad", *more))
    assert answer.returncode == 0, answer.stderr
    assert "no better than the untuned one" in answer.stderr
    assert "(no better than untuned)" in answer.stdout


def test_reproduce_tunes_once_what_equal_sentences_and_equal_tokens_share(corpus, model, tmp_path):
    out = tmp_path / "both"
    answer = command_line(
        "reproduce", corpus, "--model", model, "--out", out, *COMMON, "--selectors", "longest,uniform", "--budgets", "4",
        "--learning-rate", "0.003", "--judge", "none",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("taken over from equal-sentences") == 2  # untuned, the whole pool
    one, other = read_run(out / "equal-sentences"), read_run(out / "equal-tokens")
    assert one.models["uniform-4-s0"].tokens < other.models["uniform-4-s0"].tokens
    assert "## Equal tokens" in answer.stdout


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--budgets", "4,4"), "Budgets are different whole numbers"),
        (("--budgets", "400"), "above the pool"),
        (("--selectors", "nobody"), "nobody"),
        (("--selectors", "uniform,uniform"), "named twice"),
        (("--learning-rate", "0"), "'learning_rate' must be a number above 0"),
        (("--reference", "longest"), "not among the selectors"),
        (("--holdout", "0"), "holds nothing out"),
    ],
)
def test_a_mistake_gets_one_sentence(corpus, model, tmp_path, more, sentence):
    settings = {"--selectors": "uniform", "--budgets": "4", "--learning-rate": "0.003", **dict([more])}
    answer = command_line(*arguments(corpus, model, tmp_path / "x", *(word for pair in settings.items() for word in pair)))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert sentence in answer.stderr


def test_a_run_of_another_version_is_refused_by_name(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"kind": "finetune", "version": 99, "versions": {"fishersft": "9.1"}}))
    with pytest.raises(StoreError, match=r"another version of fishersft \(9.1\)"):
        read_run(tmp_path)


def test_an_id_is_never_a_way_out_of_the_store(home):
    for id in ("../x", "..", "", "a/b", "*"):
        with pytest.raises(StoreError, match="no run"):
            read_run(id)


@pytest.fixture(scope="module")
def aimed(corpus, model, tmp_path_factory):
    """A run that chose for a target, measured on its other half."""
    place = tmp_path_factory.mktemp("aimed")
    wishes = place / "wishes.jsonl"
    wishes.write_text(
        "".join(json.dumps({"text": f"The bell by the {word} rang for the {word} again."}) + "\n" for word in WORDS)
    )
    answer = command_line(
        "finetune", corpus, "--model", model, "--target", wishes, "--budgets", "6", "--seeds", "2", *COMMON,
        "--learning-rate", "0.01", "--out", place / "run", "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return FineTuneResult.open(place / "run"), json.loads(answer.stdout)


class TestTarget:
    def test_selectors_for_a_target_are_compared_at_equal_tokens_and_equal_steps(self, aimed):
        result, _ = aimed
        assert result.run.about["equal"] == "tokens"
        assert [s["name"] for s in result.run.about["selectors"]] == ["target_matched", "rds_plus", "uniform"]
        tuned = [m for m in result.run.models.values() if m.budget == 6]
        assert len(tuned) == 6 and len({m.facts["steps"] for m in tuned}) == 1
        least = min(m.tokens for m in tuned)
        assert max(m.tokens for m in tuned) - least < 40  # a sentence's worth

    def test_what_is_measured_is_the_half_that_chose_nothing(self, aimed):
        result, _ = aimed
        about = result.run.about["target"]
        assert about["choosing"] == 8 and about["measuring"] == 7 == len(result.run.target["index"])
        assert result.on_target and not result.elsewhere.on_target
        assert result.held["base", None].nats.shape == (1, 7)
        assert result.elsewhere.held["base", None].nats.shape[1] == len(result.run.held_out["index"])

    def test_numbers_are_the_models_own_on_those_texts(self, aimed, model):
        result, _ = aimed
        texts = [Text(f"The bell by the {WORDS[i]} rang for the {WORDS[i]} again.") for i in result.run.target["index"]]
        untuned = load_model(str(model), device="cpu")
        nats = nats_of(untuned, encode(texts, untuned.tokenizer, result.run.about["max_tokens"]))
        assert np.allclose(result.run.nats("base", target=True), nats, rtol=1e-5)
        base = next(line for line in result.lines if line.selector == "base")
        assert base.values["mean"].value == pytest.approx(nats.sum() / sum(result.run.target["tokens"]))

    def test_one_sentence_says_who_is_best_and_what_was_lost_elsewhere(self, aimed):
        result, summary = aimed
        (sentence,) = result.verdict
        best = min((line for line in result.lines if line.budget == 6), key=lambda line: line.values["mean"].value)
        assert sentence.startswith(best.title) and "On the corpus' held-out texts it is" in sentence
        assert summary["verdict"] == [sentence] and "elsewhere, minus untuned" in result.markdown()

    def test_one_target_text_cannot_be_measured_on(self, corpus, model, tmp_path):
        (tmp_path / "one.jsonl").write_text('{"text": "A bell."}\n')
        answer = command_line(
            "finetune", corpus, "--model", model, "--target", tmp_path / "one.jsonl", "--out", tmp_path / "run", *COMMON
        )
        assert answer.returncode == 2 and "none is left to measure on" in answer.stderr
