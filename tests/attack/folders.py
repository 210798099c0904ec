"""Hostile model folders, and damaged or foreign folders of runs and of error curves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import struct
from functools import cache
from pathlib import Path
from typing import Any

from tests.attack.files import spoiled, value
from tests.damage import changed, damage

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("llama", "gpt2", "bert", "t5", "", "../x", "mixtral", "mamba", None, 3, ["gpt2"])
TEMPLATES = (
    "{{ messages }}",
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ ''.__class__.__mro__ }}",
    "{% include 'x' %}",
    "{{ raise_exception('no') }}",
    "{% for m in messages %}{{ loop(m) }}{% endfor %}",
    "{{ 'a' * 10**9 }}",
    "{{",
    "",
    {"default": "x"},
    [{"name": "default", "template": "{{ messages[0].content }}"}],
    3,
)


@cache
def tiny(folder: Path) -> Path:
    from tests.tiny_model import make_model

    return folder if folder.exists() else make_model(folder)


def _edited(file: Path, rng: random.Random) -> None:
    found = json.loads(file.read_text())
    for _ in range(rng.randrange(1, 4)):
        found = changed(found, rng)
    if isinstance(found, dict) and rng.random() < 0.3:
        found[
            rng.choice(["model_type", "architectures", "vocab_size", "n_embd", "auto_map", "tokenizer_class", "max_length"])
        ] = value(rng)
    file.unlink()
    file.write_text(json.dumps(found))


def _safetensors(data: bytes, rng: random.Random) -> bytes:
    """The weights with a header that lies."""
    size = struct.unpack("<Q", data[:8].ljust(8, b"\0"))[0]
    if not 0 < size < len(data):  # it lies already
        return spoiled(data, rng)
    try:
        header: dict[str, Any] = json.loads(data[8 : 8 + size])
    except ValueError:
        return spoiled(data, rng)
    kind = rng.randrange(5)
    if kind == 0:
        return struct.pack("<Q", rng.choice([0, 2**40, 2**63, size + 1])) + data[8:]
    if kind == 1:
        name = rng.choice([k for k in header if k != "__metadata__"])
        header[name] = {
            **header[name],
            rng.choice(["dtype", "shape", "data_offsets"]): rng.choice(["F64", "X", [2**40], [0, 2**50], [-1], []]),
        }
    elif kind == 2:
        header.pop(rng.choice(list(header)))
    elif kind == 3:
        header = changed(header, rng)
    else:
        return spoiled(data, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _sound(file: Path) -> bool:
    """Whether a file can be read, to be changed."""
    try:
        return file.suffix == ".safetensors" or isinstance(json.loads(file.read_text()), dict)
    except ValueError:
        return False


def hostile_model(rng: random.Random, sound: Path, folder: Path) -> Path:
    shutil.copytree(sound, folder, copy_function=os.link)
    for _ in range(rng.choice([1, 1, 2])):
        files = sorted(f for f in folder.iterdir() if f.is_file())
        file = rng.choice(files)
        kind = rng.random()
        if kind >= 0.2 and not _sound(file):  # spoiled before
            continue
        if kind < 0.08:
            file.unlink()
        elif kind < 0.2:
            data = file.read_bytes()
            file.unlink()
            file.write_bytes(rng.choice([spoiled(data, rng), b"", b"[" * 100_000, b"null", b"[]", b"\xff\xfe"]))
        elif kind < 0.4:
            template: Any = rng.choice(TEMPLATES)
            settings = folder / "tokenizer_config.json"
            found = json.loads(settings.read_text()) if settings.exists() and _sound(settings) else {}
            settings.unlink(missing_ok=True)
            settings.write_text(json.dumps({**found, "chat_template": template} if isinstance(found, dict) else found))
        elif kind < 0.5:
            config = folder / "config.json"
            if config.exists() and _sound(config):
                about = json.loads(config.read_text() or "{}")
                config.unlink()
                config.write_text(json.dumps({**about, "model_type": rng.choice(KINDS)} if isinstance(about, dict) else about))
        elif file.suffix == ".safetensors":
            data = file.read_bytes()
            file.unlink()
            file.write_bytes(_safetensors(data, rng))
        else:
            _edited(file, rng)
    return folder


def model(rng: random.Random, folder: Path, sound: Path) -> None:
    """Embed two texts and a chat with a hostile model."""
    from fishersft import embed, load_corpus

    path = hostile_model(rng, sound, folder / "m")
    corpus = folder / "c.jsonl"
    if rng.random() < 0.5:
        lines: list[Any] = [{"text": "A storm is coming from the west."}, {"text": "Rain."}]
    else:
        said = [{"role": "user", "content": "Where do herons nest?"}, {"role": "assistant", "content": "In trees by the water."}]
        lines = [{"messages": said}, {"messages": said}]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    embed(load_corpus(corpus, holdout=0), str(path), device="cpu")


def run(rng: random.Random, folder: Path, sound: Path) -> None:
    """A damaged run of fine-tuning: listed, read, its verdicts, its report."""
    from fishersft.catalogue import FINETUNED, find_run, runs
    from fishersft.export.report import report
    from fishersft.finetuning.results import FineTuneResult
    from fishersft.finetuning.run import read_run
    from fishersft.judge import verdicts, votes

    there = folder / "home" / "runs" / "abc123"
    shutil.copytree(sound, there)
    for _ in range(rng.choice([1, 1, 2, 3])):
        with contextlib.suppress(ValueError, RecursionError):  # damaged before
            damage(there, rng.randrange(2**31))
    listed = runs(FINETUNED)
    assert [row.id for row in listed if not row.shipped] in (["abc123"], []), listed
    assert all("\n" not in row.problem for row in listed)
    json.dumps([row.as_dict() for row in listed])
    found = read_run(there)
    json.dumps(FineTuneResult(found).as_dict())
    for name in found.models:
        found.texts(name)
    verdicts.judges_of(found)
    votes.examination(found)
    _ = find_run("abc123").opened
    report("abc123").html()


def curves(rng: random.Random, folder: Path) -> None:
    """A damaged folder of error curves: listed, read, its table, its report."""
    from fishersft.catalogue import CURVES, complete, find_run, runs
    from fishersft.experiments.result import read_curves
    from fishersft.experiments.timing import read_timing
    from fishersft.export.report import report

    name = rng.choice(["sweep", "timing", "teacher", "words"])
    there = folder / "home" / "curves" / "abc123"
    shutil.copytree(ROOT / "assets" / "curves" / name, there, ignore=shutil.ignore_patterns("curves.*"))
    for _ in range(rng.choice([1, 1, 2])):
        with contextlib.suppress(ValueError, RecursionError):  # damaged before
            damage(there, rng.randrange(2**31))
    assert all("\n" not in row.problem for row in runs(CURVES))
    complete(there)
    json.dumps((read_timing(there) if name == "timing" else read_curves(there)).table())
    _ = find_run("abc123", CURVES).opened
    report("abc123").html()
