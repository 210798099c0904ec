"""Two public-domain classics, which are downloaded from a public address, verified and cached.

Sources: the tiny Shakespeare file (Shakespeare's plays, public domain) and *The Adventures of Sherlock Holmes*
(Conan Doyle, 1892, public domain) in the copy used for next-word prediction.  pooch does the download, the retries, the
caching and the checksum.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fishersft.corpus.read import decode
from fishersft.errors import CorpusError, StoreError, os_reason
from fishersft.paths import home

if TYPE_CHECKING:
    import pandas as pd

_GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Classic:
    """A file on the web: its title, its URL, its size in bytes, and its sha256."""

    title: str
    url: str
    size: int
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


def read(name: str) -> pd.DataFrame:
    """One record per speech (shakespeare) or paragraph (sherlock)."""
    import pandas as pd

    text = decode(download(name).read_bytes(), name)
    records = speeches(text) if name == "shakespeare" else paragraphs(text)
    return pd.DataFrame(records, dtype=object)


def download(name: str) -> Path:
    """The classic's file, from the cache or from its public address.

    With `FISHERSFT_MIRROR=https://host` the same path is fetched from another host, for machines behind a firewall.

    Raises:
        CorpusError: there is no network, or the file is not the expected one; nothing is saved.
    """
    import pooch

    classic = CLASSICS[name]
    url, mirror = classic.url, os.environ.get("FISHERSFT_MIRROR")
    if mirror:
        url = mirror.rstrip("/") + urlsplit(classic.url).path
    folder = home() / "downloads"
    pooch.get_logger().setLevel("ERROR")
    try:
        path = Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{classic.sha256}",
                fname=f"{name}.txt",
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=20),
            )
        )
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
    if path.stat().st_size != classic.size:
        path.unlink()
        raise CorpusError(f"The {name} text does not have the expected {classic.size:,} bytes; nothing was saved.")
    return path


def speeches(text: str) -> list[dict[str, str]]:
    """The speeches, which blank lines separate; the first line names the speaker, who also becomes a column."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        first, _, rest = block.partition("\n")
        speaker = first.removesuffix(":") if first.endswith(":") and rest else ""
        found.append({"text": block, "speaker": speaker})
    return found


def paragraphs(text: str) -> list[dict[str, str]]:
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
