"""Runs of fine-tuning by name: an address can name one and never leave the store."""

import pytest

from fishersft import catalogue
from fishersft.catalogue import FINETUNED
from fishersft.errors import StoreError

from .tuned_run import tuned_run


@pytest.fixture
def run(home):
    return tuned_run(home / "runs" / "abc123")


def test_a_run_is_found_by_its_folder_and_by_its_id(home):
    tuned_run(home / "runs" / "mine", id="f00d")
    assert catalogue.find("mine").opened.id == catalogue.find("f00d").opened.id == "f00d"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/abc123", "/etc", "abc123/", "a" * 200, "nowhere", "abc"])
def test_no_name_leaves_the_store(run, name):
    with pytest.raises(StoreError, match="no run"):
        catalogue.find(name, FINETUNED)


def test_a_folder_elsewhere_is_not_opened_by_its_path(tmp_path, home):
    tuned_run(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="no run"):
        catalogue.find(str(tmp_path / "elsewhere"), FINETUNED)


def test_a_run_of_another_version_says_so_and_is_not_listed(home):
    tuned_run(home / "runs" / "old", version=99)
    assert "old" not in [r.folder.name for r in catalogue.contents(FINETUNED)]
    with pytest.raises(StoreError, match="another version"):
        _ = catalogue.find("old", FINETUNED).opened


def test_removing_takes_the_folder_and_a_shipped_one_stays(run, monkeypatch, tmp_path):
    monkeypatch.setattr("fishersft.paths.asset", lambda *parts: tmp_path.joinpath("assets", *parts))
    tuned_run(tmp_path / "assets" / "runs" / "demo")
    assert catalogue.find("demo").shipped
    with pytest.raises(StoreError, match="ships with"):
        catalogue.remove(catalogue.find("demo"))
    catalogue.remove(catalogue.find("abc123"))
    assert not run.exists()
    assert catalogue.find("demo").folder.is_dir()


def test_the_stamp_changes_when_a_model_is_finished(run):
    found = catalogue.find("abc123").opened
    before = found.stamp
    path = run / "cells" / "uniform-50-s0" / "cell.json"
    kept = path.read_text()
    path.unlink()
    assert found.stamp != before
    path.write_text(kept)
    assert found.stamp != before
