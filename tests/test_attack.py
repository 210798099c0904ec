"""A few generated inputs of every kind: none is a fault.  `python -m tests.attack` draws thousands (tests/attack/README.md)."""

import json
import subprocess
import sys

import pytest

from tests.attack.__main__ import COLUMNS, KINDS

from .conftest import ROOT


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_generated_input_is_a_fault(kind, tmp_path):
    counts, faults = tmp_path / "counts.json", tmp_path / "faults.jsonl"
    inputs = "10" if kind in ("options", "deep links") else "50"
    command = [sys.executable, "-m", "tests.attack", kind, "--inputs", inputs, "--counts", counts, "--faults", faults]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, faults.read_text()[:3_000] if faults.exists() else done.stderr[-2_000:]
    found = json.loads(counts.read_text())[kind]
    assert found[COLUMNS[0]] == int(inputs)
    assert found[COLUMNS[1]] > 0  # some of what is drawn is sound


@pytest.mark.rare
@pytest.mark.slow
def test_commands_that_are_killed_end_with_the_answers_of_undisturbed_ones():
    command = [sys.executable, "-m", "tests.attack.kills", "select", "curves", "--times", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
