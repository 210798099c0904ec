"""GGUF files, as llama.cpp and Ollama take them: written out once as a model folder with dequantised weights.

transformers has the reader, and the package `gguf` the format.  The folder lies under the user's data folder and is used from
then on, so that nothing else needs to know of the format.  Imports torch and transformers only when a file is written out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from filelock import FileLock

from fishersft.errors import MissingExtra, ModelError
from fishersft.paths import home, replacing, writing

ADVICE = "free some space or set FISHERSFT_HOME to another folder"


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that a path names: itself, or the only one in a folder that has no config.json; None if there is none.

    ModelError if a folder has several.
    """
    if path.is_file():
        return path if path.suffix.lower() == ".gguf" else None
    if (path / "config.json").is_file() or not path.is_dir():
        return None
    found = sorted(f for f in path.iterdir() if f.suffix.lower() == ".gguf" and f.is_file())
    if len(found) > 1:
        raise ModelError(f"The folder {path} has {len(found)} GGUF files; name one of them, such as {found[0]}.")
    return found[0] if found else None


def dequantised(file: Path) -> Path:
    """The folder with the file's weights as 16-bit safetensors, its configuration and its tokenizer; written the first time."""
    facts = file.stat()
    key = hashlib.sha256(f"{file.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = home() / "gguf" / f"{file.stem}-{key}"
    if not folder.is_dir():
        with writing(folder.parent, ADVICE):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{folder}.lock").acquire()
        with lock:
            if not folder.is_dir():  # another process wrote it while we waited
                network, tokenizer = _read(file)
                with writing(folder, ADVICE), replacing(folder) as partial:
                    network.save_pretrained(partial)
                    tokenizer.save_pretrained(partial)
    return folder


def _read(file: Path) -> tuple[Any, Any]:
    try:
        import gguf  # noqa: F401 - transformers looks for it
    except ImportError as error:
        raise MissingExtra("Reading a GGUF file", "gguf") from error
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        network: Any = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **where)
    except Exception as error:  # the library may raise anything; every error becomes one sentence
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"The GGUF file {file} could not be read: {reason}") from error
    del network.config.quantization_config  # the weights are plain numbers now, and may be saved as such
    network.hf_quantizer, network.is_quantized = None, False
    return network.to(torch.float16), tokenizer
