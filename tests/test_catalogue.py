"""Runs of every kind by id: an address can name one and never leaves the store; own ones can go and shipped ones stay."""

import pytest

from fishersft import catalogue
from fishersft.catalogue import FINETUNED
from fishersft.errors import StoreError, UserError
from fishersft.export.report import report

from .conftest import command_line
from .tuned_run import tuned_run


@pytest.fixture
def run(home):
    return tuned_run(home / "runs" / "abc123")


def test_a_run_is_found_by_its_folder_and_by_its_id(home):
    tuned_run(home / "runs" / "mine", id="f00d")
    assert catalogue.find_run("mine").opened.id == catalogue.find_run("f00d").opened.id == "f00d"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/abc123", "/etc", "abc123/", "a" * 200, "nowhere", "abc"])
def test_no_name_leaves_the_store(run, name):
    with pytest.raises(StoreError, match="no run"):
        catalogue.find_run(name, FINETUNED)


def test_a_folder_elsewhere_is_not_opened_by_its_path(tmp_path, home):
    tuned_run(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="no run"):
        catalogue.find_run(str(tmp_path / "elsewhere"), FINETUNED)


def test_a_run_of_another_version_says_so_and_is_not_listed(home):
    tuned_run(home / "runs" / "old", version=99)
    assert "old" not in [r.folder.name for r in catalogue.contents(FINETUNED)]
    with pytest.raises(StoreError, match="another version"):
        _ = catalogue.find_run("old", FINETUNED).opened


def test_removing_takes_the_folder_and_a_shipped_one_stays(run, monkeypatch, tmp_path):
    tuned_run(tmp_path / "assets" / "runs" / "demo")
    monkeypatch.setattr("fishersft.paths.asset", lambda *parts: tmp_path.joinpath("assets", *parts))
    assert catalogue.find_run("demo").shipped
    with pytest.raises(StoreError, match="ships with"):
        catalogue.remove_run(catalogue.find_run("demo"))
    catalogue.remove_run(catalogue.find_run("abc123"))
    assert not run.exists()
    assert catalogue.find_run("demo").folder.is_dir()


def test_the_stamp_changes_when_a_model_is_finished(run):
    found = catalogue.find_run("abc123").opened
    before = found.stamp
    path = run / "cells" / "uniform-50-s0" / "cell.json"
    kept = path.read_text()
    path.unlink()
    assert found.stamp != before
    path.write_text(kept)
    assert found.stamp != before


@pytest.fixture
def own():
    folder = catalogue.folder_for(catalogue.CURVES, ["curves", "synthetic"])
    done = command_line("curves", "synthetic", "--sentences", 40, "--selectors", "uniform,longest", "--budgets", "5,20",
                        "--runs", 2, "--workers", 1, "--out", folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_shipped_ones_come_first_and_stay_and_own_ones_can_go(own):
    there = catalogue.contents(catalogue.CURVES)
    assert [f.shipped for f in there] == sorted((f.shipped for f in there), reverse=True)
    assert there[-1].folder == own
    assert there[-1].kind == "synthetic"
    assert there[-1].about.command.startswith("fishersft curves synthetic --sentences 40")
    with pytest.raises(StoreError, match="ships with fishersft"):
        catalogue.remove_run(catalogue.find_run("imbalanced-tokens", catalogue.CURVES))
    catalogue.remove_run(catalogue.find_run(own.name, catalogue.CURVES))
    assert not own.exists()
    with pytest.raises(StoreError, match="There is no result"):
        catalogue.find_run(own.name, catalogue.CURVES)


def test_a_damaged_one_is_left_out(own):
    (own / "records.jsonl").write_text("{broken\n")
    assert own.name not in [f.id for f in catalogue.contents(catalogue.CURVES)]
    assert "damaged" in catalogue.find_run(own.name, catalogue.CURVES).problem


def test_the_same_question_has_the_same_folder_and_another_input_another():
    a, b = ["curves", "teacher", "x.txt"], ["curves", "teacher", "y.txt"]
    assert catalogue.folder_for(catalogue.CURVES, a, ("1",)) == catalogue.folder_for(catalogue.CURVES, a, ("1",))
    assert (
        len(
            {
                catalogue.folder_for(catalogue.CURVES, a, ("1",)),
                catalogue.folder_for(catalogue.CURVES, a, ("2",)),
                catalogue.folder_for(catalogue.CURVES, b, ("1",)),
            }
        )
        == 3
    )


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"id": 3}',
    "[" * 100_000,
    '{"a":' * 100_000,
    "\x00",
    '{"id": "x", "created": "yesterday"}',
]


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:12].encode("unicode_escape").decode() or "empty")
def test_a_damaged_run_of_each_kind_is_a_row_that_says_why(home, text):
    for folder, file in (
        ("curves/bad1", "records.jsonl"),
        ("runs/bad2", "run.json"),
        ("artifacts/selection/bad3", "manifest.json"),
    ):
        (home / folder).mkdir(parents=True)
        (home / folder / file).write_text(text)
    damaged = {run.id: run for run in catalogue.runs() if run.problem}
    assert sorted(damaged) == ["bad1", "bad2", "bad3"]
    for run in damaged.values():
        catalogue.remove_run(run)
    assert not [run for run in catalogue.runs() if not run.shipped]


def test_a_hosted_demo_does_not_look_at_jobs(home, monkeypatch):
    monkeypatch.setattr("fishersft.store.jobs.jobs", lambda store: pytest.fail("it looked"))
    assert catalogue.runs(shipped_only=True)


def test_where_an_arena_and_a_fine_tuned_run_have_one_id_each_can_be_opened(home, tmp_path):
    (id,) = {r.id for r in catalogue.runs(FINETUNED)} & {r.id for r in catalogue.runs(catalogue.ARENA)}  # both are shipped
    refused = command_line("runs", "show", id)
    assert refused.returncode == 2 and "(arena, finetuned: say which kind)" in refused.stderr
    for kind in (FINETUNED, catalogue.ARENA):
        assert f"{id}  {kind}: " in command_line("runs", "show", id, "--kind", kind).stdout
    made = command_line("export", id, "--format", "report", "--out", str(tmp_path / "it.html"))
    assert made.returncode == 0, made.stderr
    assert id in (tmp_path / "it.html").read_text(encoding="utf-8")
    run = catalogue.find_run(id, FINETUNED)
    assert report(str(run.folder)).html() == report(id).html()  # the button on the page Runs names the folder


def test_an_arena_has_no_report_and_is_called_an_arena(home):
    alone = {r.id for r in catalogue.runs(catalogue.ARENA)} - {r.id for r in catalogue.runs(FINETUNED)}
    assert alone
    for id in alone:
        with pytest.raises(UserError, match="is an arena"):
            report(id)
