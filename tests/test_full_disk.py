"""A disk that is really full: whoever writes for us, its refusal is one sentence, nothing is lost, and the same command goes on."""

import json
import math

import numpy as np
import pytest
import tokenizers
import torch
from safetensors.torch import save_file

from fishersft.errors import StoreError, write_refusal
from fishersft.paths import write_whole, writing

from .attack import disk
from .conftest import command_line
from .tiny_model import make_corpus, make_model


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not disk.mounted(folder, 16):
        pytest.skip("a full disk needs the right to mount a small file system")
    yield folder
    disk.unmount(folder)


NUMBERS = torch.zeros(100_000)
VOCABULARY = tokenizers.models.WordLevel({str(k): k for k in range(20_000)}, unk_token="0")
WRITERS = {
    "safetensors": lambda path: save_file({"a": NUMBERS}, path),
    "torch": lambda path: torch.save({"a": NUMBERS}, path),
    "numpy": lambda path: np.save(path.with_suffix(".npy"), NUMBERS.numpy()),
    "numpy, several": lambda path: np.savez(path, a=NUMBERS.numpy()),
    "tokenizers": lambda path: tokenizers.Tokenizer(VOCABULARY).save(str(path)),
    "ourselves": lambda path: write_whole(path, b"0" * 400_000),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes_to_a_full_disk_is_told_of_in_one_sentence(small_disk, writer):
    with disk.left(small_disk, 20_000), pytest.raises(StoreError) as refused, writing(small_disk / "it"):
        WRITERS[writer](small_disk / "it")
    assert str(refused.value) in {
        f"{small_disk / 'it'} cannot be written ({reason}); name another place with --out."
        for reason in ("no space left on device", "only a part could be written")
    }


def test_an_error_that_is_no_refusal_stays_what_it_is():
    assert write_refusal(ValueError("no space left")) is None
    with pytest.raises(RuntimeError, match="a bug"), writing("it"):
        raise RuntimeError("a bug")


COMMANDS = {
    "select": ["--budget", 12, "--out", "{out}/picks.parquet"],
    "finetune": [
        *("--budgets", 6, "--epochs", 1, "--prompts", 2, "--learning-rate", 0.01, "--selectors", "token_od"),
        *("--keep-models", "--checkpoint-every", 0, "--out", "{out}/run"),
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_with_ever_more_room_is_refused_in_a_sentence_until_it_ends_as_with_room_enough(small_disk, tmp_path, command):
    corpus, model = make_corpus(tmp_path / "c.jsonl", 40), make_model(tmp_path / "model")

    def run(out):
        words = [str(word).format(out=out) for word in COMMANDS[command]]
        return command_line(command, corpus, "--model", model, *words, "--json", FISHERSFT_HOME=str(out / "home"))

    (tmp_path / "calm").mkdir()
    calm, refused = run(tmp_path / "calm"), 0
    assert calm.returncode == 0, calm.stderr
    for step in range(40):
        with disk.left(small_disk, int(4_096 * math.sqrt(2) ** step)):  # up to what is needed, whatever was kept so far
            done = run(small_disk)
        if done.returncode == 0:
            break
        said = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("fishersft: ")][-1]
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "no space left on device" in said or "only a part could be written" in said or "disk is full" in said
        refused += 1
    assert refused > 2
    assert done.returncode == 0
    assert steady(json.loads(done.stdout)) == steady(json.loads(calm.stdout))


def steady(found):
    """An answer without times and places."""
    if command := found.get("lines"):
        return [(line["selector"], line["tokens"], line["values"]["mean"]["value"]) for line in command]
    return {name: value for name, value in found.items() if name in ("log_det", "tokens", "picks")}
