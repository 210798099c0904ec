"""`CausalLM`: tokenizer, weights and device, and the proof that its rows are what its head multiplies.

Rows are the last hidden states after the final norm.  TokenOD reasons about softmax(Theta^T x), so on loading we check
on a probe batch that head(rows) equals the logits.  Two published variants pass, and are noted: logits that are the head's
output times a constant (Cohere, Granite), and logits capped by c*tanh(./c) (Gemma 2).  Anything else is refused.
"""

from __future__ import annotations

import logging
import threading
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from fishersft.errors import ModelError
from fishersft.lm.folder import ModelFolder, find_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEVICES = ("cpu", "cuda", "mps", "xpu")
_loading = threading.Lock()
TOLERANCE = 1e-3  # of the largest logit, in float32


@dataclass(frozen=True)
class CausalLM:
    """A causal language model, ready to embed.

    Attributes:
        folder: where it came from; has its name, revision and fingerprint.
        tokenizer, network: from transformers.
        device: where the weights are.
        head: how the logits follow from the rows: `exact`, `scaled by c`, or `capped at c`.
    """

    folder: ModelFolder
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    network: PreTrainedModel = field(repr=False)
    device: torch.device
    head: str

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
    def context(self) -> int:
        """The longest input, in tokens; 0 where the configuration states none."""
        return self.folder.context

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, n) ids -> (B, n, d) vectors that the head multiplies.  The head itself is not computed.

        No attention mask: the model is causal, so padding on the right changes nothing before it (checked on loading).
        """
        import torch

        with torch.inference_mode():
            out = self.network.base_model(input_ids=ids.to(self.device), use_cache=False)
        return out.last_hidden_state

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(k, d) rows -> (k, L) float32 logits: the head, then the scaling or the cap that loading found (`head`)."""
        import torch

        with torch.inference_mode():
            out: torch.Tensor = cast(Any, self.network.get_output_embeddings())(rows).float()
        kind, _, constant = self.head.rpartition(" ")
        if kind == "scaled by":
            return out * float(constant)
        return float(constant) * torch.tanh(out / float(constant)) if kind == "capped at" else out


def load_model(name: str | ModelFolder, *, device: str = "auto", revision: str | None = None) -> CausalLM:
    """Load a model and check its head.

    Args:
        name: `mini`, a folder, a hub id, or a folder already found.
        device: `auto` (a GPU where torch has one), `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        ModelError: it cannot be loaded, lacks weights, or its logits do not follow from its rows.
    """
    folder = name if isinstance(name, ModelFolder) else find_model(name, revision)
    tokenizer = load_tokenizer(folder)
    import torch

    AutoModelForCausalLM = library().AutoModelForCausalLM
    where = torch.device(device_of(device))
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder.path,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # the library raises whatever its parts raise; each gets one sentence
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        if "mismatch" in str(error):
            reason = "its weights do not fit the sizes in its config.json"
        raise ModelError(f"The model {folder.name} could not be loaded as a causal language model: {reason}") from error
    network, info = loaded
    if missing := sorted(info.get("missing_keys", ())):
        raise ModelError(f"The model {folder.name} lacks weights ({missing[0]} and {len(missing) - 1} more).")
    network.eval().to(where)
    return CausalLM(folder, tokenizer, network, where, _check_head(network, folder.name, where))


def load_tokenizer(folder: ModelFolder) -> PreTrainedTokenizerBase:
    """The tokenizer alone, without weights."""
    return _tokenizer(str(folder.path), folder.name)


def library() -> Any:
    """transformers, its parts loaded by one thread at a time: it makes them on first touch, and two that touch at once fail."""
    with _loading:
        import transformers

        _ = transformers.AutoTokenizer, transformers.AutoModelForCausalLM
        return transformers


@lru_cache(maxsize=8)
def _tokenizer(path: str, name: str) -> Any:
    AutoTokenizer = library().AutoTokenizer
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ModelError(f"The tokenizer of {name} could not be loaded: {' '.join(str(error).split())[:200]}") from error


def device_of(name: str) -> str:
    """Where to compute: `auto` is a GPU where torch has one.

    Raises:
        ModelError: this machine has no such device.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in DEVICES:
            raise RuntimeError(f"{device.type} is not a device to compute on")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        raise ModelError(f"The device '{name}' is not available here; use --device cpu.") from error
    return str(device)


def _check_head(network: Any, name: str, device: torch.device) -> str:
    """Compare head(rows) with the logits on a probe of two texts, one padded."""
    import torch

    head = network.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        raise ModelError(f"The model {name} has no linear output head, so its design matrix is not defined.")
    context = getattr(network.config, "max_position_embeddings", None)
    n = min(16, context) if isinstance(context, int) and context > 1 else 16
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, network.config.vocab_size, (2, n), generator=generator).to(device)
    with torch.inference_mode():
        logits = network(input_ids=ids, use_cache=False).logits.double()
        rows = network.base_model(input_ids=ids, use_cache=False).last_hidden_state
        if rows.shape[-1] != head.weight.shape[1]:
            raise ModelError(
                f"The model {name}: its head multiplies vectors of {head.weight.shape[1]} numbers, but its last hidden "
                f"states have {rows.shape[-1]}; such a head is not supported."
            )
        out = head(rows).double()
        short = network.base_model(input_ids=ids[:, : n // 2], use_cache=False).last_hidden_state

    def close(a: torch.Tensor, b: torch.Tensor) -> bool:
        return bool((a - b).abs().max() <= TOLERANCE * b.abs().max().clamp_min(1e-12))

    if not (torch.isfinite(rows).all() and torch.isfinite(logits).all()):
        raise ModelError(f"The model {name} gives numbers that are not finite; its weights are damaged.")
    if not close(rows[:, : n // 2], short):
        raise ModelError(f"The model {name} is not causal: later tokens change earlier rows.")
    if close(out, logits):
        return "exact"
    scale = float((out * logits).sum() / (out * out).sum())
    if close(out * scale, logits):
        return f"scaled by {scale:.4g}"
    cap = getattr(network.config, "final_logit_softcapping", None)
    if cap and close(cap * torch.tanh(out / cap), logits):
        return f"capped at {cap:g}"
    raise ModelError(
        f"The model {name}: its logits are not its head times its last hidden states (nor a scaling or a cap of that), "
        "so the rows would not be what TokenOD reasons about; choose another model."
    )


class quiet(warnings.catch_warnings):  # noqa: N801 - reads as a statement: with quiet()
    """Transformers' progress bars and warnings stay off the user's terminal."""

    def __enter__(self) -> Any:
        from transformers.utils import logging as library

        self._level = library.get_verbosity()
        library.set_verbosity_error()
        library.disable_progress_bar()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        return entered

    def __exit__(self, *exc: Any) -> None:
        from transformers.utils import logging as library

        library.set_verbosity(self._level)
        super().__exit__(*exc)
