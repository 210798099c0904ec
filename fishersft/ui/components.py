"""Pieces that pages are made of.  They own their widget keys and return plain values; hostile text is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit import config

from fishersft.corpus.records import Corpus
from fishersft.lessons import TERMS
from fishersft.selectors import Pool
from fishersft.text import in_shell, visible, visible_text
from fishersft.ui import query_widgets
from fishersft.ui.address import current
from fishersft.ui.session import Session, public

LONGEST_TOKEN = 80
# a path from its root on; a word with a slash goes on with one whose folder's name has a space
PLACE = re.compile(r"(?<![\w:/.<])(?:~|[A-Za-z]:)?[/\\](?![/\\])(?:[^\s'\";,()]| (?=[^\s'\";,()]*[/\\]))*[^\s'\";,().:]")
END_MARKS = ("<|endoftext|>", "<|end_of_text|>", "</s>")  # GPT-2's, Llama's, SentencePiece's
HEAT = {False: ("0,114,178", 0.7), True: ("86,180,233", 0.5)}  # by dark: the colour, and the opacity that leaves words readable
MOST_ROWS = 2_000
MOST_CARDS = 6  # of a table on a phone that are open at once
NARROW = {
    "pick": 56,
    "group": 64,
    "record": 68,
    "gain": 92,
    "tokens": 68,
}  # pixels of a table's columns; `OTHER`, and for the text the rest
OTHER = 96
ROW = 34  # pixels
TABLE = 1_250  # pixels that a table fills on a wide screen; what is left over is dealt out evenly, so there should be little
MEANS = {
    "pick": "Place in the order; blank if not selected.",
    "record": "Number in the corpus, from 0.",
    "tokens": "Trained tokens.",
    "part": "Held-out and skipped records are never selected.",
}
PICTURES = ("png", "svg")


def dark() -> bool:
    """Whether this visitor sees the dark variant of the theme."""
    base = config.get_option("theme.base")
    return (base if base in ("light", "dark") else st.context.theme.type) == "dark"


def print_on_white() -> None:
    """Print a dark page dark on white: inverted as a whole, hues kept, since charts bring their own colours."""
    if dark():
        page = ".stApp { background: #000 !important; filter: invert(1) hue-rotate(180deg); }"
        st.html(f"<style>@media print {{ {page} body {{ background: #fff !important; }} }}</style>")


def camera(name: str, *, always: bool = False, buttons: Sequence[str] = ("toImage",)) -> dict[str, Any]:
    """The configuration of a chart whose camera saves it under a name, as png or svg (`pictures`).

    Args:
        always: the buttons are seen at once, else when the pointer is on the chart.
    """
    return {"displayModeBar": True if always else "hover", "modeBarButtons": [list(buttons)], **saved_as(name)}


def chart(fig: go.Figure, key: str, alt: str, *, file: str = "", always: bool = True) -> None:
    """A chart that can be zoomed, and saved by its camera under `file`, else under its key."""
    config = camera(file or key, always=always, buttons=("toImage", "zoom2d", "pan2d", "resetScale2d"))
    st.plotly_chart(fig, theme=None, key=key, config=config, alt=alt)


def still_chart(fig: go.Figure, key: str, alt: str, file: str = "") -> None:
    """A chart whose only button is its camera, seen while the pointer is on it."""
    st.plotly_chart(fig, theme=None, key=key, config=camera(file or key), alt=alt)


def saved_as(name: str) -> dict[str, Any]:
    format = picture_format()
    options = {"format": format, "filename": name, "scale": 2 if format == "png" else 1}
    return {"displaylogo": False, "toImageButtonOptions": options}


def picture_format() -> str:
    """What cameras save: png or svg."""
    asked = st.session_state.get("picture") or st.query_params.get("picture")  # the switch may stand below the chart
    return str(asked) if asked in PICTURES else current().picture


def pictures(row: Any) -> None:
    """The switch between png and svg; it holds for the cameras of every page."""
    visitor = current()
    moved = visitor.picture != PICTURES[0] and "picture" not in st.query_params
    if moved and st.session_state.get("picture", visitor.picture) == visitor.picture:
        st.session_state["picture"] = visitor.picture  # from another page, where the switch would begin anew
    visitor.picture = query_widgets.segmented(
        "Pictures as",
        PICTURES,
        "picture",
        place=row,
        help="The format in which the camera above a chart saves it, here and on the other pages: png for slides, svg to scale "
        "and to edit. The camera appears when the pointer is on a chart.",
    )


def verdict(sentence: str, *, help: str | None = None) -> None:
    """What the page found, in one or two plain sentences with their numbers; Markdown, with hostile words escaped already."""
    with st.container(key="verdict"):
        st.markdown(sentence, help=help)


def tabs(names: Sequence[str], key: str, label: str) -> str:
    """Which of a page's further parts is shown; only that one is computed.  The address keeps it."""
    return query_widgets.segmented(label, names, key, label_visibility="collapsed", width="stretch", help=f"{label}.")


def problem(sentence: str) -> None:
    """An error in the visitor's words; markup in it is shown, not obeyed."""
    st.error(escape_markdown(without_places(sentence)), icon=":material/error:")


def without_places(sentence: str) -> str:
    """On a hosted demo, a sentence in which no path tells of the host."""
    return PLACE.sub("a file of this host", sentence) if public() else sentence


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no links, images, directives, TeX or HTML."""
    return (
        "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+!|~$:&^=" else c for c in text)
        .replace("\n", " ")
        .replace("//", "/\u2060/")
        .replace("www\\.", "www\u2060\\.")
        .replace("www.", "www\u2060.")
    )


def tile(label: str, value: str, help: str, beside: str = "") -> None:
    """A number with its unit and something to compare it with."""
    st.metric(label, value, help=help, border=True, delta=beside or None, delta_color="off", delta_arrow="off")


def fact(label: str, value: str, help: str, beside: str = "") -> None:
    """A number in a line of several, with its unit and something to compare it with."""
    st.caption(f"{label} **{value}**{f' ({beside})' if beside else ''}", help=help, width="content")


def heat_map(texts: Sequence[str], trained: np.ndarray, gains: np.ndarray, *, low: bool = False) -> None:
    """A text whose trained tokens are shaded by their gain; untrained ones are plain and grey.  `low`: a long text scrolls."""
    rgb, most = HEAT[dark()]
    top = float(gains.max()) if len(gains) else 1.0
    spans, row = [], 0
    for place, (text, is_trained) in enumerate(zip(texts, trained, strict=True)):
        shown, chip, says = _token(text, place)
        if is_trained:
            share = float(gains[row]) / max(top, 1e-12)
            spans.append(
                f'<span title="{says}{gains[row]:.3f} nats" style="background:rgba({rgb},{0.04 + (most - 0.04) * share:.2f});'
                f'border-radius:3px;unicode-bidi:isolate;{chip}">{shown or "·"}</span>'
            )
            row += 1
        elif text:
            spans.append(f'<span style="opacity:.75;unicode-bidi:isolate;{chip}" title="{says}">{shown}</span>')
    scale = (
        f'<div style="font-size:.8rem;opacity:.8;margin-top:.5rem">gain of each token: 0 '
        f'<span style="display:inline-block;width:6rem;height:.7rem;vertical-align:middle;border-radius:3px;'
        f'background:linear-gradient(90deg,rgba({rgb},.04),rgba({rgb},{most}))"></span> {top:.2f} nats</div>'
    )
    room = ";max-height:8.5rem;overflow-y:auto" if low else ""
    reach = ' tabindex="0" role="group" aria-label="The text, token by token"' if low else ""  # so that keys scroll it
    look = f"line-height:1.7;overflow-wrap:anywhere;white-space:pre-wrap{room}"
    st.html(f'<div{reach} style="{look}">{"".join(spans)}</div>{scale}')


def _token(text: str, place: int) -> tuple[str, str, str]:
    """How a token is shown, escaped, what more its style needs, and a title: a model's own mark of an end is a small chip."""
    if text.strip() in END_MARKS:
        look = "font-size:.7em;padding:.1em .4em;margin:0 .2em;border:1px dotted;border-radius:6px"
        return ("end" if place else "start"), look, f"the model's mark {html.escape(text.strip())} "
    return html.escape(visible(text)).replace("\n", "↵<br>"), "", ""


def marked_tokens(texts: Sequence[str], trained: np.ndarray) -> None:
    """A text whose trained tokens are shaded alike, each with its edges; the others are plain and grey."""
    rgb, most = HEAT[dark()]
    shaded = f"background:rgba({rgb},{most / 2:.2f});border-right:1px solid rgba({rgb},{most:.2f});border-radius:3px"
    spans = []
    for place, (text, is_trained) in enumerate(zip(texts, trained, strict=True)):
        shown, chip, says = _token(text, place)
        if shown or is_trained:
            style = shaded if is_trained else "opacity:.8"
            spans.append(f'<span style="{style};unicode-bidi:isolate;{chip}" title="{says}">{shown or "·"}</span>')
    look = "line-height:1.9;overflow-wrap:anywhere;white-space:pre-wrap;max-height:14rem;overflow-y:auto"
    st.html(f'<div tabindex="0" role="group" aria-label="The text, token by token" style="{look}">{"".join(spans)}</div>')


def footer(command: str, python: str) -> None:
    """The commands that reproduce the screen without it."""
    with st.popover("The same without the screen", icon=":material/terminal:"):  # in an expander it would be drawn at once
        st.caption("Command line")
        shell(command)
        st.caption("Python")
        st.code(python, language="python", wrap_lines=True)


def shell(command: str) -> None:
    """A command to copy; marks that would turn the line around are spelled out."""
    st.code(in_shell(command), language="bash", wrap_lines=True)


def number(value: float, digits: int = 3) -> str:
    """Three significant digits at most, thousands separated."""
    if not np.isfinite(value):
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def spread(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """The range of some draws, as "a to b"."""
    low, high = number(float(np.min(values)), digits), number(float(np.max(values)), digits)
    return low if low == high else f"{low} to {high}"


def touch() -> bool:
    """Whether the visitor's browser says that it is a phone's."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


def position_of(pool: Pool, record: int | None) -> int | None:
    """The pool position of a record's number, or None where it is not in the pool."""
    if record is None:
        return None
    at = int(np.searchsorted(pool.index, record))
    return at if at < len(pool) and pool.index[at] == record else None


def one_line(text: Any, longest: int = 400) -> str:
    """A record's text for a table cell."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def search(label: str, key: str, help: str, corpus: Corpus, place: Any = st) -> np.ndarray | None:
    """A field for words, and (N,) which records of the corpus have all of them; None where nothing is searched."""
    asked = place.text_input(label, key=key, type="search", placeholder="words in the text", help=help, max_chars=200)
    words = tuple(asked.lower().split())
    return _having_all(corpus, words) if words else None


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={Corpus: lambda corpus: corpus.fingerprint})
def _having_all(corpus: Corpus, words: tuple[str, ...]) -> np.ndarray:
    lower = map(str.lower, corpus.texts)
    return np.fromiter((all(word in text for word in words) for text in lower), dtype=bool, count=len(corpus))


def record_table(
    corpus: Corpus,
    columns: Mapping[str, Any],
    alt: str,
    *,
    visitor: Session | None = None,
    key: str | None = None,
    helps: Mapping[str, str] = MEANS,
    height: int = 380,
) -> None:
    """A table of records, which also shows two columns of the corpus and the text.

    Args:
        columns: {name: a value each row}; `record` holds the records' numbers.
        visitor: whose record a click on a row chooses; needs a key.
        helps: {name: what the column means}.
    """
    table = pd.DataFrame(columns)
    records = table["record"].to_numpy()
    for column in corpus.categories[:2]:
        values = corpus.fields[column].iloc[records]
        table[f" {column}"] = ["" if v is None or v != v else one_line(v, 60) for v in values]
    widths = {str(name): NARROW.get(str(name), OTHER) for name in table}
    widths["text"] = max(420, TABLE - sum(widths.values()))
    table["text"] = [one_line(corpus.texts[r]) for r in records]
    looks = {name: st.column_config.Column(width=width, help=helps.get(name)) for name, width in widths.items()}
    if "gain" in table:
        said = "log det gained when it was picked, with sigma2 = 1 as everywhere on this page."
        looks["gain"] = st.column_config.NumberColumn("gain (nats)", width=NARROW["gain"], format="%.2f", help=said)
    if touch():
        _record_cards(table, visitor, key or alt)
        return
    look: dict[str, Any] = {"hide_index": True, "height": height, "row_height": ROW, "placeholder": ""}
    if visitor is not None:
        look |= {"on_select": partial(open_row, visitor, key or "", records), "selection_mode": "single-row"}
    st.dataframe(table, key=key, column_config=looks, alt=alt, **look)


def _record_cards(records: pd.DataFrame, visitor: Session | None, key: str) -> None:
    """Records as cards, a few at a time; a click on a record's number chooses it."""
    more = f"{key}-cards"
    shown = st.session_state.setdefault(more, MOST_CARDS)
    for row in records.head(shown).to_dict("records"):
        record, text = int(row.pop("record")), row.pop("text")
        choose = None if visitor is None else partial(setattr, visitor, "record", record)
        facts = {str(name).strip(): value for name, value in row.items()}
        _card({"record": f"Record {record:,}", "text": text, **facts}, "text", choose, f"{key}-{record}")
    if (rest := len(records) - shown) > 0:
        said, add = f"Show more; {rest:,} left", partial(st.session_state.__setitem__, more, shown + MOST_CARDS)
        st.button(said, key=f"{key}-more", icon=":material/expand_more:", on_click=add)


def numbers_sent(sent: Any, low: float = 0, high: float = 10**18 - 1) -> list[float]:
    """Those numbers from low to high that a browser sent, one alone or a list; NaN, texts and whatever else are left out."""
    return [n for n in (sent if isinstance(sent, list) else [sent]) if isinstance(n, int | float) and low <= n <= high]


def number_sent(sent: Any, low: float = 0, high: float = 10**18 - 1) -> int | None:
    """The first of them as a whole number; None where there is none."""
    return next(map(int, numbers_sent(sent, low, high)), None)


def marked_row(marks: Any, count: int) -> int | None:
    """The row of a table's `count` that a browser says is marked."""
    return number_sent(marks["selection"]["rows"], 0, count - 1)


def open_row(visitor: Session, key: str, records: Sequence[int] | np.ndarray) -> None:
    """A click on a row of the table with this key: its record, of those that the rows hold, is the one looked at."""
    row = marked_row(st.session_state[key], len(records))
    if row is not None:
        visitor.record = int(records[row])


def table(rows: Sequence[Mapping[str, Any]], alt: str, **look: Any) -> None:
    """Rows as a table; on a phone each is a card under its first value, so that no column is cut, most of them folded."""
    if touch():
        cards(rows)
    else:
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt=alt, placeholder="–", **look)


def cards(rows: Sequence[Mapping[str, Any]], words: str = "") -> None:
    """Rows as a phone shows them, most of them folded; `words` names the value that is a paragraph of its own."""
    for row in rows[:MOST_CARDS]:
        _card(row, words)
    if more := rows[MOST_CARDS:]:
        with st.expander(f"{len(more):,} more"):
            for row in more:
                _card(row, words)


def _card(row: Mapping[str, Any], words: str = "", on_click: Callable[[], None] | None = None, key: str = "") -> None:
    """A row under its first value, which may be a button; what has no value is left out."""
    there = {name: in_words(value) for name, value in row.items() if not pd.isna(value) and value not in ("", "–")}
    (_, first), *rest = there.items()
    said = " · ".join(f"{escape_markdown(name)} **{escape_markdown(value)}**" for name, value in rest if name != words)
    with st.container(border=True, gap="xxsmall"):
        if on_click is None:
            st.markdown(f"**{escape_markdown(first)}**")
        else:
            st.button(first, key=key, type="tertiary", icon=":material/search:", on_click=on_click)
        if words in there:
            st.markdown(escape_markdown(visible_text(there[words])))
        st.markdown(said)


def in_words(value: Any) -> str:
    """A table's value on one line."""
    return f"{value:,}" if isinstance(value, int) else one_line(value, 600)


def blank_zeros(numbers: np.ndarray) -> pd.Series:
    """Whole numbers for a table; 0 is left blank."""
    return pd.Series(numbers).where(numbers > 0).astype("Int64")


def helped(text: str, *terms: str) -> str:
    """A help text that ends with links to the lessons of its terms (`fishersft.lessons.TERMS`), each once."""
    return " ".join([text, *dict.fromkeys(lesson_link(term) for term in terms)])


def lesson_link(term: str) -> str:
    """A Markdown link from any page to the lesson that explains a term."""
    lesson = TERMS[term]
    return f"[Lesson: {lesson.title}](learn?lesson={lesson.name})"
