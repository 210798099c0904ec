"""The command line as a user meets it: output, exit codes, one sentence for a mistake."""

import json
import subprocess
import sys
from importlib import import_module

import pandas as pd
import pytest

import fishersft
from fishersft.cli import COMMANDS, MODULES

from .conftest import command_line as run

HEAVY = {"torch", "transformers", "pandas", "sklearn", "plotly", "streamlit", "umap", "pyarrow", "scipy"}


def test_version_and_help_answer():
    alone = subprocess.run([sys.executable, "-m", "fishersft", "--version"], capture_output=True, text=True, check=True)
    assert alone.stdout.strip() == f"fishersft {fishersft.__version__}"
    for command in ([], *([name] for name in COMMANDS)):
        done = run(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_neither_import_nor_help_loads_a_heavy_library(command):
    code = (
        "import sys, fishersft\n"
        "from fishersft.cli import commands\n"
        f"commands.main({[command, '--help'] if command else ['--help']!r}, standalone_mode=False)\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


def test_the_help_of_the_group_imports_no_command():
    code = "import sys; from fishersft.cli import commands; commands.main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.splitlines()[-1].split() if name.startswith("fishersft.commands")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_group_says_what_each_command_says_of_itself(name):
    assert (
        getattr(import_module(f"fishersft.commands.{MODULES.get(name, name)}"), name).get_short_help_str(limit=1_000)
        == COMMANDS[name]
    )


def test_select_writes_one_object_a_pick_in_order(jsonl, tmp_path):
    out = tmp_path / "picks.jsonl"
    done = run("select", jsonl, "--budget", 3, "--out", out, "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    picks = [json.loads(line) for line in out.read_text().splitlines()]
    assert [p["rank"] for p in picks] == [1, 2, 3]
    assert set(picks[0]) == {"rank", "index", "gain", "tokens", "text", "topic"}
    records = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert all(p["text"] == records[p["index"]]["text"] for p in picks)
    assert summary["sentences"] == 3
    assert summary["log_det"] == pytest.approx(sum(p["gain"] for p in picks))
    again = fishersft.select(str(jsonl), budget=3)
    assert [p["index"] for p in picks] == again.indices.tolist()

    for ending, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        file = tmp_path / f"picks.{ending}"
        assert run("export", summary["run"], "--out", file).returncode == 0
        assert read(file)["index"].tolist() == [p["index"] for p in picks]
    assert run("export", summary["run"][:8]).stdout == out.read_text()


def test_picks_go_to_standard_output_and_words_to_standard_error(jsonl):
    done = run("select", jsonl, "--budget", 2, "--selector", "uniform", "--seed", 4)
    assert [json.loads(line)["gain"] for line in done.stdout.splitlines()] == [None, None]
    assert "Uniform chose 2 of 4 sentences" in done.stderr


def test_embed_says_what_it_found(jsonl):
    done = run("embed", jsonl, "--holdout", 0, "--json")
    facts = json.loads(done.stdout)
    assert (facts["records"], facts["held_out"], facts["pool"], facts["duplicates"], facts["stored"]) == (8, 0, 8, 1, False)
    assert json.loads(run("embed", jsonl, "--holdout", 0, "--json").stdout)["stored"]
    assert "8 in the pool" in run("embed", jsonl, "--holdout", 0).stdout


def test_the_list_of_selectors_names_parameters_and_sources():
    text = run("select", "--list").stdout
    for name in fishersft.registry():
        assert name in text
    assert "sigma2=1.0" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["select", "nowhere.txt", "--budget", 1], "There is no file nowhere.txt"),
        (["select", "demo"], "Give one budget"),
        (["select", "demo", "--budget", 1, "--token-budget", 9], "Give one budget"),
        (["select", "demo", "--budget", 0], "at least 1 sentence, not 0"),
        (["select", "demo", "--budget", -2], "at least 1 sentence, not -2"),
        (["select", "demo", "--token-budget", 0], "at least 1 token, not 0"),
        (["select", "demo", "--budget", 5000], "above the pool of 1,250"),
        (["select", "demo", "--budget", 1, "--selector", "magic"], "There is no selector 'magic'"),
        (["select", "demo", "--budget", 1, "--set", "sigma2"], "--set takes NAME=VALUE"),
        (["select", "demo", "--budget", 1, "--set", "sigma2=0"], "'sigma2' of 'token_od' must be a number from 1e-12"),
        (["compare", "demo", "--budget", 1, "--draws", 2**63], "from 20 to 10,000 draws"),
        (["curves", "synthetic", "--runs", 2**63], "'runs' must be a whole number from 1 to 10000"),
        (["finetune", "demo", "--seeds", 2**63], "'seeds' must be a whole number from 1 to 1000"),
        (["finetune", "demo", "--batch", 2**63], "'batch' must be a whole number from 1 to 65536"),
        (
            ["finetune", "demo", "--prompts", 2**63],
            "a whole number of at least 0, up to 9007199254740991, not 9223372036854775808",
        ),
        (["finetune", "demo", "--epochs", 2**63], "'epochs' must be a whole number from 1 to 1000"),
        (["select", "demo", "--budget", 1, "--selector", "density", "--set", "repetitions=1000000000"], "from 1 to 4096"),
        (["select", "demo", "--budget", 1, "--out", "picks.xlsx"], "'xlsx' is none of them"),
        (["select", "demo", "--budget", 1, "--out", "no/such/picks.csv"], "There is no folder"),
        (["select", "demo", "--budget", 1, "--model", "nobody/nothing"], "the hub could not be reached"),
        (["select", "demo", "--budget", 1, "--max-tokens", 1], "--max-tokens must be at least 2"),
        (["select", "demo", "--budget", 1, "--holdout", 2], "--holdout must be at least 0 and below 1"),
        (["embed", "demo", "--text-column", "body"], "its columns are: text, topic, near_duplicate_of"),
        (["export", "abcdef"], "no run starts with 'abcdef'"),
        (["export", "../../etc"], "no run starts"),
        (["fine"], "No such command"),
        (["select", "demo", "--budget", "many"], "is not a valid integer"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(arguments, sentence):
    done = run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("fishersft: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_skipped_lines_are_counted_on_standard_error(tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text('{"text": "a b c"}\n{broken\n{"text": "d e f"}\n')
    assert run("select", path, "--budget", 1).returncode == 2
    done = run("select", path, "--budget", 1, "--skip-bad")
    assert done.returncode == 0
    assert "skipped 1 broken line" in done.stderr


def test_a_missing_extra_names_the_install_command():
    code = "import sys; sys.modules['streamlit'] = None; sys.argv = ['fishersft', 'app']; from fishersft.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'fishersft[app]'" in done.stderr


def test_a_number_without_end_is_not_said_again_whole():
    done = run("runs", "show", "abcd", "--lines", "9" * 5_000)
    assert done.returncode == 2
    assert "is not a valid" in done.stderr
    assert len(done.stderr) < 300
