"""The store of artifacts: computed results, each named by what it was made from.

    key       = sha256 of canonical JSON {stage, version, parameters, inputs}
    artifact  = <home>/artifacts/<stage>/<key>/   with manifest.json written last, then one rename

So an artifact is either complete or absent.  Unfinished work is in <home>/partial/<key>/ and can be resumed.
The manifest holds a checksum of every file.  Opening verifies it, by samples where a file is large; `check` reads every byte.
A file lock per key keeps the dashboard and the command line from computing the same thing twice.  Nothing is pickled.
Read-only folders (the embedded demo) can be searched after the user's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from fishersft import __version__, paths
from fishersft.errors import StoreError, os_reason
from fishersft.paths import home, open_regular, read_whole, remove, replacing, writing
from fishersft.text import all_encodable

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
SELECTION = "selection"  # the one stage that a person asked to keep
SAMPLED_ABOVE = 8_000_000  # bytes of a file, beyond which opening looks at SAMPLES blocks of it
SAMPLES, BLOCK = 64, 4_096
WAIT = 0.5  # seconds between two looks at what another process has done so far
T = TypeVar("T")


@dataclass(frozen=True)
class ArtifactKey:
    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "parameters": dict(self.parameters), "inputs": dict(self.inputs)}


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    key: str
    path: Path
    manifest: dict[str, Any]


@dataclass(frozen=True)
class StoreCheck:
    """What reading every byte of a store came to.

    Attributes:
        artifacts, bytes: how much was read.
        without_checksum: artifacts of an earlier version, of which only the sizes are known.
        damaged: a sentence for each artifact that is not what was written.
        dropped: how many results were computed from those, or may have been.
        doubtful: the keys of selections that were made from them.
    """

    artifacts: int
    bytes: int
    without_checksum: int
    damaged: tuple[str, ...]
    dropped: int
    doubtful: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """The artifacts under `path`; the read-only folders in `behind` are searched when `path` lacks one."""

    path: Path
    behind: tuple[Path, ...] = ()

    @classmethod
    def default(cls) -> Store:
        """The user's store, which falls back on the demo's artifacts."""
        return cls(home(), (paths.asset("store"),))

    def find(self, key: ArtifactKey) -> Artifact | None:
        """The artifact of a key, or None.  An artifact that cannot be read counts as missing and is logged."""
        for place in (self.path, *self.behind):
            folder = place / "artifacts" / key.stage / key.digest
            if folder.is_dir():
                try:
                    return open_artifact(folder)
                except StoreError as error:
                    log.warning("%s", error)
        return None

    def read(self, key: ArtifactKey, reader: Callable[[Artifact], T | None]) -> T | None:
        """What `reader` returns for the key's artifact, or None.

        If the reader rejects an artifact by returning None, or the artifact is damaged inside (logged), the next folder is tried.
        """
        for place in (self.path, *self.behind):
            if found := Store(place).find(key):
                try:
                    if (value := reader(found)) is not None:
                        return value
                except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
                    log.warning("artifact %s cannot be read and will be computed again: %s", found.path, error)
        return None

    def folders(self, stage: str) -> dict[str, Path]:
        """The folders of a stage's artifacts by digest, in no particular order, readable or not."""
        found: dict[str, Path] = {}
        for place in (self.path, *self.behind):
            with contextlib.suppress(OSError):  # the folder does not exist yet
                for folder in (place / "artifacts" / stage).iterdir():
                    if folder.is_dir():  # a file manager leaves files of its own
                        found.setdefault(folder.name, folder)
        return found

    @contextmanager
    def lock(self, key: ArtifactKey, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Holds the key's lock; any other process that wants the same artifact waits here, and calls `meanwhile` now and then."""
        with writing_to(self.path):
            folder = self.path / "locks"
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{key.digest}.lock")
        while True:
            with writing_to(self.path), contextlib.suppress(Timeout):
                lock.acquire(timeout=WAIT)
                break
            meanwhile()
        try:
            yield
        finally:
            lock.release()

    def workspace(self, key: ArtifactKey, *, fresh: bool = True) -> Path:
        """A folder to work in while holding the lock; `fresh=False` keeps what an interrupted run left there."""
        with writing_to(self.path):
            folder = self.path / "partial" / key.digest
            if folder.is_symlink() or (fresh and folder.exists()):
                remove(folder)  # a link's own folder is outside of the store
            folder.mkdir(parents=True, exist_ok=True)
            return folder

    def commit(self, key: ArtifactKey, folder: Path, facts: Mapping[str, Any]) -> Artifact:
        """Turn a finished workspace into an artifact: the manifest last, then one rename.  Replaces an older artifact."""
        with writing_to(self.path):
            files = {f.name: f.stat().st_size for f in sorted(folder.iterdir()) if f.name != MANIFEST}
            for name in files:
                with (folder / name).open("rb") as written:
                    os.fsync(written.fileno())
            checksums = {name: _checksums(folder / name, size) for name, size in files.items()}
            manifest = all_encodable({"key": key.digest, **key.as_dict(), "files": files, "checksums": checksums, **facts})
            with (folder / MANIFEST).open("w", encoding="utf-8") as f:
                json.dump(manifest, f, indent=1)
                f.flush()
                os.fsync(f.fileno())
            final = self.path / "artifacts" / key.stage / key.digest
            final.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(final):
                remove(final)
            folder.rename(final)
            return Artifact(key.digest, final, manifest)

    def check(self) -> StoreCheck:
        """Read every byte of every artifact under `path`; drop the damaged ones, and what may have been computed from them.

        A selection is never dropped, since somebody asked to keep it; what is wrong with it is said.
        """
        manifests: dict[Path, dict[str, Any]] = {}
        damaged: dict[Path, str] = {}
        for folder in sorted(f for f in (self.path / "artifacts").glob("*/*") if f.is_dir()):
            try:
                manifests[folder] = open_artifact(folder, whole=True).manifest
            except StoreError as error:
                damaged[folder] = str(error)
        whole = {folder.name for folder in manifests} | {f.name for s in self.behind for f in (s / "artifacts").glob("*/*")}
        gone, bad = {folder.name for folder in damaged}, dict.fromkeys(damaged)
        while found := [f for f, m in manifests.items() if f not in bad and _may_stand_on(gone, m["inputs"], whole)]:
            bad |= dict.fromkeys(found)
            gone |= {folder.name for folder in found}
        for folder in bad:
            if folder.parent.name != SELECTION:
                with writing_to(self.path):
                    remove(folder)
        return StoreCheck(
            artifacts=len(manifests) + len(damaged),
            bytes=sum(sum(m["files"].values()) for m in manifests.values()),
            without_checksum=sum("checksums" not in m for m in manifests.values()),
            damaged=tuple(damaged.values()),
            dropped=sum(folder.parent.name != SELECTION for folder in bad if folder not in damaged),
            doubtful=tuple(folder.name for folder in bad if folder not in damaged and folder.parent.name == SELECTION),
        )

    @property
    def set_aside(self) -> list[str]:
        """A sentence for each database that was damaged: it was set aside, and an empty one took its place."""
        files = [file.name for file in sorted(self.path.glob("*.damaged-*")) if file.name.rpartition("-")[2].isdigit()]
        said = "was damaged and is set aside as {}; what only it held is not listed."
        return [f"{name.partition('.damaged-')[0]} {said.format(name)}" for name in files]

    def keep_upload(self, data: bytes, suffix: str, title: str = "", owner: str = "") -> Path:
        """Save an uploaded file under its sha256, so that a link can open it again, together with the name its owner gave it.

        With an `owner`, whose name is a secret, nobody else who has the same file finds it.
        """
        with writing_to(self.path):
            final = self.upload_path(hashlib.sha256(owner.encode() + data).hexdigest()[:16], suffix)
            if not final.exists():
                final.parent.mkdir(parents=True, exist_ok=True)
                with replacing(final) as partial:
                    partial.write_bytes(data)
            if title:
                with replacing(final.with_name(f"{final.name}.title")) as partial:
                    partial.write_text(title, encoding="utf-8", errors="replace")
            return final

    def remove_upload(self, path: Path) -> None:
        """Delete an uploaded file and its title; nothing where it is gone."""
        with writing_to(self.path):
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.title").unlink(missing_ok=True)

    def trim(self, most: int, age: float) -> None:
        """Delete uploads and what was computed that are older than `age` seconds, then the oldest until `most` bytes are left.

        Selections stay, since somebody asked to keep them.
        """
        folders = [f for f in (self.path / "artifacts").glob("*/*") if f.parent.name != SELECTION]
        found = []
        others = [f for name in ("partial", "uploads", "near-duplicates") for f in (self.path / name).glob("*")]
        for path in [*folders, *others]:
            with contextlib.suppress(OSError):  # another visitor's page deletes as well
                files = [path, *path.iterdir()] if path.is_dir() else [path]
                found.append((path.stat().st_mtime, sum(file.stat().st_size for file in files), path))
        total, oldest = sum(size for _, size, _ in found), time.time() - age
        for made, size, path in sorted(found):
            if made >= oldest and total <= most:
                break
            total -= size
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                self.remove_upload(path)

    def upload_title(self, path: Path) -> str:
        """The name that an upload's owner gave it; "" if it is unknown."""
        try:
            return path.with_name(f"{path.name}.title").read_text(encoding="utf-8")[:80]
        except (OSError, ValueError):
            return ""

    def upload_path(self, digest: str, suffix: str) -> Path:
        return self.path / "uploads" / f"{digest}{suffix}"


def writing_to(path: Path) -> AbstractContextManager[None]:
    """Turns the refusal to write to the store at `path` into a one-sentence StoreError."""
    advice = "free some space or set FISHERSFT_HOME to a writable folder. Finished work is kept"
    return writing(f"The store at {str(path)[:200]}", advice)


def made() -> dict[str, str]:
    """When an artifact was made and by which version, for its manifest."""
    return {"made": datetime.now(UTC).isoformat(timespec="seconds"), "fishersft": __version__}


def open_artifact(folder: Path, *, whole: bool = False, outcome: str = "will be computed again") -> Artifact:
    """The artifact in a folder; StoreError if the manifest or one of the files is missing or damaged.

    `whole` compares every byte with what was written; otherwise a large file is sampled.  `outcome` is what follows of damage.
    """
    try:
        manifest = json.loads(read_whole(folder / MANIFEST))
        if manifest["key"] != folder.name:
            raise ValueError("its manifest belongs to another artifact")
        if not all(isinstance(key, str) for key in manifest["inputs"].values()):
            raise ValueError("its manifest does not name what it was made from")
        for name, size in manifest["files"].items():
            if (folder / name).stat().st_size != size:
                raise ValueError(f"{name} is not {size} bytes long")
        for name, known in manifest.get("checksums", {}).items():
            way = "sampled" if "sampled" in known and not whole else "sha256"
            if checksum(folder / name, sampled=way == "sampled") != known[way]:
                raise ValueError(f"{name} is not what was written")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise StoreError(f"The artifact {folder} cannot be read and {outcome}: {reason}.") from error
    return Artifact(folder.name, folder, manifest)


def checksum(path: Path, *, sampled: bool = False) -> str:
    """sha256 of a file, or of SAMPLES blocks spread evenly over it, the first and the last among them."""
    with open_regular(path) as file:
        if not sampled:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest, last = hashlib.sha256(), path.stat().st_size - BLOCK
        for k in range(SAMPLES):
            file.seek(max(0, last * k // (SAMPLES - 1)))
            digest.update(file.read(BLOCK))
        return digest.hexdigest()


def as_written(path: Path, known: str | None, advice: str) -> Path:
    """The path, if its file's sha256 is the `known` one, or none is known; StoreError, which ends with the advice, otherwise."""
    try:
        if known is not None and hashlib.sha256(read_whole(path)).hexdigest() != known:
            raise StoreError(f"{path} is damaged (it is not what was written); {advice}.")
    except (OSError, ValueError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        raise StoreError(f"{path} cannot be read ({reason}); {advice}.") from error
    return path


def _checksums(path: Path, size: int) -> dict[str, str]:
    return {"sha256": checksum(path), **({"sampled": checksum(path, sampled=True)} if size > SAMPLED_ABOVE else {})}


def _may_stand_on(gone: set[str], inputs: Mapping[str, str], whole: set[str]) -> bool:
    """Whether what was computed from these inputs may stand on what is gone; embeddings that are not `whole` artifacts are a part
    of some, and their name does not tell of which."""
    rows = inputs.get("embeddings")
    return bool(gone) and (not gone.isdisjoint(inputs.values()) or (rows is not None and rows not in whole))


def read_arrays(artifact: Artifact) -> dict[str, np.ndarray]:
    """The named arrays of an artifact."""
    with np.load(artifact.path / "arrays.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def commit_arrays(store: Store, key: ArtifactKey, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Save named arrays as an artifact; the caller holds the key's lock."""
    folder = store.workspace(key)
    with writing_to(store.path):
        np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    store.commit(key, folder, {**facts, **made()})


def cached_arrays(store: Store, key: ArtifactKey, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The key's arrays, computed first if the store does not have them."""
    if found := store.read(key, read_arrays):
        return found
    with store.lock(key):
        if found := store.read(key, read_arrays):
            return found
        arrays = compute()
        commit_arrays(store, key, arrays, {})
        return arrays
