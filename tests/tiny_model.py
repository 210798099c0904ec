"""A GPT-2 of a few thousand weights with the mini model's tokenizer, made on the spot and fine-tuned in a second; and a corpus for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from fishersft import paths

WORDS = [
    "storm",
    "gate",
    "harbour",
    "onion",
    "knight",
    "letter",
    "court",
    "lamp",
    "river",
    "brother",
    "window",
    "coat",
    "ladder",
    "bell",
    "field",
]


def make_corpus(path: Path, records: int) -> Path:
    """A file of sentences of 3 to 8 words about one of three topics."""
    rng = np.random.default_rng(0)
    lines = [
        {"text": f"The {' and the '.join(rng.choice(WORDS, rng.integers(3, 9)))} were there.", "topic": "xyz"[i % 3]}
        for i in range(records)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def make_model(folder: Path, *, context: int = 64, seed: int = 0) -> Path:
    """A model folder that `load_model` takes."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=4096,
        n_positions=context,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(paths.asset("mini", name), folder / name)
    return folder
