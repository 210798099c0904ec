"""Finds a model's files and decides whether they are safe to load.  Imports neither torch nor transformers.

A model is a folder with config.json, a tokenizer and safetensors, or a GGUF file (`gguf.py`).  Pickled weights and code from a
repository are refused, since both can run arbitrary code.  The files of a hub id are first downloaded into the hub's own cache.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fishersft import paths
from fishersft.corpus.records import MAX_TOKENS, Corpus, Text
from fishersft.errors import ModelError, StoreError, UserError, os_reason
from fishersft.fields import check, parameter
from fishersft.lm.gguf import dequantised, gguf_file
from fishersft.paths import read_whole, user_path
from fishersft.text import shortened

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WANTED = ("*.json", "*.safetensors", "*.model", "merges.txt", "vocab.txt", "*.jinja", "*.tiktoken")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
TEMPLATE_VERSION = 2  # of how answers are found in what a chat template writes
HUB_TIMEOUT = 10  # seconds to wait for the hub's first response


@dataclass(frozen=True)
class ModelOptions:
    """The model that embeds a corpus, and where it is computed; ParameterError if a value is out of range."""

    model: str = parameter("mini", "'mini', a model folder, a .gguf file, or a hub id such as gpt2.")
    revision: str | None = parameter(None, "Branch, tag or commit of a hub model.", metavar="REV")
    max_tokens: int = parameter(MAX_TOKENS, "Most tokens of a record, which is cut there; never above the model's context.")
    device: str = parameter("auto", "auto, cpu, cuda, cuda:1 or mps.")
    threads: int | None = parameter(None, "Number of threads; all cores by default.", least=1)
    engine: str = parameter("here", "Where embeddings and TokenOD are computed; results are the same.", choices=("here", "ray"))
    ray_address: str | None = parameter(
        None, "Address of a Ray cluster, such as host:6379; without one, a cluster is started on this machine.", metavar="ADDRESS"
    )

    def __post_init__(self) -> None:
        check(self)


def model_label(name: str) -> str:
    """What a model is called elsewhere: of an absolute path its last part, of anything else the whole."""
    return Path(name).name if user_path(name).is_absolute() else name


@dataclass(frozen=True)
class ModelFolder:
    """A model's files, checked but not loaded."""

    name: str  # what the user called it
    path: Path
    revision: str = ""  # the hub's commit; "" for a folder
    note: str = ""  # what the user is to be told of it, a sentence; "" if nothing

    @cached_property
    def config(self) -> dict[str, Any]:
        return _json(self.path / "config.json", self.name)

    @property
    def tokenizer(self) -> dict[str, Any]:
        """What its tokenizer.json says; nothing where it has none."""
        file = self.path / "tokenizer.json"
        return _json(file, self.name) if file.exists() else {}

    @property
    def label(self) -> str:
        """Its name without the place on this machine."""
        return model_label(self.name)

    @cached_property
    def weights(self) -> list[Path]:
        return sorted(f for f in self.path.glob("*.safetensors") if f.is_file())

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the configuration, the tokenizer and every weight."""
        h = hashlib.sha256()
        named = re.compile(r"tokenizer|vocab|merges|special_|added_|chat_")
        tokenizer = [f for f in sorted(self.path.iterdir()) if named.match(f.name) and f.is_file()]
        for file in [self.path / "config.json", *tokenizer, *self._more_templates, *self.weights]:
            h.update(file.name.encode() + b"\0")
            with file.open("rb") as f:
                h.update(hashlib.file_digest(f, "sha256").digest())
        return h.hexdigest()

    @property
    def _more_templates(self) -> list[Path]:
        """Chat templates for other uses, such as tools."""
        return sorted(f for f in self.path.glob("additional_chat_templates/*.jinja") if f.is_file())

    @cached_property
    def has_chat_template(self) -> bool:
        files = [*self.path.glob("chat_template.*"), *self._more_templates]
        settings = self.path / "tokenizer_config.json"
        return bool(files) or (settings.is_file() and bool(_json(settings, self.name).get("chat_template")))

    def writes(self, corpus: Corpus) -> bool:
        """Whether the model's chat template writes the records of a corpus; texts, and what is to be plain, are joined by us."""
        return self.has_chat_template and not isinstance(corpus.examples[0], Text) and not corpus.examples[0].plain

    def encoding_of(self, corpus: Corpus, max_tokens: int) -> dict[str, Any]:
        """What the ids of a corpus depend on besides its words and the tokenizer: parameters of what is computed from them."""
        cut = effective_max_tokens(max_tokens, self.context)
        return {"max_tokens": cut, **({"template": TEMPLATE_VERSION} if self.writes(corpus) else {})}

    @property
    def context(self) -> int:
        """The longest input in tokens, according to the configuration; 0 if it states none."""
        for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
            for config in (self.config, self.config.get("text_config")):
                if isinstance(config, dict) and type(value := config.get(name)) is int and value > 0:
                    return value
        return 0


def find_model(name: str | Path, revision: str | None = None) -> ModelFolder:
    """The files of `mini`, of a folder, of a GGUF file, or of a hub id (`gpt2`, `owner/name`).

    ModelError if there is no such model, it has no safetensors or only pickled weights, or it asks to run its own code.
    """
    name = str(name)
    if not name.strip():
        raise ModelError("A model must be 'mini', a folder, or a hub id such as gpt2, not an empty name.")
    path = paths.asset("mini") if name == "mini" else user_path(name)
    if revision and os.path.isdir(path):
        raise ModelError(f"A revision can only be given for a hub model; {shortened(name)} is a folder.")
    if name == "mini":
        return _checked(ModelFolder("mini", path))
    if not os.path.exists(path) and len(name) > 200:
        raise ModelError(f"There is no model folder {shortened(name)}.")
    if os.path.exists(path) and (file := gguf_file(path)):
        folder = dequantised(file)
        note = f"The weights of {file.name} are quantised; they are read as 16-bit numbers, written out once to {folder}."
        return _checked(ModelFolder(name, folder, note=note))
    if path.is_dir():
        return _checked(ModelFolder(name, path.resolve()))
    if path.is_file():
        raise ModelError(f"{name} is a file; name a .gguf file, or the folder with config.json and model.safetensors.")
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or not HUB_ID.fullmatch(name):
        raise ModelError(f"There is no model folder {name}; give a folder, 'mini', or a hub id such as gpt2.")
    return _checked(_from_hub(name, revision))


def effective_max_tokens(max_tokens: int, context: int) -> int:
    """`max_tokens`, limited to the model's context; UserError if it is below 2, since a single token predicts nothing."""
    if isinstance(max_tokens, bool) or not hasattr(max_tokens, "__index__") or max_tokens < 2:
        raise UserError(f"--max-tokens must be at least 2 and was {max_tokens}; the default is {MAX_TOKENS}.")
    return int(min(max_tokens, context) if context else max_tokens)


def _from_hub(name: str, revision: str | None) -> ModelFolder:
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    try:
        config = Path(snapshot_download(name, revision=revision, allow_patterns=["*.json"], etag_timeout=HUB_TIMEOUT))
        _refuse_remote_code(name, config)  # before any weight is fetched
        path = Path(snapshot_download(name, revision=revision, allow_patterns=list(WANTED), etag_timeout=HUB_TIMEOUT))
    except hub.GatedRepoError as error:
        raise ModelError(f"The model {name} is gated: accept its terms on the hub and log in with hf auth login.") from error
    except hub.RepositoryNotFoundError as error:
        raise ModelError(f"The hub has no model {name}, and there is no folder of that name; check the spelling.") from error
    except hub.RevisionNotFoundError as error:
        raise ModelError(f"The model {name} has no revision '{revision}' on the hub.") from error
    except ModelError:
        raise
    except (OSError, ValueError, RuntimeError, hub.HfHubHTTPError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise StoreError(f"The hub's cache cannot be written ({os_reason(error)}); free some space and try again.") from error
        raise ModelError(
            f"There is no folder {name}, and the hub could not be reached for a model of that name; "
            "check the network, or give a model folder. The model 'mini' needs no network."
        ) from error
    return ModelFolder(name, path, path.name)


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(read_whole(path))
    except OSError as error:
        raise ModelError(f"{name}: {path.name} cannot be read ({os_reason(error)}).") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name}: {path.name} is not valid JSON; download the model again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{name}: {path.name} does not contain a configuration.")
    return value


def _refuse_remote_code(name: str, folder: Path) -> None:
    for file in ("config.json", "tokenizer_config.json"):
        if (folder / file).exists() and _json(folder / file, name).get("auto_map"):
            raise ModelError(
                f"The model {name} asks to run code of its own ({file} has auto_map), which fishersft never runs; "
                "choose a model whose architecture is part of transformers."
            )


def _checked(folder: ModelFolder) -> ModelFolder:
    name, path = folder.name, folder.path
    if not (path / "config.json").is_file():
        raise ModelError(f"The folder {name} has no config.json, so it is not a model folder.")
    _refuse_remote_code(name, path)
    if not folder.weights:
        pickles = sorted(f.name for pattern in PICKLES for f in path.glob(pattern))
        if pickles:
            raise ModelError(
                f"The model {name} has pickled weights only ({pickles[0]}), which can run code and are not loaded; "
                "save the model with save_pretrained(..., safe_serialization=True)."
            )
        raise ModelError(f"The model {name} has no safetensors weights; it needs model.safetensors.")
    if not any((path / f).exists() for f in ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")):
        raise ModelError(f"The model {name} has no tokenizer (tokenizer.json); save it into the same folder.")
    return folder
