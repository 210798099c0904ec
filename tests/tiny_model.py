"""A GPT-2 of a few thousand weights with the mini model's tokenizer, made on the spot: fine-tuned in a second."""

from __future__ import annotations

import shutil
from pathlib import Path

from fishersft import paths


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
