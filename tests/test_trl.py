"""The recipe under TRL itself: it runs, and what TRL's own collator trains on is what the picks were chosen by.

TRL is installed into an environment of its own, beside the packages that are here.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fishersft import embed, load_corpus, paths, select, write_selection
from fishersft.corpus.encode import encode
from fishersft.export.trl import TRL
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_tokenizer
from fishersft.pipeline.selections import kept_of
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.rare]
TEMPLATES = json.loads((ROOT / "tests/data/chat_templates.json").read_text())
COLLATED = """
import json, sys
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer
found = []
for folder, model in json.loads(sys.argv[1]):
    data = load_dataset("json", data_files=folder + "/train.jsonl", split="train")
    args = SFTConfig(output_dir=folder + "/tuned", max_length=96, report_to="none", use_cpu=True)
    trainer = SFTTrainer(model=model, args=args, train_dataset=data)
    batches = [trainer.data_collator([trainer.train_dataset[i]]) for i in range(len(data))]
    found.append([[b["input_ids"][0].tolist(), b["labels"][0].tolist()] for b in batches])
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def trl(tmp_path_factory):
    """The folder of commands of an environment with TRL."""
    place = tmp_path_factory.mktemp("trl")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    done = subprocess.run([place / "bin/pip", "install", "-q", "--no-deps", f"trl=={TRL}.*"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"TRL could not be installed: {done.stderr.strip()[-200:]}")
    return place / "bin"


def run(*command, **options):
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(options.get("cwd", "/tmp"))}
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=offline, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def model_with(template, folder):
    """mini with a chat template, or as it is."""
    shutil.copytree(paths.asset("mini"), folder)
    if template:
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATES[template]}))
    return folder


def recipe_of(rows, model, folder):
    """A recipe of every record, and the tokens that were embedded."""
    source = folder.with_suffix(".jsonl")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = load_corpus(source, holdout=0)
    rows = embed(corpus, str(model), max_tokens=96)
    picks = select(corpus, str(model), budget=len(rows), max_tokens=96)
    write_selection(kept_of(corpus, rows, picks), "trl", folder)
    encoded = encode([corpus.examples[i] for i in picks.indices], load_tokenizer(find_model(model)), 96)
    return [[e.ids.tolist(), e.labels.tolist()] for e in encoded]


CALL = {"type": "function", "function": {"name": "rain", "arguments": {"at": "Oslo"}}}
CHATS = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho <|endoftext|> ho."}]},
    {
        "messages": [
            {"role": "user", "content": "Rain?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "no"},
            {"role": "assistant", "content": "It does not rain."},
        ],
        "tools": [{"type": "function", "function": {"name": "rain", "parameters": {}}}],
    },
    {"messages": [{"role": r, "content": "word " * 20} for r in ("user", "assistant") * 3]},
    {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}] * 2
        + [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]
    },
]
ASKED = [{"instruction": f"Say {w}.", "input": "", "output": w} for w in ("rain", "snow", "wind and more")]


def test_what_trl_trains_on_is_what_was_chosen_by_record_by_record(trl, tmp_path):
    cases = [
        ("texts", "", [{"text": w} for w in ("Rain.", "Snow falls. ", "A long " * 60)]),
        ("asked", "", ASKED),
        ("plain", "", CHATS),
    ]
    cases += [(f"asked-{t}", t, ASKED) for t in ("chatml", "gen", "eos_last")]
    cases += [(f"chats-{t}", t, CHATS) for t in ("chatml", "gen", "tools", "think_last", "eos_last", "trim")]
    ours, places = [], []
    for name, template, rows in cases:
        model = model_with(template, tmp_path / f"model-{name}")
        ours.append(recipe_of(rows, model, tmp_path / name))
        places.append([str(tmp_path / name), str(model)])
    said = run(trl / "python", "-c", COLLATED, json.dumps(places), cwd=tmp_path)
    for (name, _, _), mine, theirs in zip(cases, ours, json.loads(said.split("FOUND")[1]), strict=True):
        assert theirs == mine, name


@pytest.mark.parametrize("template", ["eos_last", "gen"])
def test_trl_sft_takes_two_steps_with_any_template(trl, tmp_path, template):
    recipe_of(CHATS, model_with(template, tmp_path / "model"), tmp_path / "recipe")
    told = run(trl / "trl", *["sft", "--config", "sft.yaml", "--use_cpu", "--max_steps", "2"], cwd=tmp_path / "recipe")
    assert "train_loss" in told
    assert (tmp_path / "recipe/tuned/model.safetensors").exists()


@pytest.mark.timeout(1800)
def test_trl_sft_takes_two_steps_with_a_real_model(trl, tmp_path):
    model = os.environ.get("FISHERSFT_REAL_MODEL")
    if not model:
        pytest.skip("FISHERSFT_REAL_MODEL names no folder of an instruction-tuned model")
    recipe_of(CHATS, Path(model), tmp_path / "recipe")
    few = ["--use_cpu", "--max_steps", "2", "--per_device_train_batch_size", "1"]
    told = run(trl / "trl", "sft", "--config", "sft.yaml", *few, cwd=tmp_path / "recipe")
    assert "train_loss" in told
