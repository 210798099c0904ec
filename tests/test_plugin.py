"""A selector of a stranger's package appears everywhere, with no edit of ours."""

import json
import os
import subprocess
import sys

import pytest

from .conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.rare]

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
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = readme.split("## Add a selector")[1].split("```python\n")[1].split("```")[0]
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "shortest_first.py").write_text(code)
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", str(target), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


EVERYWHERE = """
import json, sys
from streamlit.testing.v1 import AppTest
from tests.conftest import command_line
corpus = (sys.argv[1], "--holdout", "0", "--budget", "3")
listed = command_line("select", "--list").stdout
picks = command_line("select", *corpus, "--selector", "shortest").stdout
compared = command_line("compare", *corpus, "--selectors", "token_od,shortest").stdout
at = AppTest.from_file("app.py", default_timeout=600).run()
box = next(box for box in at.selectbox if box.label == "Selector")
box.set_value("shortest").run()
print(json.dumps([listed, picks, compared, box.options, [str(e.value) for e in at.exception]]))
"""


def test_it_is_listed_run_compared_and_offered_on_the_dashboard_and_a_broken_neighbour_is_passed_over(site, jsonl):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    command = [sys.executable, "-c", EVERYWHERE, str(jsonl)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    listed, picks, compared, offered, exceptions = json.loads(done.stdout.splitlines()[-1])
    assert "shortest" in listed and "token_od" in listed and "broken" not in listed
    tokens = [json.loads(line)["tokens"] for line in picks.splitlines()]
    assert len(tokens) == 3 and tokens == sorted(tokens)
    assert "Shortest" in compared and "TokenOD" in compared
    assert "Shortest" in offered and exceptions == []
