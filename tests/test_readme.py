"""The README tells the truth: its commands run, its code works, its numbers are those its command prints."""

import os
import re
import shlex
import subprocess
import sys

import pytest

import fishersft

from .conftest import ROOT, command_line
from .test_layers import ORDER

README, EVIDENCE, ARCHITECTURE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "assets/evidence/README.md", "fishersft/README.md")
)


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.S | re.M)[1]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def test_quick_start_has_exactly_two_commands():
    commands = blocks(section("Quick start"), "sh")
    assert [len(c.strip().splitlines()) for c in commands] == [1, 1]
    assert "fishersft app" in commands[0]
    assert "pytest" in commands[1]


@pytest.mark.slow
@pytest.mark.parametrize("line", blocks(section("Command line"), "sh")[0].strip().splitlines())
def test_every_command_runs(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command_line(*shlex.split(line, comments=True)[1:])
    assert done.returncode == 0, done.stderr


def test_the_python_example_runs(capsys):
    exec(blocks(section("Python"), "python")[0], {})
    assert "sentences against" in capsys.readouterr().out


def test_the_selector_example_keeps_the_contract():
    scope = {"__name__": "example"}
    exec(blocks(section("Add a selector"), "python")[0], scope)
    rows = fishersft.embed("demo")
    chosen = scope["Shortest"]().select(fishersft.Pool(rows), 5)
    assert chosen.tokens.tolist() == sorted(rows.tokens)[:5]


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize(("script", "table"), re.findall(r"<!-- table: python (.*?) -->\n(.*?)<!-- end -->", EVIDENCE, re.S))
def test_a_table_is_what_its_command_prints(script, table):
    printed = subprocess.run(
        [sys.executable, str(ROOT / script)], capture_output=True, text=True, check=True, env={**os.environ}
    ).stdout
    numbers = re.compile(r"\d(?:[\d.,]*\d)?")
    assert numbers.sub("#", printed) == numbers.sub("#", table)
    for ours, theirs in zip(numbers.findall(table), numbers.findall(printed), strict=True):
        assert float(ours.replace(",", "")) == pytest.approx(float(theirs.replace(",", "")), rel=2e-3)


def test_it_is_short():
    assert len(README.splitlines()) <= 130


def test_the_links_lead_somewhere():
    for text, folder in ((README, ROOT), (EVIDENCE, ROOT / "assets/evidence"), (ARCHITECTURE, ROOT / "fishersft")):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
            assert (folder / target).exists(), target


def test_the_tree_names_every_folder_in_the_order_of_the_arrows():
    tree = blocks(section("How it is built"), "")[0]
    inside = re.findall(r"^  ([\w.]+?)(?:/|\.py) ", tree, re.M)
    assert inside == [name for name in ORDER if name not in ("errors", "paths", "text")]
    for name in re.findall(r"^([\w.]+)/", tree, re.M):
        assert (ROOT / name).is_dir()


def test_the_architecture_names_every_module():
    for path in sorted((ROOT / "fishersft").rglob("*.py")):
        name = str(path.relative_to(ROOT / "fishersft"))
        assert path.name == "__init__.py" or f"`{name}`" in ARCHITECTURE, name
