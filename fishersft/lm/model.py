"""`CausalLM`: tokenizer, weights and device, and a check that the head applied to the rows gives the logits.

Rows are the last hidden states after the final norm.  TokenOD assumes softmax(Theta^T x), so loading a model checks on a probe
batch that head(rows) equals the logits.  Two published variants are accepted and recorded: logits that are the head's output
times a constant (Cohere, Granite), and logits capped by c*tanh(./c) (Gemma 2).  Any other head is refused.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn.utils.rnn import pad_sequence

from fishersft.corpus.encode import Encoded, tokenized
from fishersft.errors import ModelError
from fishersft.lm.folder import ModelFolder, find_model

Progress = Callable[[int, int], None]  # what is done, and the total
DEVICES = ("cpu", "cuda", "mps", "xpu")
_loading = threading.Lock()
TOLERANCE = 1e-3  # relative to the largest logit, in float32
MOST_GROWN = 64  # times that a tokenizer may make a text longer before it cuts it into tokens
MADE_UP = 10_000_000  # weights that a model may lack before it is loaded


@dataclass(frozen=True)
class CausalLM:
    """A causal language model, ready to embed."""

    folder: ModelFolder  # its files, with its name, revision and fingerprint
    tokenizer: Any = field(repr=False)  # a PreTrainedTokenizerBase; transformers is loaded only when needed
    network: Any = field(repr=False)  # a PreTrainedModel
    device: torch.device  # holds the weights
    head: str  # how the logits follow from the rows: `exact`, `scaled by c`, or `capped at c`

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def fingerprint(self) -> str:
        return self.folder.fingerprint

    @property
    def dimension(self) -> int:
        """d, the length of a row."""
        return int(self.network.get_output_embeddings().weight.shape[1])

    @property
    def vocabulary(self) -> int:
        """The number of ids that it reads."""
        return len(self.network.get_input_embeddings().weight)

    @property
    def context(self) -> int:
        """The longest input in tokens; 0 if the configuration states none."""
        return self.folder.context

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, n) ids -> (B, n, d) inputs of the head, in inference mode."""
        with torch.inference_mode():
            return self.hidden(ids)

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, n) ids -> (B, n, d) inputs of the head, for gradients.  The head itself is not computed.

        No attention mask: in a causal model, padding on the right does not affect what precedes it (checked on loading).
        """
        states: torch.Tensor = backbone(self.network)(input_ids=ids.to(self.device), use_cache=False).last_hidden_state
        return states

    def rows_of(self, batch: list[Encoded]) -> np.ndarray:
        """(sum of M, d) float32 rows of one batch, example after example."""
        hidden = self.rows(padded(batch)).float().cpu().numpy()
        return np.concatenate([h[e.rows] for h, e in zip(hidden, batch, strict=True)])

    def read(self, batches: Iterable[list[Encoded]]) -> Iterator[np.ndarray]:
        """The rows of each batch, in order."""
        for batch in batches:
            yield self.rows_of(batch)

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(k, d) rows -> (k, L) float32 logits: the head, then the scaling or the cap recorded in `head`."""
        with torch.inference_mode():
            return self.scores(rows)

    def scores(self, rows: torch.Tensor) -> torch.Tensor:
        """`logits` that remember how they were computed, for gradients."""
        out: torch.Tensor = self.network.get_output_embeddings()(rows).float()
        kind, _, constant = self.head.rpartition(" ")
        if kind == "scaled by":
            return out * float(constant)
        return float(constant) * torch.tanh(out / float(constant)) if kind == "capped at" else out


def padded(batch: Sequence[Encoded]) -> torch.Tensor:
    """(B, n) ids of a batch, padded on the right."""
    return pad_sequence([torch.from_numpy(e.ids.astype(np.int64)) for e in batch], batch_first=True)


def load_model(name: str | ModelFolder, *, device: str = "auto", revision: str | None = None) -> CausalLM:
    """Load a model and check its head; ModelError if it cannot be loaded or its logits do not follow from its rows.

    Args:
        name: `mini`, a folder, a hub id, or a `ModelFolder`.
        device: `auto` (a GPU if torch has one), `cpu`, `cuda`, `cuda:1`, `mps`.
    """
    folder = name if isinstance(name, ModelFolder) else find_model(name, revision)
    tokenizer = load_tokenizer(folder)
    where = torch.device(device_of(device))
    _check_sizes(folder)
    try:
        with quiet():
            network, info = library().AutoModelForCausalLM.from_pretrained(
                folder.path,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # the library may raise anything; every error becomes one sentence
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        if "mismatch" in str(error):
            reason = "its weights do not fit the sizes in its config.json"
        raise ModelError(f"The model {folder.name} could not be loaded as a causal language model: {reason}") from error
    if missing := sorted(info.get("missing_keys", ())):
        raise ModelError(f"The model {folder.name} lacks weights ({missing[0]} and {len(missing) - 1} more).")
    network.eval().to(where)
    try:
        head = _check_head(network, folder.name, where)
    except ModelError:
        raise
    except Exception as error:  # its configuration may not fit together, or it may want more than texts
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"The model {folder.name} cannot read a text by itself: {reason}") from error
    return CausalLM(folder, tokenizer, network, where, head)


def library() -> Any:
    """transformers, whose lazy imports fail if two threads trigger them at once, so one thread at a time does."""
    with _loading:
        import transformers

        _ = transformers.AutoTokenizer, transformers.AutoModelForCausalLM, transformers.logging
        return transformers


@lru_cache(maxsize=8)
def load_tokenizer(folder: ModelFolder) -> Any:
    """The tokenizer, without loading any weights."""
    _check_kind(folder)
    _check_growth(folder)
    try:
        with quiet():
            tokenizer = library().AutoTokenizer.from_pretrained(folder.path, trust_remote_code=False, local_files_only=True)
            tokenized(tokenizer, ["A heron."])  # settings of wrong types
            return tokenizer
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"The tokenizer of {folder.name} could not be loaded: {reason}") from error


def device_of(name: str) -> str:
    """The device to compute on; `auto` is a GPU if torch has one; ModelError if this machine has no such device."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in DEVICES:
            raise RuntimeError(f"{device.type} is not a supported device")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        raise ModelError(f"The device '{name}' is not available on this machine; use --device cpu.") from error
    return str(device)


def backbone(network: Any) -> Any:
    """The network without its head, which gives the rows.  Some families (Llama 4) call themselves their own base model."""
    base = network.base_model
    return base if base is not network else next(part for part in network.children() if hasattr(part, "base_model"))


def _check_kind(folder: ModelFolder) -> None:
    """Refuse a config.json of no causal language model; the library itself would first import and list all that it has."""
    kind, known = folder.config.get("model_type"), library().CONFIG_MAPPING
    if not kind:
        said = "no model_type, such as gpt2"
    elif not isinstance(kind, str) or kind not in known:
        said = f"a model_type that transformers does not have, {kind!r:.60}"
    elif known[kind] not in library().MODEL_FOR_CAUSAL_LM_MAPPING:
        said = f"the model_type {kind}, which continues no text"
    else:
        return
    raise ModelError(f"The model {folder.name} cannot be loaded: its config.json names {said}.")


def _check_growth(folder: ModelFolder) -> None:
    """Refuse a tokenizer.json whose replacements, one after the other, could make a text many times longer."""
    steps, grown = [folder.tokenizer.get(part) for part in ("normalizer", "pre_tokenizer")], 1.0
    while steps:
        step = steps.pop()
        if isinstance(step, list):
            steps += step
        elif isinstance(step, dict):
            steps += step.values()
            new, old = step.get("content", step.get("prepend")), step.get("pattern")
            least = len(old.get("String") or "-") if isinstance(old, dict) and isinstance(old.get("String", ""), str) else 1
            grown *= max(1.0, len(new) / least) if isinstance(new, str) else 1.0
    if grown > MOST_GROWN:
        raise ModelError(
            f"The tokenizer of {folder.name} may make a text {grown:,.0f} times longer by what it replaces (tokenizer.json), "
            f"more than {MOST_GROWN}; choose another model."
        )


def _check_sizes(folder: ModelFolder) -> None:
    """Refuse a config.json that describes far more weights than the files hold; the library would make up what is missing."""
    try:
        stored = {key for file in folder.weights for key in safe_open(file, "pt").keys()}  # noqa: SIM118, it is no dict
        if deep := [value for value in _counts_of_layers(folder.config) if value > len(stored)]:
            described = f"{deep[0]:,} layers"
        else:
            with quiet(), torch.device("meta"):
                network = library().AutoModelForCausalLM.from_config(library().AutoConfig.from_pretrained(folder.path))
            weights = sum(p.numel() for p in network.parameters())
            if weights <= MADE_UP + 4 * sum(file.stat().st_size for file in folder.weights):  # two weights a byte are usual
                return
            described = f"{weights:,} weights"
    except Exception:  # loading will say why
        return
    raise ModelError(f"The config.json of {folder.name} describes {described}, which its files do not hold; download it again.")


def _counts_of_layers(config: dict[str, Any]) -> Iterator[int]:
    """Every number of layers or experts that a configuration names, also those of its parts."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _counts_of_layers(value)
        elif isinstance(value, int) and key.endswith(("layer", "layers", "experts")) and not key.startswith("max_"):
            yield value  # neither a bound nor, as vocab_size_per_layer_input, a width


def _check_head(network: Any, name: str, device: torch.device) -> str:
    """Compare head(rows) with the logits on two random texts, and the rows with those of the texts' first halves."""
    head = network.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        raise ModelError(f"The model {name} has no linear output head, so its design matrix is not defined.")
    config, body = network.config.get_text_config(), backbone(network)  # a model that reads pictures has a part for texts
    context = getattr(config, "max_position_embeddings", None)
    n = min(16, context) if isinstance(context, int) and context > 1 else 16
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, config.vocab_size, (2, n), generator=generator).to(device)
    with torch.inference_mode():
        logits = network(input_ids=ids, use_cache=False).logits.double()
        rows = body(input_ids=ids, use_cache=False).last_hidden_state
        if rows.shape[-1] != head.weight.shape[1]:
            raise ModelError(
                f"The head of the model {name} takes vectors of {head.weight.shape[1]} numbers, but its last hidden states "
                f"have {rows.shape[-1]}; such a head is not supported."
            )
        out = head(rows).double()
        short = body(input_ids=ids[:, : n // 2], use_cache=False).last_hidden_state

    def close(a: torch.Tensor, b: torch.Tensor) -> bool:
        return bool((a - b).abs().max() <= TOLERANCE * b.abs().max().clamp_min(1e-12))

    if not (torch.isfinite(rows).all() and torch.isfinite(logits).all()):
        raise ModelError(f"The model {name} produces numbers that are not finite; its weights are damaged.")
    if not close(rows[:, : n // 2], short):
        raise ModelError(f"The model {name} is not causal: later tokens change earlier rows.")
    if close(out, logits):
        return "exact"
    scale = float((out * logits).sum() / (out * out).sum())
    if close(out * scale, logits):
        return f"scaled by {scale:.4g}"
    cap = getattr(config, "final_logit_softcapping", None)
    if cap and close(cap * torch.tanh(out / cap), logits):
        return f"capped at {cap:g}"
    raise ModelError(
        f"The logits of the model {name} are not its head times its last hidden states (nor a scaling or a cap of that), "
        "as TokenOD assumes; choose another model."
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the progress bars and warnings of transformers off the user's terminal."""
    messages = library().logging
    level = messages.get_verbosity()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        messages.set_verbosity(level)
