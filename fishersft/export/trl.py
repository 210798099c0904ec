"""A selection as a folder that `trl sft` trains on: train.jsonl, sft.yaml and a README.

Written for TRL 1.16 with transformers 5; the keys are those of its SFTConfig, ModelConfig and DatasetMixtureConfig.
Knows no store, no selector and no training of our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from fishersft.corpus.files import plain
from fishersft.export.card import fenced, markdown

TRL = "1.16"
COMMAND = "trl sft --config sft.yaml"
CONVERSATION = "messages"


def trl_folder(
    examples: Sequence[Mapping[str, Any]],
    title: str,
    *,
    model: str,
    revision: str | None,
    max_tokens: int | None,
    training: Mapping[str, Any],
    seed: int,
    made_by: str,
) -> dict[str, bytes]:
    """{name: content} of the folder's files.

    Args:
        examples: all of one shape: {"text"}, {"prompt", "completion"} or {"messages"}.
        model: a hub id or a folder.
        training: learning_rate, epochs, batch, warmup, weight_decay, lora, rank, as `lm.hyperparameters.Training` names them.
        made_by: the command line that chose the examples.
    """
    chat = CONVERSATION in examples[0]
    lines = "".join(json.dumps(plain(dict(e)), ensure_ascii=False) + "\n" for e in examples)
    settings = _settings(model, revision, max_tokens, training, seed, chat=chat, pairs="completion" in examples[0])
    return {
        "train.jsonl": lines.encode("utf-8", "replace"),
        "sft.yaml": _yaml(settings).encode(),
        "README.md": _readme(title, len(examples), model, chat, made_by).encode("utf-8", "replace"),
    }


def _settings(
    model: str, revision: str | None, max_tokens: int | None, training: Mapping[str, Any], seed: int, *, chat: bool, pairs: bool
) -> dict[str, Any]:
    out: dict[str, Any] = {"model_name_or_path": model}
    if revision:
        out["model_revision"] = revision
    out |= {
        "datasets": [{"path": "json", "data_files": "train.jsonl", "split": "train"}],
        "output_dir": "tuned",
        "learning_rate": training["learning_rate"],
        "num_train_epochs": training["epochs"],
        "per_device_train_batch_size": training["batch"],
        "lr_scheduler_type": "linear",
        "warmup_steps": training["warmup"],
        "weight_decay": training["weight_decay"],
        "packing": False,
        "seed": seed,
        "report_to": "none",
    }
    if max_tokens:
        out["max_length"] = max_tokens
    if chat:
        out["assistant_only_loss"] = True
    if pairs:
        out["completion_only_loss"] = True
    if training["lora"]:
        out |= {"use_peft": True, "lora_r": training["rank"]}
    return out


def _yaml(settings: Mapping[str, Any]) -> str:
    return f"# For TRL {TRL}: {COMMAND}\n# warmup_steps below 1 is a share of all steps (transformers 5).\n" + yaml.safe_dump(
        dict(settings), sort_keys=False, allow_unicode=False, width=10_000
    )


def _readme(title: str, count: int, model: str, chat: bool, made_by: str) -> str:
    talk = (
        "\n- Conversations are trained on the assistant's turns only (`assistant_only_loss`). TRL refuses a model whose chat "
        "template it cannot mark so; a base model has no template at all: name one with `chat_template_path`, or train on every "
        "turn by `assistant_only_loss: false`."
        if chat
        else ""
    )
    commands = fenced(f"pip install trl peft\n{COMMAND}", "sh")
    return (
        f"# {markdown(title)}\n\n{count:,} examples in `train.jsonl`, in the order they were picked, and `sft.yaml`, the "
        f"settings of `trl sft` (TRL {TRL}, transformers 5). In this folder:\n\n{commands}\n\n"
        "- It wants a GPU; without one add `--use_cpu`.\n"
        f"- The model is {markdown(model)}; a folder is one of the machine that wrote this, so put yours.\n"
        "- The settings are fishersft's defaults, and nobody has tried them on these examples. `fishersft finetune` finds the "
        "learning rate on a uniform draw and measures on held-out texts.\n"
        "- TRL encodes by its own rules: an end token is added to texts and completions, and a start token only where the "
        f"tokenizer adds one. fishersft adds a start token wherever the tokenizer has one.{talk}\n\n"
        f"The examples were chosen by:\n\n{fenced(made_by, 'sh')}\n\n"
        "Their licence is that of the source corpus.\n"
    )
