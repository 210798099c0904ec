"""The recipe for `trl sft`: a folder with the picked examples, the settings, and a README.

TRL finds an answer by its own rules, which refuse most chat templates and differ from ours elsewhere.  So each example carries
the ids and labels of our own encoding beside its words, and TRL trains on exactly the tokens that the picks were chosen by.
Where the model's tokenizer is not at hand, the words stand alone and TRL encodes them.

Written for TRL 1.16 with transformers 5: the keys are those of its SFTConfig, ModelConfig and DatasetMixtureConfig.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fishersft.corpus.encode import PLAIN_FORM, Encoded, encode
from fishersft.corpus.records import MAX_TOKENS, example_of
from fishersft.corpus.tables import plain
from fishersft.errors import FisherSFTError
from fishersft.export.markup import fenced, markdown, yaml_text
from fishersft.export.provenance import command_of, title_of
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.hyperparameters import USUAL_RATE, Training
from fishersft.pipeline.selections import Kept

TRL: str = "1.16"
COMMAND: str = "trl sft --config sft.yaml"


def recipe(kept: Kept) -> dict[str, bytes]:
    """train.jsonl, sft.yaml and README.md."""
    came, usual, first = kept.provenance, Training(learning_rate=USUAL_RATE), kept.examples[0]
    folder = _folder(kept)
    encoded = _encoded(kept, folder)
    model = str(folder.path if folder and not came["revision"] else came["model"])  # trl knows no `mini`
    settings: dict[str, Any] = {
        "model_name_or_path": model,
        "model_revision": came["revision"] or None,
        "datasets": [{"path": "json", "data_files": "train.jsonl", "split": "train"}],
        "output_dir": "tuned",
        "learning_rate": usual.learning_rate,
        "num_train_epochs": usual.epochs,
        "per_device_train_batch_size": usual.batch,
        "lr_scheduler_type": "linear",
        "warmup_steps": usual.warmup,
        "weight_decay": usual.weight_decay,
        "packing": False,
        "seed": int(kept.manifest["seed"]),
        "report_to": "none",
        "max_length": came["max_tokens"] or None,
        "assistant_only_loss": ("messages" in first and not encoded) or None,
        "completion_only_loss": ("completion" in first and not encoded) or None,
    }
    rows = [plain(dict(e)) for e in kept.examples]
    for row, e in zip(rows, encoded or (), strict=False):
        row |= {"input_ids": e.ids.tolist(), "labels": e.labels.tolist()}
    head = f"# For TRL {TRL}: {COMMAND}\n# warmup_steps below 1 is a share of all steps (transformers 5).\n"
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return {
        "train.jsonl": lines.encode("utf-8", "replace"),
        "sft.yaml": (head + yaml_text({name: value for name, value in settings.items() if value is not None})).encode(),
        "README.md": _readme(kept, model, _notes(kept, model, bool(encoded))).encode("utf-8", "replace"),
    }


def recipe_notes(folder: Path) -> list[str]:
    """What the README of a recipe says of running it, an item each, without Markdown."""
    lines = (folder / "README.md").read_text(encoding="utf-8").split("\n")
    return [re.sub(r"\\([^\w\s])|`", r"\1", line.removeprefix("- ")) for line in lines if line.startswith("- ")]


def _folder(kept: Kept) -> ModelFolder | None:
    try:
        return find_model(str(kept.provenance["model"]), kept.provenance["revision"])
    except FisherSFTError:  # gone by now: its name is the best that can be said
        return None


def _encoded(kept: Kept, folder: ModelFolder | None) -> list[Encoded] | None:
    """The examples as they were embedded; None where the tokenizer is not at hand or has changed since."""
    from fishersft.lm.model import load_tokenizer  # loads torch

    if folder is None:
        return None
    plainly = kept.manifest.get("written_by", PLAIN_FORM) == PLAIN_FORM
    try:
        tokenizer = load_tokenizer(folder)
    except FisherSFTError:
        return None
    examples = [example_of(e, plain=plainly) for e in kept.examples]
    encoded = encode(examples, tokenizer, kept.provenance["max_tokens"] or MAX_TOKENS)
    return encoded if [len(e.rows) for e in encoded] == kept.picks["tokens"].tolist() else None


def _notes(kept: Kept, model: str, encoded: bool) -> list[str]:
    first = kept.examples[0]
    notes = [
        "It expects a GPU; without one add `--use_cpu`.",
        f"The model is {markdown(model)}; if that is a folder of the machine that wrote this, put yours in its place.",
        "The settings are fishersft's defaults, and nobody has tried them on these examples. `fishersft finetune` finds the "
        "learning rate on a uniform draw and measures on held-out texts.",
    ]
    if encoded:
        return [
            *notes,
            "Each example carries `input_ids` and `labels`, the tokens it was chosen by, and TRL trains on them as they are; "
            "labels of -100 are read and not trained. They belong to this model's tokenizer. For another model remove both "
            "columns, and TRL encodes the words beside them by its own rules.",
        ]
    notes.append(
        "TRL encodes by its own rules: an end token is added to texts and completions, and a start token only where the "
        "tokenizer adds one. fishersft adds a start token wherever the tokenizer has one."
    )
    if "messages" in first:
        notes.append(
            "Conversations are trained on the assistant's turns only (`assistant_only_loss`). TRL refuses a model whose chat "
            "template cannot mark these turns, and a base model has no template at all: name one with `chat_template_path`, or "
            "export again where the model's tokenizer is at hand."
        )
    return notes


def _readme(kept: Kept, model: str, notes: list[str]) -> str:
    commands, made_by = (fenced(code, "sh") for code in (f"pip install trl peft\n{COMMAND}", command_of(kept, shared=True)))
    said = "\n".join(f"- {note}" for note in notes)
    return (
        f"# {markdown(title_of(kept))}\n\n{len(kept.examples):,} examples in `train.jsonl`, in the order they were picked, and "
        f"`sft.yaml`, the settings of `trl sft` (TRL {TRL}, transformers 5). In this folder:\n\n{commands}\n\n{said}\n\n"
        f"The examples were chosen by:\n\n{made_by}\n\nTheir licence is that of the source corpus.\n"
    )
