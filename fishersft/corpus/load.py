"""`load_corpus`: a `Corpus` from a path, the embedded demo, two downloaded classics, or the Hugging Face hub.

Splits off the held-out part; what a record's columns hold is found in `shapes.py`.  Knows no tokenizer.

The classics are public domain: the tiny Shakespeare file (Shakespeare's plays), and *The Adventures of Sherlock Holmes* (Conan
Doyle, 1892) in the copy used for next-word prediction.  pooch does the download, the retries, the caching and the checksum.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pooch

from fishersft import fields as declared
from fishersft import paths
from fishersft.corpus.files import FileTable, read_table
from fishersft.corpus.near_duplicates import joined, kept_groups
from fishersft.corpus.records import Chat, Corpus, Example, ReadOptions, Text, compared
from fishersft.corpus.shapes import THREADS, read_examples
from fishersft.corpus.splits import split_by_column, split_by_seed
from fishersft.corpus.unpack import decode
from fishersft.errors import CorpusError, MissingExtra, StoreError, os_reason
from fishersft.paths import home, user_path
from fishersft.text import encodable, shortened

_GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Classic:
    title: str
    url: str
    size: int  # in bytes
    sha256: str


CLASSICS = {
    "shakespeare": Classic(
        title="Tiny Shakespeare: speeches",
        url=f"{_GITHUB}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
        size=1_115_394,
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "sherlock": Classic(
        title="The Adventures of Sherlock Holmes: paragraphs",
        url=f"{_GITHUB}/vramcharan/next-word-predicition-using-lstm-model/d3d4bf56c58a6e45d74a86f79e0e97f422d8ae28"
        "/sherlock-holm.es_stories_plain-text_advs.txt",
        size=610_920,
        sha256="7d2dab7d86b1bd97e545f31c205daeadc96de196205b79053e1ad65316f6edfa",
    ),
}


def load_corpus(
    source: str | Path,
    *,
    text_column: str | None = None,
    prompt_column: str | None = None,
    completion_column: str | None = None,
    system_column: str | None = None,
    context_column: str | None = None,
    messages_column: str | None = None,
    split_on: str = "line",
    header: str = "first-line",
    holdout: float = 0.1,
    skip_bad: bool = False,
    drop_near_duplicates: bool = False,
    no_chat: bool = False,
    name: str | None = None,
) -> Corpus:
    """Load a corpus; CorpusError says in one sentence what is wrong, where, and what to do.

    Args:
        source: a path (.txt .csv .tsv .jsonl .ndjson .json .parquet, also .gz and .zst), `demo`, `shakespeare`, `sherlock`, or
            `hf:owner/name`.
        text_column, prompt_column, completion_column, system_column, context_column, messages_column: the columns of the
            example; by default they are found by the table of known shapes (`corpus/shapes.py`).
        split_on: for .txt, `line` or `blank-line` (paragraphs).
        header: for .csv and .tsv, `none` if the first line is a record.
        holdout: share of records that no selector sees, near-duplicates on one side; 0 for none.  A `split` column of the
            corpus takes precedence.
        skip_bad: skip and count broken lines instead of raising.
        drop_near_duplicates: keep one of several near-duplicates in the pool, and none that has one held out.
        no_chat: write prompts and chats in our plain form, even for models that have a chat template.
        name: the corpus's name; by default the file's name.
    """
    if not isinstance(source, str | Path):
        raise CorpusError(f"A corpus must be named by a path or a word, not by a {type(source).__name__}.")
    source = str(source)
    if not source:
        raise CorpusError("A corpus is a file, 'demo', 'shakespeare', 'sherlock' or 'hf:owner/name', not an empty name.")
    options = ReadOptions(
        text_column=text_column,
        prompt_column=prompt_column,
        completion_column=completion_column,
        system_column=system_column,
        context_column=context_column,
        messages_column=messages_column,
        split_on=split_on,
        header=header,
        holdout=holdout,
        skip_bad=skip_bad,
        drop_near_duplicates=drop_near_duplicates,
        no_chat=no_chat,
    )
    table = _table(source, options)
    source = encodable(source)  # a name that is not UTF-8 is a question mark, here as in every file of ours
    name = encodable(name or shortened(Path(source).name if "/" in source and not source.startswith("hf:") else source, 100))
    if not len(table.fields):
        raise CorpusError(f"{name} contains no records; it needs at least one.")
    table.fields.columns = [str(c) for c in table.fields.columns]
    fields, examples, understood = read_examples(table.fields, name, options, header=table.header)
    held_out, said = split_by_column(fields["split"].tolist()) if "split" in fields.columns else (None, "")
    groups = together = None
    if held_out is None:
        # the demo keeps the split that its shipped results were measured on; what leaks there is counted as everywhere
        if holdout and source != "demo":
            groups = kept_groups(list(map(compared, examples)))
            together = groups if understood.shape != THREADS else joined(groups, _roots(examples))
        held_out = split_by_seed(len(fields), holdout, together)
    corpus = Corpus(
        name=name,
        source=source,
        examples=tuple(e if isinstance(e, Text) else replace(e, plain=True) for e in examples) if no_chat else examples,
        fields=fields,
        held_out=held_out,
        bad_lines=table.bad_lines,
        options=tuple((k, "" if v is True else str(v)) for k, v in declared.changed(options).items()),
        understood=replace(understood, notes=(*table.notes, *understood.notes, *([said] if said else ()))),
        groups=groups,
        typed=table.typed if fields is table.fields else None,
    )
    return replace(corpus, groups=corpus.repeats.group, dropped=corpus.repeats.spare) if drop_near_duplicates else corpus


def _roots(threads: Sequence[Example]) -> list[str]:
    """What each thread began with: threads of one root share turns, so they stay on one side of the split."""
    return [e.messages[0].content if isinstance(e, Chat) and e.messages else "" for e in threads]


def _table(source: str, options: ReadOptions) -> FileTable:
    """The records of whatever a source names, as they stand there."""
    if source == "demo":
        return read_table(paths.asset("demo", "corpus.jsonl"))
    if source in CLASSICS:
        text = decode(_download(source).read_bytes(), source)
        return FileTable(pd.DataFrame(_speeches(text) if source == "shakespeare" else _paragraphs(text), dtype=object))
    if source.startswith("hf:"):
        return FileTable(_from_hub(source.removeprefix("hf:")))
    return read_table(user_path(source), split_on=options.split_on, header=options.header, skip_bad=options.skip_bad)


def _from_hub(dataset_id: str) -> pd.DataFrame:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", dataset_id):
        raise CorpusError(f"'{dataset_id}' is not a dataset's id on the hub; use hf:owner/name.")
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("Reading a dataset from the Hugging Face hub", "hub") from error
    try:
        splits = datasets.load_dataset(dataset_id)
    except Exception as error:  # the library raises a dozen types of error; all get the same sentence
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CorpusError(
            f"The dataset {dataset_id} could not be loaded from the hub ({reason}); "
            "check its name and the network, or download it and give the file's path."
        ) from error
    frames = {str(split): data.to_pandas() for split, data in splits.items()}
    if len(frames) > 1:
        frames = {split: frame if "split" in frame else frame.assign(split=split) for split, frame in frames.items()}
    return pd.concat(frames.values(), ignore_index=True)


def _download(name: str) -> Path:
    """The classic's file, from the cache or from its public address.

    With `FISHERSFT_MIRROR=https://host` the same path is fetched from that host, for machines behind a firewall.
    """
    classic = CLASSICS[name]
    url, mirror = classic.url, os.environ.get("FISHERSFT_MIRROR")
    if mirror:
        url = mirror.rstrip("/") + urlsplit(classic.url).path
    folder = home() / "downloads"
    pooch.get_logger().setLevel("ERROR")
    try:
        downloader = pooch.HTTPDownloader(timeout=20)
        known = f"sha256:{classic.sha256}"
        return Path(pooch.retrieve(url, known_hash=known, fname=f"{name}.txt", path=folder, downloader=downloader))
    except ValueError as error:  # pooch: the hash does not match
        raise CorpusError(
            f"{url} did not send the expected {name} text ({classic.size:,} bytes, sha256 {classic.sha256[:12]}...); "
            "nothing was saved. Try again later, or load a file of your own."
        ) from error
    except OSError as error:  # requests' errors are OSErrors without an errno
        if error.errno:
            raise StoreError(
                f"{folder} cannot be written ({os_reason(error)}); set FISHERSFT_HOME to a writable folder."
            ) from error
        raise CorpusError(
            f"The {name} text could not be downloaded from {url} (no network?); "
            "use the corpus 'demo', which needs no network, or the path of a text file."
        ) from error


def _speeches(text: str) -> list[dict[str, str]]:
    """The speeches, which blank lines separate; the first line names the speaker, who also becomes a column."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        first, _, rest = block.partition("\n")
        speaker = first.removesuffix(":") if first.endswith(":") and rest else ""
        found.append({"text": block, "speaker": speaker})
    return found


def _paragraphs(text: str) -> list[dict[str, str]]:
    """The paragraphs of prose, one line each, with their story; without headings, table of contents and the site's note."""
    text = text.split("\n     ----------\n")[0]
    contents = text[: text.index("A SCANDAL IN BOHEMIA")]
    titles = {title.upper(): title for title in re.findall(r"^ {15}(\S.*\S)$", contents, re.MULTILINE)}
    story, found = "", []
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.split())
        if line.isupper() and line in titles:
            story = titles[line]
        elif story and re.search(r"[a-z]", line) and re.search(r"[.!?,;:\"'-]$", line):
            found.append({"text": line, "story": story})
    return found
