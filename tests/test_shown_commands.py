"""Every command that is shown is run in a real shell, with names that want to be commands: none of them is obeyed.

The programs that the commands name are stand-ins that write down what they were given; the names would make a file, the canary.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from fishersft import embed, load_corpus, select
from fishersft.export.formats import FORMATS, write_selection
from fishersft.export.report import report
from fishersft.pipeline.selections import load_kept, save_selection
from fishersft.store import jobs

from .conftest import command_line
from .test_pages import open_page
from .tiny_model import make_model
from .tuned_run import tuned_run

COMMANDS = ("$(touch canary)", "`touch canary`", ";touch canary;", "&touch canary&", "|touch canary|", "\ntouch canary\n")
NAMES = {
    "plain": "".join(COMMANDS),
    "single": "'" + "".join(COMMANDS) + "'",
    "double": '"' + "".join(COMMANDS) + '"',
    "option": "--help$(touch canary)",
    "turned": "\u202e$(touch canary)\x1b]0;x\x07",
    "python": "');__import__('os').system('touch canary');('",
}
PROGRAMS = ("fishersft", "pip", "trl", "embedding-atlas")


@pytest.fixture
def shell(tmp_path):
    """Runs a command in bash, in a folder of its own; what its programs were given."""
    bin, place, told = tmp_path / "bin", tmp_path / "place", tmp_path / "told"
    bin.mkdir()
    place.mkdir()
    for program in PROGRAMS:
        (bin / program).write_text(f'#!/bin/bash\nprintf "%s\\0" {program} "$@" >> {told}\n')
        (bin / program).chmod(0o755)
    (bin / "datasets.py").write_text("def load_dataset(path):\n    open('loaded', 'w').write(path)\n")

    def run(command):
        told.unlink(missing_ok=True)
        path = {"PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": str(bin), "LC_ALL": "C.UTF-8"}
        subprocess.run(["bash", "-c", command], cwd=place, env=path, capture_output=True, timeout=60, check=False)
        assert not [found for found in tmp_path.rglob("canary*") if found.name == "canary"], command
        return told.read_text().split("\0")[:-1] if told.exists() else []

    run.place = place
    return run


def hostile(tmp_path, name):
    """A corpus, a model and a column of this name, and a selection of it that was kept."""
    place = tmp_path / "given"
    place.mkdir()
    path = place / f"{name}.jsonl"
    rows = [{"text": f"A storm of the year {n}.", name: f"{name} {n % 2}"} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = make_model(place / f"m{name}")
    corpus = load_corpus(path, holdout=0)
    rows = embed(corpus, str(model))
    return path, model, save_selection(corpus, rows, select(corpus, str(model), budget=3), name=name)


def test_the_stand_ins_hear_and_the_canary_sings(shell):
    assert shell("fishersft select 'a b' --budget 3") == ["fishersft", "select", "a b", "--budget", "3"]
    with pytest.raises(AssertionError, match="touch"):
        shell("fishersft $(touch canary)")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_an_export_shows_is_run_as_it_was_meant(shell, tmp_path, name):
    path, _, run = hostile(tmp_path, NAMES[name])
    kept = load_kept(run)
    for format in FORMATS:
        out = tmp_path / f"out-{format}{NAMES[name]}"
        if opens := write_selection(kept, format, out):
            heard = shell(opens)
            loaded = shell.place / "loaded"
            assert (loaded.read_text() if format == "dataset" else heard[1]) == str(out) or format == "trl", opens
    readme = (tmp_path / f"out-trl{NAMES[name]}" / "README.md").read_text()
    for block in re.findall(r"^(`{3,})sh\n(.*?)^\1$", readme, re.MULTILINE | re.DOTALL):
        shell(block[1])
    shown = [block for part in report(run).parts for block in part.blocks if getattr(block, "label", "") == "Command line"]
    assert shown
    for code in shown:
        heard = shell(code.code)
        assert heard[:2] == ["fishersft", "select"] and str(path.name) in heard[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "single", "double", "turned"])
def test_what_the_pages_show_is_run_as_it_was_meant(shell, tmp_path, home, name):
    path, model, _ = hostile(tmp_path, NAMES[name])
    folder = tuned_run(home / "runs" / "abc123", source=str(path))
    about = json.loads((folder / "run.json").read_text())
    about["about"] |= {"command": ["fishersft", "finetune", str(path), "--model", str(model)]}
    (folder / "run.json").write_text(json.dumps(about))
    jobs.start(["embed", str(path), "--model", str(model)], kind=NAMES[name], title=NAMES[name])
    view = {"corpus": str(path), "model": str(model)}
    heard = []
    for page, address in (
        ("explore", view | {"colour": NAMES[name], "target": f"{NAMES[name]}={NAMES[name]} 1"}),
        ("corpus", view | {"text_column": NAMES[name]}),
        ("compare", view | {"selectors": "token_od,longest", "budget": "3"}),
        ("generations", view | {"run": "abc123", "section": "Results"}),
        ("curves", view | {"experiment": "Your corpus"}),
        ("runs", {"show": "jobs"}),
        ("runs", {"show": "selections"}),
    ):
        at = open_page(page, **address)
        shown = [code.value for code in at.code if code.language == "bash"]
        assert all(c.isprintable() or c == "\n" for command in shown for c in command)
        heard += [words for words in map(shell, shown) if words]
    assert [words for words in heard if str(path) in words], heard
    assert {words[0] for words in heard} == {"fishersft"}


def test_a_command_line_shows_a_job_as_it_was_meant(shell, tmp_path, home):
    name = NAMES["plain"]
    job = jobs.start(["embed", f"{tmp_path}/{name}.txt"], kind="embed", title="of a stranger")
    shown = command_line("runs", "show", job.id).stdout
    command = shown[shown.index("command: ") + 9 : shown.index("\nfolder:")]
    assert shell(command) == ["fishersft", "embed", f"{tmp_path}/{name}.txt"]


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals on this system")
def test_a_strangers_names_do_not_steer_a_terminal(tmp_path):
    path = tmp_path / "x\x1b]0;title\x07\u202e\x9b2J.txt"
    path.write_text("one \x1b[2J\nfamily \U0001f468\u200d\U0001f469\nthree\n")
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "fishersft", "select", str(path), "--budget", "2", "--selector", "uniform"]
    done = subprocess.run(words, stdout=theirs, stderr=theirs, check=False)
    assert done.returncode == 0
    shown = os.read(ours, 100_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "three" in shown or "family \U0001f468\u200d\U0001f469" in shown
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert "x[U+001B]]0;title[U+0007][U+202E][U+009B]2J.txt: Read as" in shown
    refused = command_line("embed", "no\x1b]0;x\x07such\u202e")
    assert refused.returncode == 2 and "no[U+001B]]0;x[U+0007]such[U+202E]" in refused.stderr
