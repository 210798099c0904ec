"""What models said, kept in the store: the losses of a pool's tokens, and answers to questions about its texts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.lm.folder import ModelFolder
from fishersft.lm.losses import ModelReadings, TokenStatistics
from fishersft.lm.model import CausalLM, load_model
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays, read_arrays
from fishersft.store.database import Database

log = logging.getLogger(__name__)
STATISTICS = "statistics"
ANSWERS_FILE = "answers.sqlite"
SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL)"


@dataclass(frozen=True)
class StoredLosses:
    """A pool's losses and confidences; the model's weights are loaded only if something has to be computed."""

    embeddings: TokenEmbeddings
    corpus: Corpus
    model: ModelFolder | CausalLM
    store: Store
    device: str = "auto"

    def statistics(self) -> TokenStatistics:
        if not self.embeddings.key:
            return self._now().statistics()

        def compute() -> dict[str, np.ndarray]:
            read = self._now().statistics()
            return {"loss": read.loss, "confidence": read.confidence}

        return TokenStatistics(**cached_arrays(self.store, self._key, compute), offsets=self.embeddings.offsets)

    def losses(self, positions: np.ndarray) -> np.ndarray:
        if self.embeddings.key and (known := self.store.read(self._key, read_arrays)):
            return TokenStatistics(**known, offsets=self.embeddings.offsets).losses(positions)
        return self._now().losses(positions)

    @property
    def stored(self) -> bool:
        """Whether they can be read without asking the model."""
        return bool(self.embeddings.key) and self.store.find(self._key) is not None

    @property
    def _key(self) -> ArtifactKey:
        return ArtifactKey(STATISTICS, 1, {}, {"embeddings": self.embeddings.key})

    def _now(self) -> ModelReadings:
        lm = self.model if isinstance(self.model, CausalLM) else load_model(self.model, device=self.device)
        return ModelReadings(self.embeddings, self.corpus, lm)


class KeptAnswers(MutableMapping[str, Any]):
    """What language models answered, under the digest of what they were asked: anything that JSON can hold.

    Threads and processes may share the file `path` (`Database`).  What cannot be read counts as missing and is asked again;
    writing raises `StoreError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.database = Database(self.path, SCHEMA, 1, "The kept answers")

    def __getitem__(self, key: str) -> Any:
        rows = self._read("SELECT value FROM answers WHERE key = ?", key)
        if not rows:
            raise KeyError(key)
        try:
            return json.loads(rows[0][0])
        except (ValueError, TypeError, RecursionError) as error:
            log.warning("the kept answer %s in %s cannot be read: %s", key, self.path, error)
            raise KeyError(key) from error

    def __setitem__(self, key: str, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False)
        self.database.write(lambda db: db.execute("INSERT OR REPLACE INTO answers (key, value) VALUES (?, ?)", (key, text)))

    def __delitem__(self, key: str) -> None:
        delete = "DELETE FROM answers WHERE key = ?"
        if not self.path.exists() or not self.database.write(lambda db: db.execute(delete, (key,)).rowcount):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([row[0] for row in self._read("SELECT key FROM answers ORDER BY rowid")])

    def __len__(self) -> int:
        return len(self._read("SELECT key FROM answers"))

    def _read(self, statement: str, *values: str) -> list[Any]:
        return self.database.read(lambda db: db.execute(statement, values).fetchall(), [])
