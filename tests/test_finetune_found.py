"""Runs of fine-tuning by name: an address can name one and never leave the store."""

import pytest

from fishersft.errors import StoreError
from fishersft.finetuning import run_list as finetune_found

from .tuned_run import tuned_run


@pytest.fixture
def run(home):
    return tuned_run(home / "runs" / "abc123")


def test_a_run_is_found_by_its_folder_and_by_its_id(home):
    tuned_run(home / "runs" / "mine", id="f00d")
    assert finetune_found.find("mine").id == finetune_found.find("f00d").id == "f00d"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/abc123", "/etc", "abc123/", "a" * 200, "nowhere", "abc"])
def test_no_name_leaves_the_store(run, name):
    with pytest.raises(StoreError, match="no run"):
        finetune_found.find(name)


def test_a_folder_elsewhere_is_not_opened_by_its_path(tmp_path, home):
    tuned_run(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="no run"):
        finetune_found.find(str(tmp_path / "elsewhere"))


def test_a_run_of_another_version_says_so_and_is_not_listed(home):
    tuned_run(home / "runs" / "old", version=99)
    assert "old" not in [r.folder.name for r in finetune_found.found()]
    with pytest.raises(StoreError, match="another version"):
        finetune_found.find("old")


def test_removing_takes_the_folder_and_a_shipped_one_stays(run, monkeypatch, tmp_path):
    monkeypatch.setattr("fishersft.paths.asset", lambda *parts: tmp_path.joinpath("assets", *parts))
    tuned_run(tmp_path / "assets" / "runs" / "demo")
    assert finetune_found.shipped(finetune_found.find("demo"))
    with pytest.raises(StoreError, match="ships with"):
        finetune_found.remove("demo")
    finetune_found.remove("abc123")
    assert not run.exists()
    assert finetune_found.find("demo").folder.is_dir()


def test_the_stamp_changes_when_a_model_is_finished(run):
    found = finetune_found.find("abc123")
    before = finetune_found.stamp(found)
    path = run / "cells" / "uniform-50-s0" / "cell.json"
    kept = path.read_text()
    path.unlink()
    assert finetune_found.stamp(found) != before
    path.write_text(kept)
    assert finetune_found.stamp(found) != before
