"""An attacker's corpus, model, runs and names on every page of a real browser: nothing runs, nobody is called, nothing breaks.

Texts, column names and values, the corpus' file name, the model's folder, kept sets, fine-tuned texts, curves and a failed job
all hold markup, TeX, Markdown, beacons, formulas, marks that turn the line around, and words without an end.
"""

import http.server
import json
import shutil
import socketserver
import threading
import time
from urllib.parse import quote, urlencode

import pandas as pd
import pytest

from fishersft import embed, load_corpus, load_model, paths, select
from fishersft.pipeline.selections import save_selection
from fishersft.store import jobs

from .browsing import BROWSER, PATIENCE, VIEW, downloaded, lonely, new_tab, points_of, serving, settle, where
from .test_pages import HOSTILE
from .tuned_run import tuned_run

pytestmark = BROWSER

MARKUP = "<img src=x onerror=alert(1)>"
FORMULAS = ('=HYPERLINK("http://evil.test/","free")', "+1+1", "-2+3", "@SUM(1,2)", "\t=1+1")
ANSWERED = "What a model wrote, and the beacon that it asks for: ![x]({beacon}) <img src={beacon}> $x$ :red[y] \u202ez {end}"


def made(beacon):
    """Rows whose every cell, and every column's name, is hostile."""
    texts = [
        *HOSTILE,
        *FORMULAS,
        f"![a]({beacon})",
        f'<img src="{beacon}">',
        f"<link rel=stylesheet href={beacon}>",
        "مرحبا \u202eabc\u200b",
    ]
    texts += [f"{text[:60]} and again, number {k}." for k, text in enumerate(texts) if k != 9] * 2
    values = [MARKUP, f"![v]({beacon})", ":red[v] $v$", "\u202ev\u200b", "=v", "<b>v</b>" * 40]
    return [
        {
            "text": f"{text} {k}" if k >= len(HOSTILE) else text,
            "<b>column</b> :red[c] $c$": values[k % 6],
            f"![c]({beacon})": values[(k + 1) % 2],
            "=cmd": values[k % 3],
        }
        for k, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def beacon():
    """The address of a server that anything obeyed would call, and what was asked of it."""
    asked = []

    class Heard(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Heard)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/b.png", asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def attacked(beacon, tmp_path_factory):
    """A dashboard whose store an attacker has filled; (address, the corpus and the model as an address names them)."""
    address, _ = beacon
    folder = tmp_path_factory.mktemp("attacked")
    home = folder / "home"
    path, model = folder / f"{MARKUP} :red[f] $f$ \u202ef.jsonl", folder / f"<b>m</b> :red[m] $m$ {MARKUP}"
    path.write_text("".join(json.dumps(row) + "\n" for row in made(address)), encoding="utf-8")
    shutil.copytree(paths.asset("mini"), model)

    def write(cell, k):
        end = "w" * 3_000 if k % 2 else f"{cell} {HOSTILE[k % len(HOSTILE)][:200]}"
        return ANSWERED.format(beacon=address, end=end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FISHERSFT_HOME", str(home))
        corpus = load_corpus(str(path))
        rows = embed(corpus, load_model(str(model)))
        save_selection(corpus, rows, select(corpus, str(model), budget=5), name=f"{MARKUP} ![k]({address}) :red[k] $k$")
        run = tuned_run(home / "runs" / "abc123", write=write, source=f"{MARKUP} :red[f] ![r]({address})", prompts=8)
        about = json.loads((run / "run.json").read_text())
        about["about"]["model"]["name"] = f"<b>m</b> ![m]({address}) $m$"
        for one in about["about"]["selectors"]:
            one["label"] = f"<b>{one['label']}</b> :red[l] {MARKUP}"
        (run / "run.json").write_text(json.dumps(about))
        prompts = [json.loads(line) for line in (run / "prompts.jsonl").read_text().splitlines()]
        for k, prompt in enumerate(prompts):
            prompt["text"], prompt["continuation"] = HOSTILE[k][:2_000], f"![p]({address}) {HOSTILE[-k]}"[:2_000]
        (run / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
        held_out = json.loads((run / "held_out.json").read_text())
        held_out |= {"column": f"![c]({address}) <b>c</b>", "topic": [f"{MARKUP} {t}" for t in held_out["topic"]]}
        (run / "held_out.json").write_text(json.dumps(held_out))
        curves = home / "curves" / "bad"
        shutil.copytree(paths.asset("curves") / "teacher", curves)
        first, *rest = (curves / "records.jsonl").read_text().splitlines(keepends=True)
        told = json.loads(first)
        told["about"]["settings"]["world"] |= {"corpus": f"{MARKUP} ![w]({address})", "model": "<b>m</b> $m$ :red[m]"}
        told["about"]["title"] = f"{MARKUP} ![t]({address}) :red[t] $t$"
        (curves / "records.jsonl").write_text(json.dumps(told) + "\n" + "".join(rest))
        command = ["embed", f"{MARKUP} ![j]({address}) \u202e.txt", "--model", "mini"]
        job = jobs.start(command, kind=f"<b>{MARKUP}</b>", title=f"{MARKUP} ![j]({address}) :red[j] $j$")
        until = time.monotonic() + PATIENCE / 1000
        while not jobs.job(job.id).ended and time.monotonic() < until:
            time.sleep(0.1)
        assert jobs.job(job.id).state == "failed"
    with serving(home, folder=folder) as dashboard:
        yield dashboard, {"corpus": str(path), "model": str(model), "map": "PCA"}


@pytest.fixture
def watched(browser, attacked, beacon):
    """A tab that notes what ran, what was asked for and what went wrong; judged at the end."""
    dashboard, _ = attacked
    tab = new_tab(browser)
    asked, wrong = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("dialog", lambda dialog: (wrong.append(f"a script ran: {dialog.message}"), dialog.dismiss()))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    yield tab
    assert wrong == []
    own = (dashboard, dashboard.replace("http", "ws"), "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []
    assert beacon[1] == []
    tab.close()


FITS = """() => document.documentElement.scrollWidth <= innerWidth + 2
  && [document.querySelector('[data-testid="stMain"]')].every((main) => main.scrollWidth <= main.clientWidth + 2)"""


def sound(tab, page):
    """Nothing of what is shown was obeyed, and it fits on a screen and on a phone."""
    main = tab.locator('[data-testid="stMain"]')
    assert main.locator("img, iframe, script, object, embed, a[href^='javascript']").count() == 0
    assert main.locator("a[href*='127.0.0.1:'][href$='b.png'], a[href*='evil.test']").count() == 0
    assert main.locator(".stMarkdownColoredText").count() == 0
    if page != "learn":
        assert main.locator(".katex").count() == 0
    assert tab.locator('[data-testid="stException"]').count() == 0
    for bold in main.locator("b, i, svg tspan[style*='bold']").all_inner_texts():
        assert bold not in ("bold", "column", "m", "v", "c")
    assert tab.evaluate(FITS)
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_function(FITS, timeout=60_000)
    tab.set_viewport_size(VIEW)


def opened(tab, dashboard, page, **address):
    tab.goto(f"{dashboard}/{'' if page == 'explore' else page}?{urlencode(address, quote_via=quote)}")
    settle(tab)
    for closed in tab.locator('[data-testid="stExpander"] summary').all():
        closed.click()
    settle(tab)
    sound(tab, page)
    for button in tab.get_by_role("button", name="The same without the screen").all():
        button.click()
        body = tab.locator('[data-testid="stPopoverBody"]')
        body.locator("code").first.wait_for()
        assert body.locator("img, iframe, script, object, embed, a").count() == 0
        tab.keyboard.press("Escape")


VIEWS = [
    *[("explore", {"colour": column, "record": record}) for column, record in (
        ("<b>column</b> :red[c] $c$", 0), ("=cmd", 1), ("selection", 4), ("tokens", 9), ("selection", 13), ("selection", 18),
    )],
    ("explore", {"view": "player", "sentences": "6"}),
    ("explore", {"colour": MARKUP, "selector": f"{MARKUP} $x$", "map": ":red[x]", "sentences": "![x](http://evil.test/)"}),
    ("corpus", {}),
    ("corpus", {"text_column": "<b>column</b> :red[c] $c$"}),
    ("corpus", {"text_column": MARKUP}),
    ("compare", {"selectors": "token_od,longest,uniform", "budget": "5", "record": "0"}),
    ("curves", {"experiment": "Your corpus", "result": "bad"}),
    ("curves", {"result": f"{MARKUP}![x](http://evil.test/)"}),
    *[("generations", {"run": "abc123", "section": section}) for section in ("Results", "Read", "Vote", "Win rates", "Set up")],
    ("learn", {"lesson": f"{MARKUP} $x$ :red[x]", "points": "![x](http://evil.test/),1,1"}),
    *[("runs", {"show": show}) for show in ("jobs", "selections", "curves", "generations")],
    ("runs", {"job": f"{MARKUP}![x](http://evil.test/)"}),
]  # fmt: skip
PAGES = [page for page, _ in VIEWS]
OFTEN_AND_RARE = [pytest.param(*view, marks=[pytest.mark.rare] if view[0] in PAGES[:k] else []) for k, view in enumerate(VIEWS)]


@pytest.mark.parametrize(("page", "address"), OFTEN_AND_RARE, ids=lambda v: v if isinstance(v, str) else "-".join(v) or "plain")
def test_nothing_hostile_is_obeyed(attacked, watched, page, address):
    dashboard, view = attacked
    opened(watched, dashboard, page, **(view | address))


def test_what_the_pointer_shows_on_the_map_is_text(attacked, watched):
    dashboard, view = attacked
    opened(watched, dashboard, "", **view, colour="<b>column</b> :red[c] $c$")
    x, y = where(watched, lonely(watched))
    watched.mouse.move(x - 40, y - 40)
    watched.mouse.move(x, y)
    watched.wait_for_selector(".sentences .hover:not([hidden])")
    assert watched.inner_text(".sentences .hover span") in points_of(watched)["text"]
    assert watched.locator(".sentences .hover *:not(b):not(span), .sentences .legend a, .sentences .legend img").count() == 0
    sound(watched, "explore")


def test_every_pair_of_fine_tuned_texts_is_read_as_text(attacked, watched):
    dashboard, view = attacked
    for prompt in range(3):
        opened(watched, dashboard, "generations", run="abc123", section="Read", prompt=str(prompt), **view)
    assert "[U+202E]" in watched.inner_text('[data-testid="stMain"]')


def test_a_hostile_file_is_uploaded_under_its_own_name(attacked, watched, tmp_path):
    dashboard, view = attacked
    file = tmp_path / f"{MARKUP} $u$ :red[u].jsonl"
    shutil.copy(view["corpus"], file)
    watched.goto(f"{dashboard}/corpus")
    watched.get_by_text("Upload", exact=True).click()
    watched.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(file)
    watched.wait_for_selector(".st-key-verdict:has-text('onerror')")
    settle(watched)
    sound(watched, "corpus")


def test_what_is_saved_from_a_table_holds_no_formula(attacked, watched, tmp_path):
    dashboard, view = attacked
    opened(watched, dashboard, "corpus", **view)
    assert watched.locator('button[aria-label^="Download as CSV"]:visible').count() == 0
    opened(watched, dashboard, "explore", **view, sentences="30", part="Save and repeat")
    downloaded(watched, "CSV").save_as(tmp_path / "got.csv")
    cells = pd.read_csv(tmp_path / "got.csv", dtype=str, keep_default_na=False)
    assert not [
        cell for row in [cells.columns, *cells.itertuples(index=False)] for cell in row if cell[:1] in ("=", "+", "@", "\t")
    ]
    assert any("HYPERLINK" in cell for row in cells.itertuples(index=False) for cell in row)
