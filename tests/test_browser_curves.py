"""Curves and Runs in a real browser: hover, files, the picture, and a job that is watched without a reload."""

import re

import pandas as pd
import pytest

from fishersft import paths
from fishersft.experiments.result import read_curves
from fishersft.experiments.summaries import three
from fishersft.store import jobs
from fishersft.store.artifacts import Store

from .browsing import BROWSER, settle

pytestmark = BROWSER


def test_hover_says_n_the_error_and_its_interval_and_files_hold_them(dashboard, page, tmp_path):
    page.goto(f"{dashboard}/curves?result=imbalanced-tokens&part=Errors")
    page.wait_for_selector(".js-plotly-plot .points path")
    settle(page)
    plot = page.locator(".js-plotly-plot").first
    x, y = plot.evaluate(
        """g => { const f = g._fullLayout, r = g.getBoundingClientRect();
                  return [r.left + f._size.l + f.xaxis.d2p(200), r.top + f._size.t + f.yaxis.d2p(150)]; }"""
    )
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y, steps=3)
    page.wait_for_selector(".hoverlayer .legend text")
    said = " ".join(page.locator(".hoverlayer text").all_text_contents())
    curve = read_curves(paths.asset("curves", "imbalanced-tokens")).curve("token_od")
    mean, low, high = (three(float(v[2])) for v in (curve.mean, curve.low, curve.high))
    assert "200" in said
    found = re.search(r"TokenOD\s*:\s*([\d.,]+) \(([\d.,]+) to ([\d.,]+)\)", said)
    assert [three(float(v.replace(",", ""))) for v in found.groups()] == [mean, low, high]

    with page.expect_download() as download:
        page.get_by_role("button", name="csv", exact=True).first.click()
    download.value.save_as(tmp_path / "got.csv")
    table = pd.read_csv(tmp_path / "got.csv").set_index(["selector", "n"])
    assert table.loc[("token_od", 200), "maximum"] == pytest.approx(curve.mean[2])
    with page.expect_download() as download:
        plot.hover()
        page.locator('.modebar-btn[data-title^="Download plot"]').first.click()
    assert download.value.suggested_filename == "curves-imbalanced-tokens-maximum.png"


def test_a_job_is_watched_to_its_end_without_a_reload(dashboard, dashboard_home, page):
    store = Store(dashboard_home)
    page.goto(f"{dashboard}/runs")  # so that what a browser loads first takes none of the job's time
    settle(page)
    arguments = ["curves", "synthetic", "--sentences", "60", "--budgets", "5,20", "--runs", "40", "--workers", "1"]
    out = store.path / "curves" / "0123456789ab"
    job = jobs.start([*arguments, "--out", str(out)], kind="curves", title="forty small runs", out=out, store=store)
    page.goto(f"{dashboard}/runs?job={job.id}")
    page.wait_for_selector("text=It keeps running if you close this tab")
    page.wait_for_selector("text=/measuring, [0-9]+ of 280/")
    page.wait_for_selector("text=/^Done after/")
    page.get_by_text("Open in Curves").click()
    page.wait_for_selector(".js-plotly-plot .points path")
    settle(page)
    assert "0123456789ab" in page.url
    assert "At n = 20, TokenOD is" in page.inner_text('[data-testid="stMain"]')
