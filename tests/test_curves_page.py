"""The Curves and Runs pages: shipped results at once, own runs as real jobs, refusals in one sentence, a hosted demo."""

import itertools
import json
import re
import time

import pytest
from streamlit.testing.v1 import AppTest

from fishersft import catalogue, paths, select
from fishersft.experiments.fits import fits_of
from fishersft.experiments.result import Records, label_of, read_curves
from fishersft.experiments.settings import SELECTORS
from fishersft.experiments.summaries import alike_sentence, standing_of, verdict_sentences, worth_sentences
from fishersft.experiments.timing import read_timing
from fishersft.store import jobs

from .conftest import ROOT, command_line
from .test_pages import figure, numbers, open_page, text_of


@pytest.fixture(autouse=True)
def nothing_left_running(home):
    yield
    for job in jobs.jobs():
        if not job.ended:
            jobs.cancel(job.id, grace=0.1)


def plain(at):
    return text_of(at).replace("\\", "")


def label(elements, text):
    return next(e for e in elements if e.label == text)


def fill(at, **more):
    """The synthetic form with a tiny experiment."""
    for name, usual in (("Sentences N", 40), ("Dimension d", 10), ("Classes L", 20)):
        label(at.number_input, name).set_value(more.get(name.split()[0].lower(), usual))
    label(at.text_input, "Budgets n").set_value(more.get("budgets", "5,20"))
    label(at.number_input, "Runs").set_value(2)
    label(at.multiselect, "Selectors").set_value(["uniform", "longest"])
    label(at.text_input, "Selector settings").set_value(more.get("settings", ""))
    return label(at.button, "Check and estimate").click().run()


def ended(at, seconds=90):
    """The page once its only job has ended."""
    until = time.monotonic() + seconds
    while not jobs.jobs()[0].ended:
        assert time.monotonic() < until
        time.sleep(0.2)
    at.run()
    assert not at.exception
    return jobs.jobs()[0]


def made(**more):
    """A small result in the store, made by the command itself."""
    folder = catalogue.folder_for(catalogue.CURVES, ["curves", "synthetic", str(more)])
    arguments = ["--sentences", 40, "--selectors", "token_od,uniform", "--budgets", "5,20", "--runs", more.get("runs", 2)]
    done = command_line("curves", "synthetic", *arguments, "--workers", 1, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


class TestShipped:
    def test_both_worlds_are_there_on_arrival_with_a_verdict_and_their_difference_to_a_random_draw(self):
        at = open_page("curves")
        for k, (world, where) in enumerate(
            (("imbalanced", "in the imbalanced world"), ("isotropic", "in the homogeneous world"))
        ):
            result = read_curves(paths.asset("curves", f"{world}-tokens"))
            fits = fits_of(result)
            assert verdict_sentences(result, fits, 200, where)[0] in plain(at)
            line = next(t for t in figure(at, k)["data"] if t.get("name") == "TokenOD")
            assert numbers(line["y"]) == pytest.approx([p.ratio.value for p in fits.paired["token_od"]])
            marked = [note["text"] for note in figure(at, k)["layout"]["annotations"]]
            assert marked == ["↓ better than a random draw", "↑ worse than a random draw"]
            assert "TokenOD is" in at.get("plotly_chart")[k].proto.alt
        assert "better than a random draw" in plain(at) and "not clearly different from a random draw" in plain(at)
        assert "fishersft curves synthetic --features clustered --equal tokens --out curves" in [c.value for c in at.code]
        assert [h.tag for h in (*at.title, *at.header, *at.subheader)] == ["h1", "h2", "h2"]

    def test_each_part_is_in_the_address_and_drawn_alone(self):
        at = open_page("curves", part="In words")
        assert not at.get("plotly_chart")
        result = read_curves(paths.asset("curves", "imbalanced-tokens"))
        for sentence in (standing_of(result).sentence(), *worth_sentences(result, fits_of(result), 200)):
            assert sentence in plain(at)
        at.segmented_control(key="part").set_value("Table").run()
        assert [len(table.value) for table in at.dataframe] == [7, 7]
        at.segmented_control(key="experiment").set_value("Fast against slow").run()
        assert at.segmented_control(key="part").value == "Seconds"

    def test_the_two_worlds_have_one_axis_and_lines_that_hide_one_another_are_named(self):
        at = open_page("curves")
        assert figure(at, 0)["layout"]["yaxis"]["range"] == figure(at, 1)["layout"]["yaxis"]["range"]
        at.segmented_control(key="part").set_value("Errors").run()
        assert figure(at, 0)["layout"]["yaxis"]["range"] == figure(at, 1)["layout"]["yaxis"]["range"]
        isotropic = read_curves(paths.asset("curves", "isotropic-tokens"))
        assert len(isotropic.selectors) == 7
        assert alike_sentence(isotropic) in plain(at)
        at.toggle(key="logarithmic").set_value(False).run()
        assert "Both charts share one y scale" not in plain(at)

    @pytest.mark.parametrize("name", ["Synthetic", "Word vectors", "Your corpus", "Fast against slow"])
    def test_every_experiment_has_its_files_its_picture_and_its_command(self, name):
        timing = name == "Fast against slow"
        at = open_page("curves", experiment=name, part="Seconds" if timing else "Errors")
        assert [b.label for b in at.get("download_button")] == ["csv", "json", "report.html"]
        assert all(json.loads(c.proto.config)["modeBarButtons"][0][0] == "toImage" for c in at.get("plotly_chart"))
        assert any(c.value.startswith("fishersft curves ") and "/" not in c.value for c in at.code)
        names = [t.get("name") or "" for t in figure(at)["data"]]
        assert ("slope -0.5" in names) == (not timing)

    def test_fast_against_slow_is_told_before_anything_is_run(self):
        timing = read_timing(paths.asset("curves", "timing"))
        at = open_page("curves", experiment="Fast against slow")
        assert f"{timing.slow[-1] / timing.fast[-1]:.3g} times as long" in plain(at)
        assert "(extrapolated)" in plain(at)

    def test_the_pills_choose_the_lines_of_a_sweep_too(self):
        at = open_page("curves", result="sweep")
        next(p for p in at.pills if p.label == "Selectors").set_value(["uniform", "longest"]).run()
        for k in (0, 1):
            assert [t["name"] for t in figure(at, k)["data"] if t.get("name")] == ["Longest", "Uniform, a random draw"]
        at.segmented_control(key="part").set_value("Errors").run()
        for k in (0, 1):
            assert [t["name"] for t in figure(at, k)["data"] if t.get("name")] == ["Uniform", "Longest"]

    def test_the_budget_in_words_is_one_of_the_result(self):
        folder = made()
        at = open_page("curves", result=folder.name)
        assert at.selectbox(key="n").options == ["5", "20"]
        assert "At n = 20, TokenOD is" in plain(at)
        at.selectbox(key="n").set_value(5).run()
        assert "At n = 5, TokenOD is" in plain(at)
        label(at.selectbox, "Result").set_value("isotropic-sentences").run()
        assert at.selectbox(key="n").value == 50
        assert "At n = 50, TokenOD is" in plain(at)

    def test_a_budget_of_another_page_is_no_budget_here(self):
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        at.session_state["n"] = "50"  # Evidence's, by a link; its words stay where no browser has taken them away
        at.switch_page("pages/curves.py").run()
        assert not at.exception
        assert at.selectbox(key="n").value == 200

    def test_switches_change_the_picture_and_the_words(self):
        at = open_page("curves", equal="sentences", measure="G-criterion", n="500", logarithmic="false", part="Errors")
        result = read_curves(paths.asset("curves", "imbalanced-sentences"))
        assert at.selectbox(key="measure").value == "worst leverage"  # as an earlier link called it
        fits = fits_of(result, "worst_leverage")
        assert verdict_sentences(result, fits, 500, "in the imbalanced world")[0] in plain(at)
        assert figure(at)["layout"]["yaxis"].get("type") != "log"
        at.selectbox(key="measure").set_value("log det").run()
        assert "its log det is" in plain(at) and "higher than Uniform's" in plain(at)
        at.segmented_control(key="part").set_value("Difference").run()
        marked = [note["text"] for note in figure(at)["layout"]["annotations"]]
        assert marked == ["↓ worse than a random draw", "↑ better than a random draw"]
        assert not at.exception

    def test_curves_and_guides_can_be_left_out(self):
        at = open_page("curves", experiment="Synthetic", part="Errors")
        names = [t.get("name") for t in figure(at)["data"] if t.get("name")]
        assert {"slope -0.5", "slope -0.3"} <= set(names)
        assert any("fitted" in name for name in names)
        bare = open_page("curves", experiment="Synthetic", part="Errors", guides="false")
        without = [t.get("name", "") for t in figure(bare)["data"]]
        assert not any("slope" in name or "fitted" in name for name in without)
        next(p for p in at.pills if p.label == "Selectors").set_value(["uniform"]).run()
        assert [t["name"] for t in figure(at)["data"] if t.get("name") and "slope" not in t["name"]][:1] == ["Uniform"]

    def test_a_link_opens_a_result_and_one_to_nothing_says_so(self):
        at = open_page("curves", result="isotropic-sentences")
        assert at.selectbox(key="result-synthetic").value == "isotropic-sentences"
        at = open_page("curves", result="nothing")
        assert "There is no result 'nothing' here" in " ".join(w.value for w in at.warning)

    def test_the_address_of_the_two_worlds_opens_them_again(self):
        at = open_page("curves", result="isotropic-sentences")
        at.segmented_control(key="experiment").set_value("Two worlds").run()
        assert "result" not in at.query_params
        assert len(at.get("plotly_chart")) == 2

    def test_another_page_and_back_is_the_same_view(self):
        at = open_page("curves", result="isotropic-sentences")
        at.switch_page("pages/runs.py").run()
        at.query_params.clear()
        at.switch_page("pages/curves.py").run()
        assert at.selectbox(key="result-synthetic").value == "isotropic-sentences"

    def test_the_python_on_the_page_makes_the_experiment_of_the_result(self):
        at = open_page("curves", result="imbalanced-tokens")
        code = next(c.value for c in at.code if "Experiment(" in c.value)
        exec(code.split("result =")[0], scope := {})
        assert scope["experiment"].settings == catalogue.find_run("imbalanced-tokens", catalogue.CURVES).opened.settings


@pytest.mark.slow
class TestJob:
    def test_parameters_become_a_job_whose_result_is_shown_when_it_is_done(self):
        at = fill(open_page("curves", experiment="Synthetic", part="Run your own"))
        assert "4 records, roughly" in text_of(at)
        label(at.button, "Run as a job").click().run()
        assert not at.exception
        assert "keeps running if you close this tab" in text_of(at)
        job = ended(at)
        assert job.state == "done", jobs.log_lines(job)
        assert at.selectbox(key="result-synthetic").value == job.out.name
        assert "At n = 20, " in plain(at) or "With 20 sentences, the lowest maximum prediction error is" in plain(at)
        assert read_curves(job.out).runs == 2
        again = fill(open_page("curves", result=job.out.name, part="Run your own"))
        assert str(job.out) in " ".join(c.value for c in again.code)  # the same question goes to the same folder
        assert "This was run before" in text_of(again)
        assert open_page("curves", experiment="Synthetic").selectbox(key="result-synthetic").value == job.out.name

    def test_a_job_that_fails_says_why_in_one_sentence_and_can_be_resumed(self):
        at = open_page("curves", experiment="Word vectors", part="Run your own")
        label(at.text_input, "File of vectors").set_value("/nowhere/<b>vectors</b>.txt")
        label(at.button, "Check and estimate").click().run()
        label(at.button, "Run as a job").click().run()
        job = ended(at)
        assert (job.state, job.exit_status) == ("failed", 2)
        assert "/nowhere/<b>vectors</b>.txt" in " ".join(e.value for e in at.error).replace("\\", "")
        assert "<b>" not in " ".join(e.value for e in at.error)
        assert "name a file of word vectors" in " ".join(e.value for e in at.error)  # whole, not cut
        label(at.button, "Resume").click().run()
        assert jobs.jobs()[0].attempt == 2

    def test_one_that_goes_on_can_be_cancelled_from_the_runs_page(self):
        job = jobs.start(["curves", "synthetic", "--runs", "500"], kind="curves", title="a long one")
        at = open_page("runs", job=job.id[:6])
        assert "a long one" in text_of(at)
        assert re.search(r"1 job (is running|waits)", text_of(at))
        label(at.button, "Cancel").click().run()
        assert not at.exception
        assert jobs.job(job.id).state == "cancelled"
        assert label(at.button, "Resume")
        label(at.button, "Yes, delete").click().run()
        assert jobs.jobs() == []
        assert "No job yet" in text_of(at)

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            ({"budgets": "5;6"}, "Budgets n takes whole numbers separated by commas"),
            ({"budgets": "50"}, "The budget of 50 sentences is above the pool of 40"),
            ({"settings": "magic.x=1"}, "'magic' is not among the selectors compared"),
            ({"settings": "uniform"}, "--set takes SELECTOR.NAME=VALUE"),
            ({"sentences": 100_000, "dimension": 512, "classes": 1_000}, "lower --sentences, --dimension or --classes"),
        ],
    )
    def test_bad_parameters_get_one_sentence_and_no_button(self, more, sentence):
        at = fill(open_page("curves", experiment="Synthetic", part="Run your own"), **more)
        assert sentence in " ".join(e.value for e in at.error).replace("\\", "")
        assert "Run as a job" not in [b.label for b in at.button]

    @pytest.mark.parametrize(("picks", "sentences"), [("10,50", 40), ("0,5", 40), ("", 5), ("a", 40)])
    def test_picks_that_the_pool_does_not_have_are_refused_before_a_job(self, picks, sentences):
        at = open_page("curves", experiment="Fast against slow", part="Run your own")
        label(at.number_input, "Sentences N").set_value(sentences)
        label(at.text_input, "Picks").set_value(picks)
        label(at.button, "Check and estimate").click().run()
        assert "Picks" in " ".join(e.value for e in at.error)
        assert "Run as a job" not in [b.label for b in at.button]

    def test_your_corpus_is_the_one_that_was_chosen(self, jsonl):
        at = open_page("curves", corpus=str(jsonl), holdout="0", experiment="Your corpus", part="Run your own")
        command = next(c.value for c in at.code if c.value.startswith(f"fishersft curves teacher {jsonl}"))
        assert command.split(" --out ")[0] == f"fishersft curves teacher {jsonl} --model mini --holdout 0"
        assert "8 records to choose from" in text_of(at)

    def test_fast_against_slow_is_run_and_shown(self, home):
        folder = home / "curves" / "aaaaaaaaaaaa"
        done = command_line("curves", "timing", "--sentences", 30, "--budgets", "5,10", "--box", 5, "--out", folder)
        assert done.returncode == 0, done.stderr
        at = open_page("curves", result="aaaaaaaaaaaa")
        assert "10 picks take the fast greedy" in text_of(at)
        assert "fishersft curves timing --sentences 30 --budgets 5,10 --box 5" in [c.value for c in at.code]


class TestResults:
    def test_an_unfinished_result_shows_what_it_has(self):
        folder = made()
        lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
        (folder / "records.jsonl").write_text("".join(lines[:3]))
        assert "1 of 2 runs are finished" in text_of(open_page("curves", result=folder.name))
        (folder / "records.jsonl").write_text(lines[0])
        assert "No run is finished by every selector yet" in text_of(open_page("curves", result=folder.name))

    def test_another_result_is_opened_by_its_box(self):
        one, other = made(), made(runs=3)
        at = open_page("curves", result=one.name)
        box = label(at.selectbox, "Result")
        assert box.value == one.name
        box.set_value(other.name).run()
        assert label(at.selectbox, "Result").value == other.name
        assert other.name in str(at.query_params["result"])

    def test_a_damaged_one_is_no_traceback(self, home):
        (home / "curves" / "bad").mkdir(parents=True)
        (home / "curves" / "bad" / "records.jsonl").write_text('{"about": {"settings": 3, "title": "x", "arguments": []}}\n')
        folder = made()
        lines = (folder / "records.jsonl").read_text().replace('"maximum"', '"minimum"')
        (folder / "records.jsonl").write_text(lines)
        assert "is no record of an experiment" in plain(open_page("curves", result=folder.name))
        (home / "curves" / "worse").mkdir()
        (home / "curves" / "worse" / "timing.json").write_text("[1, 2")
        assert not open_page("curves", experiment="Synthetic").exception
        assert not open_page("runs", show="curves").exception

    def test_a_hostile_title_is_text(self, home):
        about = read_curves(paths.asset("curves", "isotropic-tokens")).about
        hostile = type(about)(about.settings, "<img src=x> ![b](http://127.0.0.1:9/x) $x$", about.arguments)
        with Records(home / "curves" / "hostile", hostile):
            pass
        at = open_page("runs", show="curves", result="hostile")
        assert not any("<img" in m.value for m in at.markdown)
        assert not open_page("curves", result="hostile").exception


class TestRuns:
    def test_a_kept_selection_is_listed_opened_and_deleted(self, tmp_path):
        out = tmp_path / "picks.jsonl"
        done = command_line("select", "demo", "--budget", 7, "--out", out, "--json")
        run = json.loads(done.stdout)["run"]
        at = open_page("runs", run=run)
        assert [h.value for h in at.header] == [f"Selection {run}"]
        assert "7 of 1,250 sentences" in text_of(at)
        assert at.dataframe[1].value["index"].tolist() == select("demo", budget=7).indices.tolist()
        shipped = [r.kind for r in catalogue.runs() if r.shipped]
        assert f"Nothing is running; 1 selection, {shipped.count('finetuned')} fine-tunings, 10 curves and 3 arenas" in text_of(
            at
        )
        assert f" kept, {len(shipped)} of them shipped" in text_of(at)
        label(at.button, "Yes, delete").click().run()
        assert "No selection is kept yet" in text_of(at)
        assert f"Nothing is running; {shipped.count('finetuned')} fine-tunings, 10 curves and 3 arenas" in text_of(at)

    def test_a_phone_gets_cards_that_keep_every_word_instead_of_tables(self, monkeypatch):
        monkeypatch.setattr("fishersft.ui.components.touch", lambda: True)
        at = open_page("runs", show="curves")
        assert not at.dataframe
        assert [b.label for b in at.button if b.key.startswith("open-")] == ["Shown below", *["Open below"] * 9]
        assert "Synthetic pool, isotropic rows, dimension d and classes L moved at n = 1,000" in plain(at)
        next(b for b in at.button if b.key == "open-sweep").click().run()
        assert [h.value for h in at.header] == ["Curves sweep"]
        at = open_page("curves", part="Table")
        assert not at.dataframe
        said = [m.value for m in at.markdown]
        heads = [head for head, rest in itertools.pairwise(said) if "slope" in rest]
        assert heads == [f"**{label_of(s)}**" for s in SELECTORS] * 2
        assert [e.label for e in at.expander] == ["1 more", "1 more"]

    def test_a_link_to_a_run_that_is_gone_says_so(self):
        jobs.start(["curves", "synthetic", "--budgets", "x"], kind="curves", title="t")
        assert "There is no job 'ffff' here" in open_page("runs", job="ffff").warning[0].value.replace("\\", "")

    def test_own_curves_can_be_deleted_and_shipped_ones_cannot(self):
        folder = made()
        at = open_page("runs", show="curves", result=folder.name)
        label(at.button, "Yes, delete").click().run()
        assert not folder.exists()
        assert "Yes, delete" not in [b.label for b in open_page("runs", show="curves", result="imbalanced-tokens").button]

    def test_on_a_hosted_demo_everything_can_be_read_and_nothing_changed(self, monkeypatch):
        monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
        assert not {"Yes, delete"} & {b.label for b in open_page("runs", show="curves", result="sweep").button}
        at = open_page("curves", experiment="Synthetic", part="Run your own")
        assert "runs nothing" in text_of(at)
        assert not at.number_input
        assert not {"Run as a job", "Cancel"} & {b.label for b in at.button}


@pytest.mark.parametrize("experiment", ["Two worlds", "Synthetic"])
def test_without_a_chosen_selector_the_page_says_how_to_see_a_curve(experiment):
    at = open_page("curves", experiment=experiment, part="Difference")
    at.button_group(key=next(row.key for row in at.button_group if row.key.startswith("selectors-"))).set_value([]).run()
    assert not at.exception, at.exception
    assert "Choose a selector under Options" in text_of(at)
