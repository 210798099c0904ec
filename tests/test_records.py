"""Records on disk: whole or not at all, and an experiment that is killed goes on and ends with the same numbers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fishersft.errors import StoreError
from fishersft.experiments.experiment import Experiment, key_of
from fishersft.experiments.measure import run
from fishersft.experiments.result import NAME, Records, Result, read_curves, read_records
from fishersft.experiments.worlds import Synthetic

from .conftest import command_line

PLAN = Experiment(
    world=Synthetic(dimension=3, classes=3, sentences=50), selectors=("token_od", "uniform"), budgets=(5, 20), runs=2
)
COMMAND = [
    *(sys.executable, "-m", "fishersft", "curves", "synthetic", "--dimension", "6", "--classes", "8", "--sentences", "300"),
    *("--budgets", "20,100,200", "--runs", "9", "--selectors", "token_od,uniform,clustered"),
]


def whole(path):
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []


def numbers(folder):
    _, records = read_records(folder)
    return sorted(({k: v for k, v in r.items() if k != "seconds"} for r in records), key=key_of)


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_in_the_middle_goes_on_and_ends_with_the_same_numbers(tmp_path, workers):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    command = [*COMMAND, "--workers", str(workers)]
    process = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while len(whole(killed / NAME)) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    crew = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = crew.read_text().split() if crew.exists() else []
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it was in the middle
    before = whole(killed / NAME)
    assert 6 <= len(before) < 28
    with (killed / NAME).open("ab") as file:
        file.write(b'{"run": 8, "selec')  # as if the kill had come within a write
    for child in children:
        assert _gone(int(child), deadline)
    assert command_line(*command[3:], "--out", killed).returncode == 0
    assert whole(killed / NAME)[: len(before)] == before  # nothing was made again
    assert command_line(*command[3:], "--out", straight).returncode == 0
    assert numbers(killed) == numbers(straight)
    assert len(numbers(killed)) == 27
    assert (killed / "curves.csv").read_bytes() == (straight / "curves.csv").read_bytes()


def _gone(pid, deadline):
    """Whether a process ends, or has ended and waits to be counted."""
    while time.monotonic() < deadline:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_records_are_there_after_each_append_and_again_after_opening(tmp_path):
    every = list(run(PLAN))
    with Records(tmp_path, PLAN.about) as kept:
        for count, record in enumerate(every, start=1):
            kept.append(record)
            assert len(read_records(tmp_path)[1]) == count
    with Records(tmp_path, PLAN.about) as kept:
        assert kept.done == {key_of(r) for r in every}
    assert read_records(tmp_path) == (PLAN.about, every)


def test_another_experiment_is_refused_and_named(tmp_path):
    with Records(tmp_path, PLAN.about):
        pass
    other = replace(PLAN, world=replace(PLAN.world, scale=2.0))
    with (
        pytest.raises(StoreError, match=r"holds another experiment \(its scale is 1.0, not 2.0\)"),
        Records(tmp_path, other.about),
    ):
        pass
    with pytest.raises(StoreError, match="its seed is 0, not 1"), Records(tmp_path, replace(PLAN, seed=1).about):
        pass


def test_runs_and_selectors_may_be_added_and_the_result_says_the_latest_command(tmp_path):
    with Records(tmp_path, PLAN.about) as kept:
        for record in run(PLAN):
            kept.append(record)
    more = replace(PLAN, runs=3, selectors=("token_od", "uniform", "longest"))
    with Records(tmp_path, more.about) as kept:
        new = list(run(more, done=kept.done))
        assert len(new) == 9 - 4
        for record in new:
            kept.append(record)
    result = read_curves(tmp_path)
    assert result.runs == 3
    assert result.about == more.about


def test_a_second_process_is_refused_while_the_first_writes(tmp_path):
    with Records(tmp_path, PLAN.about), pytest.raises(StoreError, match="Another process"), Records(tmp_path, PLAN.about):
        pass


def test_a_damaged_line_is_named_and_a_cut_one_is_dropped(tmp_path):
    with Records(tmp_path, PLAN.about) as kept:
        for record in run(PLAN):
            kept.append(record)
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines)[:-10])
    with Records(tmp_path, PLAN.about) as kept:
        assert len(kept.done) == 3
    path.write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[3:]]))
    with pytest.raises(StoreError, match="Line 3 of .* is no record"):
        read_records(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="a folder that cannot be written needs a user who may not")
def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"), Records(tmp_path / "x", PLAN.about):
        pass


def test_a_folder_without_records_gets_a_sentence(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        read_records(tmp_path)
    (tmp_path / NAME).write_text("")
    with pytest.raises(StoreError, match="does not say which experiment"):
        read_curves(tmp_path)


def test_a_result_counts_only_runs_that_every_selector_has_finished():
    records = list(run(PLAN))
    assert Result.of(PLAN.about, records[:3]).runs == 1
    with pytest.raises(StoreError, match="No run is finished"):
        Result.of(PLAN.about, records[:1])


def test_settings_survive_json():
    about = PLAN.about
    assert json.loads(json.dumps(about.settings)) == about.settings
