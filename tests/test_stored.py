"""Results of error curves in the store: listed, found, removed, and named after their question."""

import pytest

from fishersft import catalogue
from fishersft.errors import StoreError

from .conftest import command_line


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
        catalogue.remove(catalogue.find("imbalanced-tokens", catalogue.CURVES))
    catalogue.remove(catalogue.find(own.name, catalogue.CURVES))
    assert not own.exists()
    with pytest.raises(StoreError, match="There is no result"):
        catalogue.find(own.name, catalogue.CURVES)


def test_a_damaged_one_is_left_out(own):
    (own / "records.jsonl").write_text("{broken\n")
    assert own.name not in [f.id for f in catalogue.contents(catalogue.CURVES)]
    assert "damaged" in catalogue.find(own.name, catalogue.CURVES).problem


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
