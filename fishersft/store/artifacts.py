"""What lasts: artifacts named by what they were made from.

    key       = sha256 of canonical JSON {stage, version, parameters, inputs}
    artifact  = <home>/artifacts/<stage>/<key>/   with manifest.json written last, then one rename

So an artifact exists whole or not at all; work in progress lies in <home>/partial/<key>/ and can be taken up again.
A file lock a key keeps the screen and the command line from computing the same thing twice.  No pickle anywhere.
Read-only folders (the embedded demo) may stand behind the user's own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock

from fishersft import paths
from fishersft.errors import StoreError, os_reason
from fishersft.paths import home, replacing

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
T = TypeVar("T")


@dataclass(frozen=True)
class ArtifactKey:
    """What an artifact is made from; equal keys name the same artifact."""

    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        content = {
            "stage": self.stage,
            "version": self.version,
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    key: str
    path: Path
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Store:
    """Artifacts under `path`, with read-only `behind` folders that are looked into when `path` has none."""

    path: Path
    behind: tuple[Path, ...] = ()

    @classmethod
    def default(cls) -> Store:
        """The user's store, with the demo's artifacts behind it."""
        return cls(home(), (paths.asset("store"),))

    def find(self, key: ArtifactKey) -> Artifact | None:
        """The artifact of a key, or None; one that cannot be read is a miss, and logged."""
        for place in (self.path, *self.behind):
            found = _read(place / "artifacts" / key.stage / key.digest)
            if found:
                return found
        return None

    def read(self, key: ArtifactKey, reader: Callable[[Artifact], T | None]) -> T | None:
        """What `reader` makes of the key's artifact, or None.

        A reader that returns None (this one will not do), or an artifact damaged inside (logged), sends us to the next place.
        """
        for place in (Store(self.path), *(Store(b) for b in self.behind)):
            if found := place.find(key):
                try:
                    if (value := reader(found)) is not None:
                        return value
                except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
                    log.warning("artifact %s cannot be read and will be made again: %s", found.path, error)
        return None

    def folders(self, stage: str) -> dict[str, Path]:
        """The folders of a stage's artifacts by their digest, in no special order; readable or not."""
        found: dict[str, Path] = {}
        for place in (self.path, *self.behind):
            with contextlib.suppress(OSError):  # no such folder yet
                for folder in (place / "artifacts" / stage).iterdir():
                    found.setdefault(folder.name, folder)
        return found

    @contextmanager
    def lock(self, key: ArtifactKey) -> Iterator[None]:
        """Hold the key's lock; another process that wants the same artifact waits here."""
        with writing_to(self.path):
            folder = self.path / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{key.digest}.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def workspace(self, key: ArtifactKey, *, fresh: bool = True) -> Path:
        """A folder to work in under the lock; `fresh=False` keeps what an interrupted start left there."""
        with writing_to(self.path):
            folder = self.path / "partial" / key.digest
            if fresh and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            return folder

    def commit(self, key: ArtifactKey, folder: Path, facts: Mapping[str, Any]) -> Artifact:
        """Make a finished workspace an artifact: manifest last, then one rename; an older one gives way."""
        with writing_to(self.path):
            files = {f.name: f.stat().st_size for f in sorted(folder.iterdir()) if f.name != MANIFEST}
            for name in files:
                with (folder / name).open("rb") as written:
                    os.fsync(written.fileno())
            manifest = {
                "key": key.digest,
                "stage": key.stage,
                "version": key.version,
                "parameters": dict(key.parameters),
                "inputs": dict(key.inputs),
                "files": files,
                **facts,
            }
            with (folder / MANIFEST).open("w", encoding="utf-8") as f:
                json.dump(manifest, f, indent=1, ensure_ascii=False)
                f.flush()
                os.fsync(f.fileno())
            final = self.path / "artifacts" / key.stage / key.digest
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                shutil.rmtree(final)
            folder.rename(final)
            return Artifact(key.digest, final, manifest)

    def keep_upload(self, data: bytes, suffix: str, title: str = "") -> Path:
        """Keep an uploaded file under its own sha256, so that a link can open it again, and what its owner called it."""
        with writing_to(self.path):
            final = self.upload_path(hashlib.sha256(data).hexdigest()[:16], suffix)
            if not final.exists():
                final.parent.mkdir(parents=True, exist_ok=True)
                with replacing(final) as partial:
                    partial.write_bytes(data)
            if title:
                with replacing(final.with_suffix(f"{suffix}.title")) as partial:
                    partial.write_text(title, encoding="utf-8", errors="replace")
            return final

    def upload_title(self, path: Path) -> str:
        """What the owner of an upload called it; "" where it is not known."""
        try:
            return path.with_suffix(f"{path.suffix}.title").read_text(encoding="utf-8")[:80]
        except (OSError, ValueError):
            return ""

    def upload_path(self, digest: str, suffix: str) -> Path:
        return self.path / "uploads" / f"{digest}{suffix}"


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into one sentence."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space or set FISHERSFT_HOME to another folder" if full else "set FISHERSFT_HOME to a folder that can"
        raise StoreError(
            f"The store at {str(path)[:200]} cannot be written ({os_reason(error)}); {advice}. What was finished is kept."
        ) from error


def made() -> dict[str, str]:
    """When and by which version: facts for a manifest."""
    from fishersft import __version__

    return {"made": datetime.now(UTC).isoformat(timespec="seconds"), "fishersft": __version__}


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder.

    Raises:
        StoreError: its manifest or one of its files is missing or damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["key"] != folder.name:
            raise ValueError("its manifest belongs to another artifact")
        for name, size in manifest["files"].items():
            if (folder / name).stat().st_size != size:
                raise ValueError(f"{name} does not have its {size} bytes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise StoreError(f"The artifact {folder} cannot be read and will be made again: {reason}.") from error
    return Artifact(folder.name, folder, manifest)


def _read(folder: Path) -> Artifact | None:
    """The artifact in a folder; None where there is none, or none that can be read (logged)."""
    if not folder.is_dir():
        return None
    try:
        return open_artifact(folder)
    except StoreError as error:
        log.warning("%s", error)
        return None


def read_arrays(artifact: Artifact) -> dict[str, np.ndarray]:
    """The named arrays of an artifact."""
    with np.load(artifact.path / "arrays.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def commit_arrays(store: Store, key: ArtifactKey, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Keep named arrays; the caller holds the key's lock."""
    folder = store.workspace(key)
    with writing_to(store.path):
        np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    store.commit(key, folder, {**facts, **made()})


def cached_arrays(store: Store, key: ArtifactKey, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The key's arrays, computed where they are not in the store."""
    if found := store.read(key, read_arrays):
        return found
    with store.lock(key):
        if found := store.read(key, read_arrays):
            return found
        arrays = compute()
        commit_arrays(store, key, arrays, {})
        return arrays
