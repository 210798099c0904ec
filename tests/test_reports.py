"""A report is one page that needs no server and no network, tells the numbers, and obeys nothing that it shows."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fishersft import catalogue, embed, load_corpus, select
from fishersft.errors import UserError
from fishersft.experiments.result import read_curves
from fishersft.export.curves_report import curves_page
from fishersft.export.finetune_report import finetune_page
from fishersft.export.html import Code, Figure, Page, Paragraph, Section, SideBySide, Table
from fishersft.export.report import report
from fishersft.export.selection_report import selection_page
from fishersft.finetuning.results import FineTuneResult, with_interval
from fishersft.finetuning.run import read_run
from fishersft.judge.base import Judgment, key_of
from fishersft.judge.judging import comparisons_of, matches_of
from fishersft.judge.verdicts import StoredJudgments, note_judge
from fishersft.pipeline.selections import kept_of, load_kept, save_selection

from .conftest import command_line
from .judged_run import make_run, words
from .test_pages import HOSTILE
from .tuned_run import tuned_run

OUTSIDE = re.compile(r"""(?:src|href|action|srcset|poster)\s*=|url\(|@import""", re.I)


class Tags(HTMLParser):
    """The tags and the words of a page, scripts and styles left out."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._inside = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def kept(jsonl):
    corpus = load_corpus(jsonl, holdout=0)
    return load_kept(save_selection(corpus, embed(corpus), select(corpus, budget=3)))


def measured(folder, **how):
    """A finished run with held-out numbers: TokenOD's are half a nat lower than Uniform's."""
    make_run(folder, model=False, **how)
    rng = np.random.default_rng(0)
    (folder / "held_out.json").write_text(json.dumps({"index": [1, 2, 3], "tokens": [4, 5, 6], "topic": None, "column": None}))
    for cell in (folder / "cells").iterdir():
        np.save(cell / "held_out.npy", 4.0 + rng.random(3) - 2.0 * cell.name.startswith("token_od"))
    return read_run(folder)


class TestPage:
    def test_whatever_is_shown_is_text(self):
        bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}\u202e"
        figure = Figure({"data": [], "layout": {"title": bad}}, {"data": [], "layout": {}}, bad, bad, bad)
        blocks = (Paragraph(bad), Table(bad, (bad,), ((bad,),)), Code(bad, bad), SideBySide(bad, ((bad, bad),)), figure)
        html = Page(bad, bad, bad, (Section(bad, blocks),)).html()
        seen = Tags(html)
        assert "img" not in {tag for tag, _ in seen.tags}
        assert sum(tag == "script" for tag, _ in seen.tags) == 3  # the figure's data, plotly, ours
        assert "49" not in seen.text
        assert "\u202e" not in html
        assert seen.text.count("<img src=x onerror=alert(1)>") == 14

    def test_nothing_on_it_points_outside(self):
        html = Page("t", "r", "s", (Section("p", (Paragraph("words"),)),)).html()
        outside = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
        assert not OUTSIDE.search(outside)
        policy = dict(Tags(html).tags[[t for t, _ in Tags(html).tags].index("meta") + 1][1])["content"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe-eval" not in policy
        assert "script-src 'sha256-" in policy

    def test_the_same_page_is_the_same_bytes(self):
        page = Page("t", "r", "s", (Section("p", (Paragraph("words"),)),))
        assert page.html() == page.html()


class TestSelection:
    def test_it_tells_what_was_asked_what_came_out_and_how_to_do_it_again(self, jsonl, kept):
        page = selection_page(kept)
        text = Tags(page.html()).text
        assert "TokenOD chose 3 of 8 sentences" in text
        for told in (
            kept.manifest["corpus_fingerprint"],
            "sigma2 1",
            "fishersft select small.jsonl",
            f"fishersft export {kept.id}",
        ):
            assert told in text
        table = next(b for p in page.parts for b in p.blocks if isinstance(b, Table) and b.head[:2] == ("pick", "record"))
        assert [int(row[1]) for row in table.rows] == kept.picks["index"].tolist()
        assert [row[4] for row in table.rows] == kept.picks["text"].tolist()
        assert sum(isinstance(b, Figure) for p in page.parts for b in p.blocks) == 3
        assert str(jsonl.parent) not in page.html()

    def test_chance_and_length_stand_beside_it(self, kept, jsonl):
        corpus = load_corpus(jsonl, holdout=0)
        rows = embed(corpus)
        page = selection_page(kept, (corpus, rows))
        table = next(b for p in page.parts for b in p.blocks if isinstance(b, Table) and "log det" in b.caption)
        assert [row[0] for row in table.rows] == ["TokenOD", "Uniform", "Longest"]
        assert float(table.rows[0][1].replace(",", "")) == pytest.approx(kept.manifest["log_det"], abs=0.06)

    def test_without_its_corpus_it_says_so_and_keeps_the_gains(self, kept, jsonl):
        jsonl.unlink()
        page = selection_page(kept)
        assert "There is no file" in Tags(page.html()).text
        (figure,) = [b for p in page.parts for b in p.blocks if isinstance(b, Figure)]
        assert "gains" in figure.caption

    def test_a_selector_without_gains_has_a_report_too(self, jsonl):
        corpus = load_corpus(jsonl, holdout=0)
        page = selection_page(kept_of(corpus, embed(corpus), select(corpus, selector="uniform", budget=2, seed=3)))
        assert page.title.startswith("Uniform chose 2 of 8")
        jsonl.unlink()
        assert "–" in Tags(page.html()).text


class TestCurves:
    def test_the_numbers_are_those_of_the_result(self):
        found = catalogue.find_run("imbalanced-tokens", catalogue.CURVES).opened
        result = read_curves(found.folder)
        page = curves_page(result, found.id)
        table = next(b for p in page.parts for b in p.blocks if isinstance(b, Table) and b.caption.startswith("Means"))
        assert len(table.rows) == len(result.table())
        curve = result.curve("token_od", "maximum")
        row = table.rows[0]
        assert (row[0], row[1]) == ("TokenOD", f"{curve.x[0]:,}")
        value, low, high = (float(v) for v in re.fullmatch(r"(\S+) \((\S+) to (\S+)\)", row[4]).groups())
        assert [value, low, high] == pytest.approx([curve.mean[0], curve.low[0], curve.high[0]], rel=6e-3)
        assert "fishersft curves synthetic" in Tags(page.html()).text

    @pytest.mark.parametrize("id", ["timing", "words"])
    def test_every_shipped_kind_has_one(self, id):
        assert "fishersft curves" in Tags(report(id).html()).text


class TestFineTune:
    def test_held_out_numbers_come_with_their_intervals(self, tmp_path):
        run = measured(tmp_path / "run", seeds=(0, 1))
        page = finetune_page(run)
        text = Tags(page.html()).text
        for line in FineTuneResult(run).lines:
            assert with_interval(line.values["mean"]) in text
        assert "Nobody has judged this run yet" in text
        assert "fishersft judge abc123" in text

    def test_both_held_out_figures_are_saved_under_names_of_their_own(self, tmp_path):
        page = finetune_page(measured(tmp_path / "run", budgets=(50, 200)))
        names = [b.name for part in page.parts if part.title == "Held-out texts" for b in part.blocks if isinstance(b, Figure)]
        assert names == ["abc123-held-out", "abc123-held-out-difference"]

    def test_a_run_with_a_target_says_who_wins_there_and_what_was_lost_elsewhere(self, tmp_path):
        names = ("target_matched", "rds_plus", "uniform")
        run = read_run(tuned_run(tmp_path / "run", target=True, selectors=names, seeds=(0, 1)))
        result, page = FineTuneResult(run), finetune_page(run)
        near = "8 records are near-duplicates, in 3 groups; 1 of the 12 held-out records has one in the pool."
        assert result.near_duplicates == near and near in Tags(page.html()).text and near in result.export("md")
        text = Tags(page.html()).text
        assert page.summary.startswith(result.verdict[0])
        assert "measured on the 7 measuring texts of the target topic = law" in page.summary
        assert [p.title for p in page.parts][1:3] == ["On the target", "What was lost elsewhere"]
        there, elsewhere = page.parts[1:3]
        for part, lines in ((there, result.lines), (elsewhere, result.elsewhere.lines)):
            told = str([b.rows for b in part.blocks if isinstance(b, Table)])
            assert all(with_interval(line.values["mean"]) in told for line in lines)
        assert not [b for b in there.blocks if "held-out" in getattr(b, "caption", "")]
        assert "the 12 held-out texts of demo" in elsewhere.blocks[-1].caption
        assert [b.name for b in there.blocks[:2]] == ["run-target", "run-target-difference"]
        assert "minus untuned" in elsewhere.blocks[1].caption
        assert "target texts that choose, that measure, near-duplicates that left the pool 8, 7, 2" in text
        written = result.export("md")
        assert written.startswith(result.verdict[0]) and "of the 7 measuring texts of the target topic = law." in written

    def test_win_rates_are_those_of_the_kept_verdicts(self, tmp_path):
        def alike(cell, prompt):  # the untuned and the whole pool's model write the same: a tie that nobody was asked for
            return " the same." if cell in ("base", "all-s0") else words(cell, prompt)

        run = measured(tmp_path / "run", write=alike)
        about = {"id": "j", "name": "llm", "label": "The judge", "symmetric": False, "reads_words": True}
        note_judge(run, about)
        kept = StoredJudgments(run, "j")
        for comparison in comparisons_of(run, matches_of(run)):
            for shown in comparison.pair.orders:
                first = "token od" in shown.first
                kept[key_of("j", shown)] = Judgment("first" if first else "second").as_dict()
        page = finetune_page(run)
        table = next(b for p in page.parts for b in p.blocks if isinstance(b, Table) and b.caption.startswith("The judge"))
        assert {row[:2] for row in table.rows} == {("Token Od", "Uniform")}
        won = next(row for row in table.rows if row[:2] == ("Token Od", "Uniform"))
        assert won[3].startswith("100%")
        assert won[4] == "6 / 0 / 0"

    def test_the_sample_is_drawn_by_seed_and_shows_every_model(self, tmp_path):
        run = measured(tmp_path / "run", prompts=20)
        sides = [b for p in finetune_page(run).parts for b in p.blocks if isinstance(b, SideBySide)]
        assert sides == [b for p in finetune_page(run).parts for b in p.blocks if isinstance(b, SideBySide)]
        assert len(sides) == 6
        assert [label for label, _ in sides[0].texts] == ["The record itself", "Token Od", "Uniform", "Untuned", "Whole pool"]
        prompts = [p.text for p in run.prompts]
        assert [prompts.index(s.prompt) for s in sides] != list(range(6))

    def test_hostile_names_and_texts_stay_text(self, tmp_path):
        run = measured(tmp_path / "run", write=lambda cell, k: HOSTILE[k % len(HOSTILE)], prompts=len(HOSTILE), source=HOSTILE[0])
        seen = Tags(finetune_page(run).html())
        assert not {tag for tag, _ in seen.tags} & {"img", "b", "a", "iframe"}
        assert sum(tag == "script" and found.get("type") != "application/json" for tag, found in seen.tags) == 2


class TestOfRun:
    def test_an_id_its_beginning_or_a_folder_name_a_run(self, kept, tmp_path):
        measured(tmp_path / "home" / "runs" / "abc123")
        assert report(kept.id[:6]).title == report(kept.id).title
        assert report("abc1").title == report(str(tmp_path / "home" / "runs" / "abc123")).title
        assert report("isotropic-tokens").run == "isotropic-tokens"

    @pytest.mark.parametrize("name", ["nothing", "", "iso", "isotropic", "../x"])
    def test_what_names_no_run_or_several_is_refused(self, name):
        with pytest.raises(UserError, match="The store has no run|Several runs have ids"):
            report(name)

    def test_the_command_writes_it(self, kept, tmp_path):
        done = command_line("export", kept.id, "--out", tmp_path / "r.html", "--json")
        assert json.loads(done.stdout)["format"] == "report"
        assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
