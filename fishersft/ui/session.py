"""What a visitor is looking at: which corpus under which model, which record, which set.

One typed object per browser session.  `address` mirrors it in the address bar; this module knows nothing of that.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fishersft.corpus.files import ENDINGS
from fishersft.corpus.load import CLASSICS
from fishersft.corpus.records import ReadOptions
from fishersft.errors import CorpusError, ModelError
from fishersft.fields import flags
from fishersft.store.artifacts import Store

UPLOAD = re.compile(rf"upload:([0-9a-f]{{16}})({'|'.join(map(re.escape, ENDINGS))})")


def public() -> bool:
    """A hosted demo: no local paths, no free hub ids."""
    return os.environ.get("FISHERSFT_PUBLIC") == "1"


@dataclass(frozen=True)
class Choice:
    """A corpus and a model by name, as an address can carry them.

    Attributes:
        corpus: `demo`, a classic, `upload:<digest>.<ending>`, `hf:owner/name`, or a path.
        model: `mini`, a folder, or a hub id.
        options: how the corpus is read, as on the command line.
        target: texts that the model should get good at: `COLUMN=VALUE`, `records=NUMBERS`, `upload:<digest>.<ending>` or a path.
        target_seed: which half of them chooses.
    """

    corpus: str = "demo"
    model: str = "mini"
    options: tuple[tuple[str, str], ...] = ()
    target: str = ""
    target_seed: int = 0

    @property
    def upload(self) -> Path | None:
        """Where the store keeps an upload; None for everything else."""
        return _upload_path(self.corpus)

    @property
    def target_upload(self) -> Path | None:
        """The same of the target."""
        return _upload_path(self.target)

    @property
    def target_said(self) -> str:
        """The target as the command line takes it: an upload under its visitor's name."""
        return Store.default().upload_title(self.target_upload) or self.target if self.target_upload else self.target

    @property
    def title(self) -> str:
        """What the visitor called an upload; "" for everything else."""
        return Store.default().upload_title(self.upload) if self.upload else ""

    @property
    def source(self) -> str:
        """What `load_corpus` takes."""
        if not self.corpus.startswith("upload:"):
            return self.corpus
        if not self.upload:
            raise CorpusError("This link names an upload in a way we do not know; upload the file again.")
        if not self.upload.exists():
            raise CorpusError("This link opens an upload that is not on this machine; upload the file again.")
        return str(self.upload)

    def plainly(self, sentence: str) -> str:
        """A sentence about the corpus' file, with an upload called as its visitor called it and not as the store does."""
        if not self.title:
            return sentence
        path = Path(self.source)
        return sentence.replace(str(path), self.title).replace(path.name, self.title)

    @property
    def name(self) -> str:
        return self.title or (Path(self.corpus).name if "/" in self.corpus and ":" not in self.corpus else self.corpus)

    @property
    def load_options(self) -> dict[str, Any]:
        """Keyword arguments for `load_corpus`."""
        return ReadOptions.of_texts(self.options)

    @property
    def flags(self) -> list[str]:
        """How the corpus is read and what for, as the command line takes it."""
        aimed = [("target", self.target_said), ("target_seed", str(self.target_seed or ""))]
        return flags([*self.options, *((name, value) for name, value in aimed if value)])

    @property
    def aim(self) -> dict[str, Any]:
        """Keyword arguments for `select` and `load_pool`."""
        seed = {"target_seed": self.target_seed} if self.target_seed else {}
        return {"target": self.target_said, **seed} if self.target else {}

    @property
    def aim_python(self) -> str:
        """The same as they are written after other arguments."""
        return "".join(f", {name}={value!r}" for name, value in self.aim.items())

    def check_public(self) -> None:
        """On a hosted demo only the embedded, the built-in and the uploaded may be opened."""
        if not public():
            return
        if self.corpus not in ("demo", *CLASSICS) and not UPLOAD.fullmatch(self.corpus):
            raise CorpusError("This hosted demo opens no paths and no hub data sets; upload a file instead.")
        if self.model != "mini":
            raise ModelError("This hosted demo has one model, mini; install fishersft to use others.")

    @property
    def python(self) -> str:
        """The call that loads the same corpus."""
        keywords = "".join(f", {k}={v!r}" for k, v in self.load_options.items())
        return f"fishersft.load_corpus({self.title or self.corpus!r}{keywords})"

    def command(self, *arguments: str, verb: str = "select") -> str:
        """The command line that does the same."""
        return shlex.join(["fishersft", verb, self.title or self.corpus, *self.flags, "--model", self.model, *arguments])


def _upload_path(name: str) -> Path | None:
    found = UPLOAD.fullmatch(name)
    return Store.default().upload_path(found[1], found[2]) if found else None


@dataclass
class Session:
    """One visitor's state.

    Attributes:
        generation: part of the maps' keys; another one clears what was drawn on them.
        lasso, lasso_name, lasso_run: record numbers of the set that is shown; its name and its run where it is a kept one.
        pinned, excluded: record numbers of the what-if, in the order they were named.
        selectors, score_model: what Compare shows; () and "" at first.
        picture: what a chart's camera saves, png or svg.
        turns: how often the record came from the address.
    """

    choice: Choice = field(default_factory=Choice)
    record: int | None = None
    lasso: tuple[int, ...] = ()
    lasso_name: str = ""
    lasso_run: str = ""
    generation: int = 0
    notices: list[str] = field(default_factory=list)
    pinned: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    selectors: tuple[str, ...] = ()
    score_model: str = ""
    picture: str = "png"
    turns: int = 0

    def show_set(self, records: Sequence[int] = (), name: str = "", run: str = "") -> None:
        """Show this set of records, by number; none where there are none."""
        self.lasso, self.lasso_name, self.lasso_run = tuple(records), name, run

    def clear_set(self) -> None:
        """Forget the set, and what is drawn on the maps."""
        self.show_set()
        self.generation += 1

    def pin(self, record: int, *, pinned: bool = False, excluded: bool = False) -> None:
        """Take a record first, never, or, where neither is asked for, as the selector would."""
        self.pinned = tuple(r for r in self.pinned if r != record) + ((record,) if pinned else ())
        self.excluded = tuple(r for r in self.excluded if r != record) + ((record,) if excluded else ())

    def clear_pins(self) -> None:
        self.pinned = self.excluded = ()
