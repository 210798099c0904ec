"""Files of our own kinds that are damaged get one sentence, whatever was damaged."""

import json
import os
import random
import shutil

import numpy as np
import pytest

from fishersft import embed, load_corpus, save_selection, select
from fishersft.catalogue import CURVES, FINETUNED, runs
from fishersft.errors import FisherSFTError, StoreError
from fishersft.experiments.result import read_curves
from fishersft.experiments.timing import read_timing
from fishersft.export.provenance import command_of, python_of
from fishersft.export.report import report
from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.run import read_run
from fishersft.finetuning.schema import CellFile, RunFile
from fishersft.paths import MOST_READ
from fishersft.pipeline.selections import load_kept
from fishersft.store.checked import read_json, read_json_lines, read_numbers

from .conftest import ROOT, TEXTS
from .damage import changed, damage
from .tuned_run import tuned_run


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "abc123"
    tuned_run(folder, selectors=("token_od", "uniform", "longest"))
    return folder


def refusal_of(read):
    """The sentence with which a call refuses, "" where it does not; any other error is one."""
    try:
        read()
    except FisherSFTError as error:
        return str(error)
    return ""


def test_the_sentence_says_where_the_value_stands_and_what_to_do(sound, tmp_path):
    about = json.loads((sound / "run.json").read_text())
    about["about"]["seeds"][0] = "zero"
    (tmp_path / "run.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match=r"Expected `int`, got `str` - at `\$.about.seeds\[0\]`\); start again\."):
        read_json(tmp_path / "run.json", RunFile, "start again")


@pytest.mark.parametrize(
    ("digits", "value"),
    [("9223372036854774784", 9223372036854774784), ("-12", -12), ("9" * 25, 1e25), ("-" + "9" * 25, -1e25), ("9" * 400, np.inf)],
)
def test_a_whole_number_larger_than_arrays_hold_is_read_as_a_float(tmp_path, digits, value):
    (tmp_path / "x.json").write_text(f"[{digits}]")
    (found,) = read_json(tmp_path / "x.json", list[float], "start again")
    assert type(found) is type(value)
    assert found == value
    np.isnan(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not JSON"), ("[" * 100_000, "too deeply nested|not JSON"), ("[]", "Expected `object`"), ('{"id": 1}', "damaged")],
)
def test_what_is_no_such_object_is_refused(tmp_path, text, words):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StoreError, match=words):
        read_json(tmp_path / "x.json", CellFile, "start again")


def test_a_file_that_is_not_there_is_no_damage(tmp_path):
    assert read_json(tmp_path / "x.json", RunFile, "start again") is None
    assert read_json_lines(tmp_path / "x.jsonl", RunFile, "start again") == []


def test_numbers_are_as_many_as_they_should_be_and_finite(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1.0, 2.0]))
    assert read_numbers(tmp_path / "x.npy", 2, "start again").tolist() == [1.0, 2.0]
    for wrong in (np.array([1.0, np.nan]), np.zeros(3), np.zeros((2, 1)), np.array(["a", "b"])):
        np.save(tmp_path / "x.npy", wrong)
        with pytest.raises(StoreError, match="should hold 2 finite numbers"):
            read_numbers(tmp_path / "x.npy", 2, "start again")


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_run_is_read_or_refused_in_a_sentence_and_the_list_of_runs_stays(sound, home, seed):
    folder = home / "runs" / "abc123"
    shutil.copytree(sound, folder)
    done = damage(folder, seed)
    listed = [run for run in runs(FINETUNED) if run.id == "abc123"]
    assert all("\n" not in run.problem for run in listed), done

    def read():
        run = read_run(folder)
        json.dumps(FineTuneResult(run).as_dict())
        for name in run.models:
            run.texts(name)
        report(str(folder))

    assert "\n" not in refusal_of(read), done


def pipe(path):
    os.mkfifo(path)


def sparse(path):
    path.touch()
    os.truncate(path, MOST_READ + 1)  # at no cost


def archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [pipe, sparse, archive])
@pytest.mark.parametrize(
    "name", ["run.json", "prompts.jsonl", "cells/base/cell.json", "cells/base/held_out.npy", "verdicts.jsonl"]
)
def test_a_pipe_or_what_would_fill_the_memory_is_no_file_of_a_run(sound, home, name, make):
    folder = home / "runs" / "abc123"
    shutil.copytree(sound, folder)
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    refusals = [run.problem for run in runs(FINETUNED) if run.id == "abc123"]
    refusals += [refusal_of(lambda: report(str(folder))), refusal_of(lambda: FineTuneResult(read_run(folder)).as_dict())]
    assert any(refusals) != (name == "verdicts.jsonl"), refusals  # judgments that cannot be read are none
    assert all("\n" not in sentence and "It is damaged" not in sentence for sentence in refusals)


@pytest.mark.parametrize("name", ["abc\n", "..", ".x", "a/b", ""])
def test_a_name_is_never_a_way_out_or_a_second_line(sound, tmp_path, name):
    about = json.loads((sound / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**about, "id": name}))
    with pytest.raises(StoreError, match="damaged"):
        read_run(tmp_path)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_curves_are_read_or_refused_in_a_sentence_and_the_list_of_runs_stays(home, seed):
    shipped = ROOT / "assets" / "curves" / ("sweep", "timing")[seed % 2]
    folder = home / "curves" / "abc123"
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("curves.*"))
    done = damage(folder, seed)
    assert all("\n" not in run.problem for run in runs(CURVES)), done

    def read():
        json.dumps((read_timing(folder) if seed % 2 else read_curves(folder)).table())
        report(str(folder))

    assert "\n" not in refusal_of(read), done


@pytest.mark.parametrize("setting", ["scale", "sentences", "seed"])
def test_a_whole_number_that_no_float_can_be_is_refused_in_a_sentence_or_shown(home, setting):
    folder = home / "curves" / "abc123"
    folder.mkdir(parents=True)
    lines = (ROOT / "assets" / "curves" / "isotropic-tokens" / "records.jsonl").read_text().splitlines()
    about = json.loads(lines[0])
    settings = about["about"]["settings"]
    (settings if setting == "seed" else settings["world"])[setting] = 10**400
    (folder / "records.jsonl").write_text("\n".join([json.dumps(about), *lines[1:]]) + "\n")
    assert refusal_of(lambda: report(str(folder)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of a kept selection, and its id."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("kept") / "home"
        patch.setenv("FISHERSFT_HOME", str(home))
        (home.parent / "c.jsonl").write_text(
            "".join(json.dumps({"text": t, "topic": "ab"[i % 2]}) + "\n" for i, t in enumerate(TEXTS))
        )
        corpus = load_corpus(home.parent / "c.jsonl", holdout=0)
        run = save_selection(corpus, embed(corpus), select(corpus, budget=3))
        return next((home / "artifacts" / "selection").iterdir()), run


@pytest.mark.parametrize("seed", range(60))
def test_the_damaged_manifest_of_a_selection_is_read_or_refused_in_a_sentence(kept, home, seed):
    folder, run = kept
    there = home / "artifacts" / "selection" / folder.name
    shutil.copytree(folder, there)
    manifest = json.loads((there / "manifest.json").read_text())
    content = json.dumps(changed(manifest, random.Random(seed))) if seed % 10 else "[" * 100_000
    (there / "manifest.json").write_text(content)

    def read():
        found = load_kept(run)
        command_of(found)
        python_of(found)
        report(run)

    assert all("\n" not in row.problem for row in runs("selection"))
    assert "\n" not in refusal_of(read)


def test_a_run_whose_held_out_texts_have_no_topics_is_read_without_them(tmp_path):
    run = tuned_run(tmp_path / "abc123", target=True)
    held_out = json.loads((run / "held_out.json").read_text())
    with_topics = FineTuneResult(read_run(run)).elsewhere.lines
    (run / "held_out.json").write_text(json.dumps({k: v for k, v in held_out.items() if k not in ("topic", "column")}))
    found = FineTuneResult(read_run(run))
    assert found.as_dict()["verdict"]
    assert [line.values["mean"] for line in found.elsewhere.lines] == [line.values["mean"] for line in with_topics]
