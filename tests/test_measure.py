"""How long experiments take, and that a command measures what its experiment says."""

import pytest

from fishersft import fields
from fishersft.experiments.experiment import Experiment, Sweep
from fishersft.experiments.measure import expected_seconds
from fishersft.experiments.result import read_curves
from fishersft.experiments.settings import MeasureSettings
from fishersft.experiments.worlds import Synthetic

from .conftest import command_line


def test_an_experiments_command_makes_the_same_experiment(tmp_path):
    asked = Experiment(
        world=Synthetic(sentences=60, dimension=3, classes=4),
        selectors=("uniform", "longest"),
        budgets=(5, 20),
        runs=2,
        equal="tokens",
    )
    done = command_line(*asked.about.arguments, "--workers", 1, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert read_curves(tmp_path / "out").about == asked.about


def test_more_work_takes_longer_and_more_processes_less():
    small, large = Experiment(runs=2), Experiment(world=Synthetic(dimension=20), runs=20)
    assert expected_seconds(small) < expected_seconds(large)
    assert expected_seconds(large, workers=4) == pytest.approx(expected_seconds(large) / 4)
    assert expected_seconds(small, workers=8) == pytest.approx(expected_seconds(small) / 2)
    assert sum(len(one.keys) for one in Sweep(Experiment(budgets=(1000,))).experiments) == 8 * 20 * 7


def test_what_is_measured_can_be_asked_of_another_world():
    asked = Experiment(world=Synthetic(dimension=5), runs=3, budgets=(10, 20))
    assert asked.measured(without=("budgets",)) == ["--runs", "3"]


def test_budgets_are_read_with_spaces_between():
    assert fields.parse(MeasureSettings, "budgets", " 5, 10,") == (5, 10)
