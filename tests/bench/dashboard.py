"""`python -m tests.bench dashboard`: how long a visitor waits, measured in a real browser against the targets we set ourselves.

The demo is opened on a server that has seen nobody, then again; the budget is moved, and the player played, on generated texts
read by the embedded model; twenty visitors move their budgets at once.  A move is told twice: the processor time that it takes
the server, and how long it takes until all is back, by the browser's clock, while that browser draws on the same machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft import Store
from fishersft.errors import UserError
from fishersft.scoring import projection
from tests.bench import machine
from tests.bench.browser import CHART, LONGEST, SLIDER, Served, Visitor, browser, one_dot, read, server
from tests.bench.large_pool import large_pool
from tests.bench.report import BUSY, table
from tests.bench.texts import write_corpus

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Progress = Callable[[str, int, int], None]
Draw = Callable[[np.ndarray, np.ndarray, str, np.ndarray | None], str]  # xy, ranks, a column and its values: a map as JSON
MOVES = 10
KEYS = ("PageUp", "ArrowRight", "PageDown", "ArrowRight", "ArrowRight")  # large and small moves, each to a budget not seen yet
PLACES = {"Explore": "", "Compare": "compare"}
SPEED = "60"  # picks a second that the player is asked for
MOVE, BACK = 0.1, 0.5  # seconds that a move may take the server, and until all is back
MOVE_OF_MANY, PAINT, WIRE = 0.15, 3.0, 2.0  # the same on a density; seconds until it is painted, and MB until then
PLAYED = 3.0  # seconds
LASSOS = ("40-69", "200-229", "700-729")  # records of the demo; neighbours in the file are of one topic
STEPS = """
async (seconds) => {
  const find = (node) => {
    for (const e of node.querySelectorAll("*")) {
      const found = e.shadowRoot?.querySelector("input.at");
      if (found) return found;
    }
  };
  const slider = find(document), first = Number(slider.value), start = performance.now();
  await new Promise((done) => setTimeout(done, 1000 * seconds));
  return (1000 * (Number(slider.value) - first)) / (performance.now() - start);
}
"""
FRAMES = (
    "() => { const count = () => { window.frames_drawn++; requestAnimationFrame(count); }; window.frames_drawn = 0; count(); }"
)


@dataclass(frozen=True)
class Measure:
    """One number and what was wanted.

    Attributes:
        name: for programs.
        what: for people.
        target: at most so much, or at least where `more` is better; None where none was set.
        each: the values that `value` is the median of, where there are several.
    """

    name: str
    what: str
    value: float
    unit: str
    target: float | None = None
    more: bool = False
    each: tuple[float, ...] = ()

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.more else self.value <= self.target


@dataclass(frozen=True)
class DashboardReport:
    """One run of `bench dashboard`."""

    problem: dict[str, Any]
    measures: tuple[Measure, ...]
    errors: tuple[str, ...]
    machine: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """What --json prints."""
        return {**asdict(self), "measures": [{**asdict(m), "met": m.met} for m in self.measures]}

    def markdown(self) -> str:
        """A table and the lines under it."""
        p, m = self.problem, self.machine
        rows = [
            (x.what, _said(x), "-" if x.target is None else f"at {'least' if x.more else 'most'} {_number(x, x.target)}")
            for x in self.measures
        ]
        lines = [
            f"Moves of the budget: {p['moves']}, once the picks are computed and, on Compare, the random draws scored. Server: "
            "its processor time, on average. Until all is back: from the message that leaves the browser to the last one that "
            "returns, the median and, in brackets, the slowest; the browser draws meanwhile on the same processors.",
            "A new browser has to fetch and compile the page's own programs; one that was here has them.",
            f"Generated texts: {p['points']:,} with {p['tokens']:,} trained tokens, read by mini (d = 256).",
            f"{m['cpus']} CPUs ({m['instructions']}), {m['system']}, Python {m['python']}, streamlit {p['streamlit']}, "
            f"{p['browser']} without a GPU.",
        ]
        if (p["load_before"] or 0) > BUSY * m["cpus"]:
            lines.append(f"Other work kept the machine busy (load {p['load_before']:.1f} before the start).")
        lines += [f"Error: {error}" for error in self.errors]
        return "\n\n".join([table(("what", "measured", "target"), rows), "\n".join(f"- {line}" for line in lines)])


def run(
    draw: Draw,
    points: int = 5_000,
    sessions: int = 20,
    figure_points: int = 20_000,
    density_points: int = 200_000,
    moves: int = MOVES,
    home: Path | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> DashboardReport:
    """Measure everything.

    Args:
        draw: makes the map whose size is told.
        density_points: records of a generated pool that is drawn as its density; 0 leaves it out.
        home: a store to use and to keep for the generated texts; by default one that is deleted.

    Raises:
        UserError: numbers that make no sense, no Chromium, a page that does not answer.
        MissingExtra: no playwright or no Streamlit.
    """
    for name, value, least in (("points", points, 100), ("sessions", sessions, 1), ("moves", moves, 1)):
        if value < least:
            raise UserError(f"--{name} must be at least {least} and was {value}.")
    busy = machine.load()
    with browser() as tabs, tempfile.TemporaryDirectory(prefix="fishersft-bench-") as folder:
        book = Book(tabs, moves, on_progress or (lambda what, done, total: None))
        book.demo(Path(folder) / "empty", sessions)
        kept = home or Path(folder) / "generated"
        tokens = book.generated(kept, write_corpus(kept / "generated" / f"{points}-{seed}.jsonl", points, seed), points)
        if density_points:
            book.density(kept, density_points)
        chromium = f"Chromium {tabs.version}"
    book.measures.append(figure_size(draw, figure_points, seed))
    problem = {
        "points": points,
        "tokens": tokens,
        "sessions": sessions,
        "moves": moves,
        "seed": seed,
        "load_before": busy,
        "streamlit": version("streamlit"),
        "browser": chromium,
    }
    return DashboardReport(problem, tuple(book.measures), tuple(book.errors), machine.describe("cpu"))


@dataclass
class Book:
    """What is measured as it comes."""

    tabs: Browser
    moves: int
    told: Progress
    measures: list[Measure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, name: str, what: str, value: float, unit: str, target: float | None = None, **more: Any) -> None:
        self.measures.append(Measure(name, what, value, unit, target, **more))

    def left(self, visitor: Visitor) -> None:
        """A visitor goes; what went wrong stays."""
        self.errors += visitor.errors()
        visitor.leave()

    def demo(self, home: Path, sessions: int) -> None:
        """What needs nothing but the demo: the first chart, cold and warm, and many visitors at once."""
        with one_dot(home / "dot") as dot:
            self.first_charts("dot", dot.address, "a page of one dot, Streamlit's and Plotly's own part", (None, None, None))
        with server(home) as served:
            address = served.address
            self.first_charts("demo", address, "demo: first chart after opening the page", (5.0, None, 1.0))
            for place, path in PLACES.items():
                self.moved(f"{place.lower()}_demo", served, path, f"demo: a move of the budget on {place}", None)
            self.aimed(address)
            times, wrong = crowd(self.tabs, address, sessions, self.told)
        what = f"{sessions} visitors who move their budgets on Explore at once"
        self.note("sessions_move", f"{what}: until all is there", median(times or [float("nan")]), "s", each=tuple(times))
        self.note("sessions_errors", f"{what}: errors", len(wrong), "", 0)
        self.errors += wrong

    def aimed(self, address: str) -> None:
        """A set of records becomes the target, each time another set: until the map shows the new picks."""
        self.told("demo: a lasso becomes the target", 0, 1)
        each = []
        for lasso in LASSOS:
            visitor = Visitor.arrive(self.tabs)
            visitor.page.goto(f"{address}/?lasso={lasso}")
            visitor.see(CHART, LONGEST)
            visitor.settle()
            begun = time.perf_counter()
            visitor.page.get_by_role("button", name="Use as target").click()
            visitor.see(".sentences .legend:has-text('target text')", LONGEST)
            each.append(time.perf_counter() - begun)
            visitor.settle()
            self.left(visitor)
        self.note("lasso", "demo: from a lasso to the picks for it on the map", median(each), "s", 3.0, each=tuple(each))

    def generated(self, home: Path, corpus: Path, points: int) -> int:
        """The budget and the player on many points; gives their tokens."""
        self.told("reading the generated texts", 0, 1)
        tokens = read(home, corpus)
        query = f"corpus={corpus}&holdout=0&map=PCA"
        with server(home) as served:
            address = served.address
            for place, path in PLACES.items():
                what = f"{points:,} sentences: a move of the budget on {place}"
                self.moved(f"{place.lower()}_many", served, f"{path}?{query}", what, MOVE, BACK)
            self.dragged(f"{address}/?{query}", points)
            self.told("player", 0, 1)
            visitor = Visitor.arrive(self.tabs)
            visitor.page.goto(f"{address}/?{query}&view=player&sentences={min(1_000, points)}")
            visitor.see(".sentences .now:has-text('Pick')", LONGEST)
            visitor.settle()
            visitor.page.locator(".sentences .speed").select_option(SPEED)
            visitor.page.get_by_role("button", name="Play", exact=True).click()
            each = tuple(float(visitor.page.evaluate(STEPS, PLAYED)) for _ in range(3))
            what = f"{points:,} sentences: the player, asked for {SPEED} a second"
            self.note("player", what, median(each), "steps/s", 10.0, more=True, each=each)
            self.left(visitor)
        return tokens

    def first_charts(self, name: str, address: str, what: str, targets: tuple[float | None, float | None, float | None]) -> None:
        """Of a server that has seen nobody, of one that has in a new browser, and in one that was here: the median of three."""
        self.told(f"{name}: first chart, cold", 0, 1)
        visitor = Visitor.arrive(self.tabs)
        self.note(f"{name}_cold", f"{what}, server and browser new", visitor.first_chart(address), "s", targets[0])
        visitor.settle()
        self.left(visitor)
        fresh, again = [], []
        for k in range(3):
            self.told(f"{name}: first chart, warm", k, 3)
            visitor = Visitor.arrive(self.tabs)
            fresh.append(visitor.first_chart(address))
            visitor.settle()
            again.append(visitor.first_chart(address))
            visitor.settle()
            self.left(visitor)
        self.note(f"{name}_new_browser", f"{what}, browser new", median(fresh), "s", targets[1], each=tuple(fresh))
        self.note(f"{name}_warm", f"{what}, both warm", median(again), "s", targets[2], each=tuple(again))

    def dragged(self, address: str, points: int) -> None:
        """The budget's slider under a pointer that does not let go: how often the map is drawn meanwhile."""
        self.told("dragging the budget", 0, 1)
        visitor = Visitor.arrive(self.tabs)
        page = visitor.page
        page.goto(address)
        visitor.see(CHART, LONGEST)
        visitor.settle()
        thumb = page.locator('.st-key-sentences [data-testid="stSliderThumbValue"]').bounding_box()
        track = page.locator(SLIDER).first
        assert thumb is not None
        x = thumb["x"] + thumb["width"] / 2
        y = track.evaluate("e => e.closest('[style*=left]').getBoundingClientRect().top + 6")
        page.mouse.move(x, y)
        page.mouse.down()
        page.evaluate(FRAMES)
        begun, seen = time.perf_counter(), set()
        for step in range(100):
            page.mouse.move(x + 3 * step, y)
            seen.add(page.locator(".sentences .now").inner_text())
        frames = int(page.evaluate("window.frames_drawn")) / (time.perf_counter() - begun)
        page.mouse.up()
        what = f"{points:,} sentences: dragging the budget"
        self.note("drag_frames", f"{what}, frames", frames, "/s", 20.0, more=True)
        self.note("drag_budgets", f"{what}, budgets shown of 100 passed", len(seen), "", 50, more=True)
        self.left(visitor)

    def density(self, home: Path, points: int) -> None:
        """A pool that is drawn as its density, once it is projected and its corpus is open."""
        corpus, rows = large_pool(home, points)
        projection.map_of(rows, "pca", store=Store(home))
        query = f"?corpus={corpus.source}&holdout=0&map=PCA&selector=uniform"
        with server(home) as served:
            self.told("density: the server opens the corpus", 0, 1)
            visitor = Visitor.arrive(self.tabs)
            visitor.page.goto(f"{served.address}/{query}")
            visitor.see(CHART, LONGEST)
            visitor.settle()
            self.left(visitor)
            each, sizes = [], []
            for k in range(3):
                self.told("density: first paint", k, 3)
                visitor = Visitor.arrive(self.tabs)
                each.append(visitor.first_chart(f"{served.address}/{query}"))
                visitor.settle()
                sizes.append(sum(size for _, size in visitor.received) / 1e6)
                self.left(visitor)
            what = f"{points:,} records as a density"
            self.note("density_paint", f"{what}: painted in a new browser", median(each), "s", PAINT, each=tuple(each))
            self.note("density_wire", f"{what}: sent until then", max(sizes), "MB", WIRE)
            self.moved("density", served, query, f"{what}: a move of the budget on Explore", MOVE_OF_MANY)

    def moved(self, name: str, served: Served, path: str, what: str, target: float | None, back: float | None = None) -> None:
        """Move the budget of one page many times, once its picks are there."""
        stage = what.replace(": a move of the budget on", ",")
        self.told(f"{stage}: preparing", 0, 1)
        visitor = Visitor.arrive(self.tabs)
        visitor.page.goto(f"{served.address}/{path}")
        visitor.see(".js-plotly-plot, .st-key-score-draws", LONGEST)
        visitor.settle()
        for _ in range(2):  # Compare scores its random draws once, behind a button where that takes long
            score = visitor.page.locator(".st-key-score-draws button")
            if score.count():
                score.click()
                visitor.settle()
            visitor.move()
        visitor.settle()
        served.rest()
        each, before = [], served.cpu()
        for k in range(self.moves):
            each.append(visitor.move(KEYS[k % len(KEYS)])[0])
            self.told(f"{stage}: moving", k + 1, self.moves)
        self.note(f"{name}_server", f"{what}, server", (served.cpu() - before) / self.moves, "s", target)
        self.note(f"{name}_back", f"{what}, until all is back", median(each), "s", back, each=tuple(each))
        self.left(visitor)


def crowd(tabs: Browser, address: str, sessions: int, told: Progress, rounds: int = 3) -> tuple[list[float], list[str]]:
    """Visitors in contexts of their own who all move their budgets before any is answered: seconds of each move, and errors."""
    visitors, times, errors = [], [], []
    for k in range(sessions):
        visitor = Visitor.arrive(tabs)
        visitor.page.goto(f"{address}/?sentences={_begins_at(k)}", wait_until="commit")
        visitors.append(visitor)
        told("visitors arrive", k + 1, sessions)
    for k, visitor in enumerate(visitors):
        visitor.see(CHART)
        visitor.settle()
        told("visitors look", k + 1, sessions)
    for r in range(rounds):
        before = [visitor.press() for visitor in visitors]
        for k, visitor in enumerate(visitors):
            try:
                times.append(visitor.answered(before[k])[0])
            except UserError as error:
                errors.append(f"visitor {k}: {error}")
        told("visitors move", r + 1, rounds)
    for k, visitor in enumerate(visitors):
        errors += [f"visitor {k}: {error}" for error in visitor.errors()]
        if visitor.budget <= _begins_at(k):
            errors.append(f"visitor {k}: the budget is {visitor.budget} after {rounds} moves up")
        visitor.leave()
    return times, errors


def _begins_at(visitor: int) -> int:
    """Everyone at a budget of his own."""
    return 100 + 5 * visitor


def figure_size(draw: Draw, points: int, seed: int = 0) -> Measure:
    """The map of so many points in millions of bytes of JSON, the largest of its colourings."""
    rng = np.random.default_rng(seed)
    rank = np.zeros(points, dtype=np.int64)
    rank[rng.choice(points, min(1_000, points), replace=False)] = np.arange(1, min(1_000, points) + 1)
    xy = rng.normal(size=(points, 2))
    topics = np.array([f"topic {t}" for t in rng.integers(16, size=points)], dtype=object)
    sizes = [len(draw(xy, rank, by, topics if by == "topic" else None)) / 1e6 for by in ("selection", "pick order", "topic")]
    return Measure("figure", f"the map's figure at {points:,} points, JSON", max(sizes), "MB", 2.0, each=tuple(sizes))


def _said(measure: Measure) -> str:
    slowest = f" ({_number(measure, max(measure.each))})" if measure.each and measure.unit == "s" else ""
    return _number(measure, measure.value) + slowest + ("" if measure.met is not False else ", missed")


def _number(measure: Measure, value: float) -> str:
    if measure.unit == "s" and value < 1:
        return f"{1000 * value:,.0f} ms"
    return f"{value:,.3g} {measure.unit}".strip()
