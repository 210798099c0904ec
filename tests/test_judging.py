"""Judging a run: who meets whom, what is kept, a real kill -9, blind votes, the command and its sentences."""

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from fishersft.errors import JudgeError, StoreError
from fishersft.finetuning.run import read_run
from fishersft.judge import judging, verdicts, votes
from fishersft.judge.base import FIRST, SECOND, Judge, Judgment, TextPair, key_of

from .conftest import command_line
from .judged_run import make_run
from .scripted_chat import ScriptedChat, says
from .test_judge_llm import better, shown


class LongerWins(Judge):
    """Prefers the longer text and counts what it reads."""

    name, label, identity = "longer", "longer", "longer"
    asked = 0

    def read(self, shown):
        for number, one in enumerate(shown):
            self.asked += 1
            yield number, Judgment(FIRST if len(one.first) > len(one.second) else SECOND)


@pytest.fixture
def run(tmp_path):
    folder = make_run(
        tmp_path / "run", selectors=("token_od", "uniform", "longest"), budgets=(50, 100), seeds=(0, 1), model=False
    )
    return read_run(folder)


@pytest.fixture
def chat():
    servers = []

    def start(script):
        servers.append(ScriptedChat(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def judge_everything(run, judge, **options):
    return judging.judge_run(run, judge, judging.comparisons_of(run, judging.matches_of(run)), **options)


class TestWhoMeets:
    def test_by_default_every_pair_at_equal_budget_and_seed(self, run):
        found = judging.matches_of(run)
        assert len(found) == 3 * 2 * 2 and {m.a for m in found} | {m.b for m in found} == {"token_od", "uniform", "longest"}
        for m in found:
            assert m.cell_a.split("-")[1:] == m.cell_b.split("-")[1:] == [str(m.budget), f"s{m.seed}"]

    def test_against_one_only_and_at_one_budget(self, run):
        found = judging.matches_of(run, against="uniform", budgets=[100])
        assert {(m.a, m.b, m.budget) for m in found} == {("token_od", "uniform", 100), ("longest", "uniform", 100)}

    @pytest.mark.parametrize("whole", ["base", "all"])
    def test_base_and_all_meet_every_model_once(self, run, whole):
        found = judging.matches_of(run, against=whole)
        assert sorted(m.cell_a for m in found) == sorted(n for n in run.models if n not in ("base", "all-s0"))
        assert all(m.budget in (50, 100) for m in found)

    def test_a_cell_that_is_not_finished_does_not_meet(self, run):
        (run.folder / "cells" / "uniform-50-s0" / "cell.json").unlink()
        assert len(judging.matches_of(run)) == 10

    def test_the_work_is_done_prompt_after_prompt(self, run):
        found = judging.comparisons_of(run, judging.matches_of(run), prompts=2)
        assert [c.prompt for c in found] == [0] * 12 + [1] * 12

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"against": "nobody"}, "no finished model of 'nobody'.*token_od, uniform"),
            ({"pairs": [("token_od", "<b>x</b>")]}, "no finished model of '<b>x</b>'"),
            ({"budgets": [7]}, "no models at 7 sentences; it has 50, 100"),
            ({"pairs": [("token_od", "token_od")]}, "Nothing in the run"),
        ],
    )
    def test_what_is_not_there_gets_a_sentence(self, run, options, sentence):
        with pytest.raises(JudgeError, match=sentence):
            judging.matches_of(run, **options)


class TestWhatIsKept:
    def test_judging_again_asks_nobody_and_says_the_same(self, run):
        first, again = LongerWins(), LongerWins()
        found = judge_everything(run, first)
        assert judge_everything(run, again) == found and first.asked > 0 and again.asked == 0

    def test_verdicts_can_be_had_without_the_judge(self, run):
        found = judge_everything(run, LongerWins())
        (about,) = verdicts.judges_of(run)
        comparisons = judging.comparisons_of(run, judging.matches_of(run))
        assert about["name"] == "longer" and judging.verdicts_of(run, about, comparisons) == found

    def test_a_text_that_was_generated_anew_is_asked_again(self, run):
        judge_everything(run, LongerWins())
        path = run.folder / "cells" / "uniform-50-s0" / "texts.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[0]["text"] = " something new"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        again = LongerWins()
        judge_everything(run, again)
        assert again.asked == 4  # two rivals, two orders

    def test_a_shipped_run_shows_its_verdicts_without_a_store(self, run, monkeypatch, tmp_path):
        found = judge_everything(run, LongerWins())
        judging.export(run, run.folder / verdicts.EXPORT)
        monkeypatch.setenv("FISHERSFT_HOME", str(tmp_path / "elsewhere"))
        (about,) = verdicts.judges_of(run)
        comparisons = judging.comparisons_of(run, judging.matches_of(run))
        assert judging.verdicts_of(run, about, comparisons) == found
        assert not (tmp_path / "elsewhere").exists()

    def test_an_export_says_whose_texts_were_read_and_the_judges_words(self, run):
        class Says(LongerWins):
            def read(self, shown):
                return ((k, Judgment(r.said, {"reply": f"{shown[k].first[:9]}?"})) for k, r in super().read(shown))

        judge_everything(run, Says())
        judging.export(run, run.folder / verdicts.EXPORT)
        lines = verdicts.exported(run, "reading")
        texts = {name: {g.prompt: g.text for g in run.texts(name)} for name in run.models}
        of_models = [line for line in lines if "first" in line["of"]]
        for line in of_models:
            of = line["of"]
            assert line["value"]["facts"]["reply"] == f"{texts[of['first']][of['prompt']][:9]}?"
            question = TextPair(run.prompts[of["prompt"]].text, *(texts[of[k]][of["prompt"]] for k in ("first", "second")))
            assert line["key"] == key_of(line["judge"], question.orders[0])
        assert of_models and {"known", "canary"} <= {key for line in lines for key in line["of"]}

    def test_broken_lines_of_an_export_are_skipped(self, run):
        judge_everything(run, LongerWins())
        path = run.folder / verdicts.EXPORT
        judging.export(run, path)
        before = len(verdicts.exported(run, "reading"))
        huge = {
            "kind": "reading",
            "key": "k",
            "value": {"said": "first", "facts": {"score_first": 10**400}},
        }  # no float is as large
        path.write_text(f"{path.read_text()}{json.dumps(huge)}\n")
        path.write_text('not json\n{"kind": 3}\n[]\n{"kind": "reading", "value": 1}\n\n' + path.read_text())
        assert len(verdicts.exported(run, "reading")) == before + 1
        assert verdicts.exported(run, "reading")[-1]["value"]["facts"] == {"score_first": math.inf}
        path.write_bytes(b"\xff\xfe\x00")
        assert verdicts.exported(run, "judge") == []

    def test_a_damaged_file_of_verdicts_is_set_aside_and_asked_again(self, run, home):
        judge_everything(run, LongerWins())
        (home / verdicts.FILE).write_bytes(b"no database" * 1000)
        again = LongerWins()
        judge_everything(run, again)
        assert again.asked > 0 and list(home.glob(f"{verdicts.FILE}.damaged-*"))


@pytest.mark.rare
@pytest.mark.slow
def test_a_kill_in_the_middle_costs_only_what_was_under_way(chat, tmp_path, home):
    """A real kill -9 of the command; the rest is asked, and the numbers are those of a judging that nothing stopped."""
    folder = make_run(tmp_path / "run", prompts=20, model=False, write=lambda c, k: f" {c[: 3 + k % 5]} wrote {k * 7 % 11} lines")

    answered, killed = [float("inf")], threading.Event()

    def script(request, count):
        if count > answered[0]:
            killed.wait(300)
            return None
        if "candidates" not in request["messages"][-1]["content"]:
            return says("no")
        (one, first), (other, second) = shown(request)
        return better(one if len(first) >= len(second) else other)

    server = chat(script)
    options = ["judge", str(folder), "--judge", "llm", "--base-url", server.base_url, "--model", "m", "--json"]
    whole = command_line(*options, FISHERSFT_HOME=str(tmp_path / "other"))
    assert whole.returncode == 0, whole.stderr
    asked_for_all = len(server.requests)
    server.requests.clear()
    answered[0] = 10
    command = [sys.executable, "-m", "fishersft", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})
    run = read_run(folder)

    def kept():
        about = verdicts.judges_of(run)
        return len(verdicts.StoredJudgments(run, about[0]["id"])) if about else 0

    until = time.monotonic() + 300
    while kept() < 10 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    answered[0] = float("inf")
    killed.set()
    before = kept()
    assert before == 10 < asked_for_all
    time.sleep(0.1)
    server.requests.clear()
    again = command_line(*options)
    assert again.returncode == 0, again.stderr
    assert len(server.requests) == asked_for_all - before
    first, second = json.loads(whole.stdout), json.loads(again.stdout)
    assert {**first, "spent": 0} == {**second, "spent": 0}


def pairs_only(run, seed):
    """The queue without its checks."""
    return [ballot for ballot in votes.vote_queue(run, seed=seed) if not ballot.check]


class TestBlindVotes:
    def test_a_vote_is_kept_and_locked_and_only_then_names_appear(self, run):
        ballot = pairs_only(run, 1)[0]
        assert not any(name in json.dumps([ballot.id, ballot.prompt]) for name in ("token_od", "uniform", "longest"))
        cast = votes.cast(run, ballot, "1")
        assert {cast.left, cast.right} == {cast.judged.a, cast.judged.b}
        assert cast.judged.verdict.winner == ("b" if ballot.swapped else "a")
        with pytest.raises(JudgeError, match="locked"):
            votes.cast(run, ballot, "2")
        assert [v.verdict.winner for v in votes.votes(run)] == [cast.judged.verdict.winner]

    def test_the_text_on_the_left_is_the_one_named_left(self, run):
        for ballot in pairs_only(run, 2)[:6]:
            cast = votes.cast(run, ballot, "0")
            assert cast.left.replace("_", " ") in ballot.left and cast.right.replace("_", " ") in ballot.right

    def test_a_vote_that_is_no_object_is_dropped_and_the_others_count(self, run, home):
        votes.cast(run, pairs_only(run, 1)[0], "1")
        with sqlite3.connect(home / verdicts.FILE) as db:
            for number, value in enumerate(["[1]", "5", "null", '"x"', "{half", "[" * 100_000, b"\xff"]):
                db.execute("INSERT INTO votes VALUES (?, 'me', ?, ?, 1.0)", (run.id, f"b{number}", value))
        assert len(verdicts.kept_votes(run)) == len(votes.votes(run)) == 1

    def test_another_voter_may_vote_on_the_same_pair(self, run):
        ballot = pairs_only(run, 1)[0]
        votes.cast(run, ballot, "1", voter="one")
        votes.cast(run, ballot, "2", voter="two")
        assert len(votes.votes(run)) == 2

    def test_the_queue_goes_on_where_it_was_left(self, run):
        queue = votes.vote_queue(run, seed=1)
        for ballot in queue[:3]:
            votes.cast(run, ballot, "0")
        assert votes.open_ballots(run, votes.vote_queue(run, seed=1)) == queue[3:]

    def test_two_at_once_leave_one_vote(self, run):
        ballot, said = pairs_only(run, 1)[0], []

        def vote(choice):
            try:
                votes.cast(run, ballot, choice)
                said.append("kept")
            except JudgeError:
                said.append("locked")

        threads = [threading.Thread(target=vote, args=(c,)) for c in "1212"]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(said) == ["kept", "locked", "locked", "locked"] and len(votes.votes(run)) == 1

    def test_agreement_with_a_judge_by_hand(self, run):
        judged = judge_everything(run, LongerWins())
        winner = {(j.a, j.b, j.budget, j.seed, j.prompt): j.verdict.winner for j in judged}
        comparisons = judging.comparisons_of(run, judging.matches_of(run))
        for number, ballot in enumerate(pairs_only(run, 0)[:16]):
            one = comparisons[ballot.comparison]
            m = one.match
            right = winner[m.a, m.b, m.budget, m.seed, one.prompt]
            side = {"tie": "0"}.get(right) or ("1" if (right == "a") != ballot.swapped else "2")
            votes.cast(run, ballot, side if number < 12 else {"1": "2", "2": "1", "0": "1"}[side])
        found = votes.agreement(votes.votes(run), judged)
        assert found.n == 16 and found.observed == 0.75 and found.low <= found.kappa <= found.high

    def test_people_are_examined_by_the_checks_among_their_pairs(self, run):
        assert votes.examination(run).right == {} and "No pair with a known answer" in votes.examination(run).refusal
        checks = [ballot for ballot in votes.vote_queue(run, seed=0) if ballot.check]
        assert sorted(ballot.check for ballot in checks) == [
            "shuffled",
            "untuned",
        ]  # all prompts of this run have the same own text
        for number, ballot in enumerate(checks):
            votes.cast(run, ballot, ("2" if ballot.swapped else "1") if number else "0")
        found = votes.examination(run)
        assert {kind: rate.value for kind, rate in found.right.items()} == {
            checks[0].check: 0.0,
            checks[1].check: 1.0,
        }  # 0 is no pick
        assert found.failed == ["untuned", "shuffled"]
        assert votes.votes(run) == []

    def test_a_ballot_of_other_texts_is_refused(self, run):
        other = votes.Ballot("x" * 24, 0, 0, "p", "l", "r", False)
        with pytest.raises(JudgeError, match="texts of this pair have changed"):
            votes.cast(run, other, "1")

    def test_votes_travel_with_an_export(self, run, monkeypatch, tmp_path):
        votes.cast(run, pairs_only(run, 0)[0], "1")
        judging.export(run, run.folder / verdicts.EXPORT)
        monkeypatch.setenv("FISHERSFT_HOME", str(tmp_path / "elsewhere"))
        assert len(votes.votes(run)) == 1


class TestTheCommand:
    def test_the_reference_judge_tells_rates_ranking_and_the_papers_numbers(self, tmp_path):
        selectors = ("token_od", "uniform", "density")
        folder = make_run(tmp_path / "run", selectors=selectors, budgets=(100,), source="shakespeare", prompts=4)
        done = command_line("judge", folder, "--device", "cpu", "--out", tmp_path / "v.jsonl")
        assert done.returncode == 0, done.stderr
        row = next(line for line in done.stdout.splitlines() if line.startswith("| Token Od | Uniform | 100"))
        assert row.endswith("| 4 | 80% |") and "%" in row
        for part in ("not ours", "Bradley-Terry", "order cannot matter by construction", "785 prompts", "reference model (ours)"):
            assert part in done.stdout
        kinds = [json.loads(line)["kind"] for line in (tmp_path / "v.jsonl").read_text().splitlines()]
        assert (
            kinds[0] == "judge" and kinds.count("reading") == 4 * (3 + 4) * 2
        )  # three comparisons and four known pairs a prompt

    def test_json_has_every_number(self, tmp_path):
        done = command_line("judge", make_run(tmp_path / "run"), "--against", "base", "--device", "cpu", "--json")
        told = json.loads(done.stdout)
        assert done.returncode == 0 and told["judge"]["name"] == "reference" and told["paper"] == {}
        assert {(line["a"], line["b"]) for line in told["lines"]} == {("token_od", "base"), ("uniform", "base")}
        assert told["lines"][0]["win_rate"]["n"] == 6 and "identity" not in told["judge"]

    @pytest.mark.rare
    @pytest.mark.slow
    def test_a_folder_of_a_model_judges_and_is_found_unable(self, tmp_path):
        done = command_line("judge", make_run(tmp_path / "run", prompts=1), "--judge", "mini", "--device", "cpu")
        assert done.returncode == 0 and "This judge cannot judge these texts" in done.stdout, done.stderr
        assert "0% of its probability on the two labels" in done.stdout and "with a reply that could not be read" in done.stdout

    def test_a_run_is_found_by_its_id(self, tmp_path, home):
        make_run(home / "runs" / "abc123", prompts=2)
        assert command_line("judge", "abc", "--device", "cpu").returncode == 0

    def test_an_empty_generation_is_counted_and_loses(self, tmp_path):
        write = lambda cell, k: "" if cell.startswith("uniform") and k < 2 else f" {cell} wrote {k}"  # noqa: E731
        done = command_line("judge", make_run(tmp_path / "run", write=write), "--device", "cpu", "--json")
        (line,) = json.loads(done.stdout)["lines"]
        assert line["counts"]["empty"] == 2 and line["won"] >= 2

    def test_before_a_server_elsewhere_is_asked_money_is_spoken_of(self, tmp_path, chat, monkeypatch):
        server = chat(lambda request, _: says("no label"))
        options = ["judge", make_run(tmp_path / "run", model=False), "--judge", "llm", "--model", "m", "--price-in", "2000"]
        options += ["--price-out", "8000", "--base-url", server.base_url]
        for more, sentence in [([], "pass --yes"), (["--yes", "--max-cost", "0.5"], "is above --max-cost 0.5")]:
            done = command_line(*options, *more)
            assert done.returncode == 2 and sentence in done.stderr and server.requests == []
        done = command_line(*options, "--yes", "--max-cost", "5000", "--json")
        questions = (
            2 * 6 + 2 * 4 * 6 + 2 * 20 + 2 * 20 + 2 * 6
        )  # orders of pairs, known pairs, canary; its texts, the models' texts
        assert done.returncode == 0 and json.loads(done.stdout)["spent"]["readings"] == questions, done.stderr
        assert f"{questions} questions" in done.stderr and "dollars" in done.stderr

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--judge", "llm", "--model", "m"], "OPENAI_API_KEY"),
            (["--judge", "llm", "--base-url", "http://127.0.0.1:9/v1"], "--model NAME"),
            (["--judge", "llm", "--base-url", "here", "--model", "m"], "base_url"),
            (["--judge", "llm", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--max-cost", "1"], "--price-in"),
            (["--model", "m"], "belong to --judge llm"),
            (["--judge", "/no/such/folder"], "no model folder"),
            (["--pairs", "token_od"], "token_od:uniform"),
            (["--budget", "many"], "whole numbers"),
            (["--against", "nobody"], "no finished model of 'nobody'"),
        ],
    )
    def test_mistakes_get_one_sentence(self, tmp_path, monkeypatch, options, sentence):
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        done = command_line("judge", make_run(tmp_path / "run"), *options)
        assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr, done.stderr

    def test_a_run_without_its_reference_model_says_what_else_there_is(self, tmp_path):
        done = command_line("judge", make_run(tmp_path / "run", model=False))
        assert done.returncode == 2 and "another --judge" in done.stderr

    def test_a_run_of_another_version_says_which(self, tmp_path):
        done = command_line("judge", make_run(tmp_path / "run", version=9))
        assert done.returncode == 2 and "another version" in done.stderr

    @pytest.mark.parametrize("damage", ['{"prompt": 0}\n', "[1]\n", "not json\n"])
    def test_damaged_files_get_a_sentence(self, tmp_path, damage):
        folder = make_run(tmp_path / "run")
        (folder / "cells" / "uniform-50-s0" / "texts.jsonl").write_text(damage)
        done = command_line("judge", folder, "--device", "cpu")
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr

    def test_a_run_that_is_not_there_gets_a_sentence(self):
        with pytest.raises(StoreError, match="There is no run"):
            read_run("nothing")
