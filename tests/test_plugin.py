"""A selector of a stranger's package appears everywhere, with no edit of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "shortest-first"
version = "1.0"
[project.entry-points."fishersft.selectors"]
shortest = "shortest_first:Shortest"
broken = "shortest_first:Missing"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The selector of the README's last example, installed by pip as a package of its own."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    code = readme.split("## Add a selector")[1].split("```python\n")[1].split("```")[0]
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "shortest_first.py").write_text(code)
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", str(target), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def python(site, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def test_the_command_line_lists_and_runs_it_and_a_broken_neighbour_is_passed_over(site, jsonl):
    listed = python(site, "-m", "fishersft", "select", "--list")
    assert "shortest" in listed.stdout and "token_od" in listed.stdout and "broken" not in listed.stdout
    done = python(site, "-m", "fishersft", "select", str(jsonl), "--holdout", "0", "--selector", "shortest", "--budget", "3")
    tokens = [json.loads(line)["tokens"] for line in done.stdout.splitlines()]
    assert len(tokens) == 3 and tokens == sorted(tokens)


def test_it_is_compared_with_ours(site, jsonl):
    names = "token_od,shortest"
    done = python(site, "-m", "fishersft", "compare", str(jsonl), "--holdout", "0", "--selectors", names, "--budget", "3")
    assert "Shortest" in done.stdout, done.stderr


def test_the_dashboard_offers_it(site):
    code = (
        "from streamlit.testing.v1 import AppTest\n"
        "at = AppTest.from_file('app.py', default_timeout=120).run()\n"
        "box = next(b for b in at.selectbox if b.label == 'Selector')\n"
        "box.set_value('shortest').run()\n"
        "print(box.options, [str(e.value) for e in at.exception])"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=root)
    assert "'Shortest'" in done.stdout and done.stdout.rstrip().endswith("[]"), done.stderr[-2000:]
