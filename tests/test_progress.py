"""What a job reports is how much of the whole job is done: it never goes back, moves in small steps, and ends at the end."""

import itertools
import json
import os

import pytest
from click.testing import CliRunner

from fishersft.cli import commands
from fishersft.finetuning.plan import make_plan, parts_of
from fishersft.selectors import make_selectors
from fishersft.store import job_runner
from fishersft.store.job_runner import Share

from .judged_run import make_run
from .tiny_model import make_model

TOLD = {"embedding": (2, 1), "choosing": (1, 2), "fine-tuning": (5, 1)}
SMALL = ["--selectors", "token_od,uniform", "--budgets", "4,8"]


def test_the_stages_of_a_job_add_up_to_its_whole():
    share = Share(TOLD)
    told = [("embedding", 4), ("TokenOD: choosing", 2), ("Uniform: choosing", 2), ("fine-tuning", 5)]
    moved = [share.move(what, k, of) for what, of in told for k in range(of + 1)]
    assert moved == sorted(moved)
    assert moved[4] == pytest.approx(2 / 8)
    assert moved[7] == pytest.approx(2.5 / 8)
    assert moved[-1] == 1.0


def test_a_stage_that_was_finished_before_is_passed_over_and_a_repeated_one_never_goes_back():
    share = Share(TOLD)
    assert share.move("fine-tuning", 0, 5) == pytest.approx(3 / 8)
    assert share.move("embedding", 1, 2) == pytest.approx(3 / 8)  # of a target's texts, say
    share = Share(TOLD)
    assert [share.move("Uniform: choosing", k, 4) for k in (0, 4, 0, 4, 0, 4)][-1] == pytest.approx(3 / 8)
    assert [Share().move("measuring", k, 4) for k in (1, 4)] == [0.25, 1.0]


def test_the_parts_of_a_plan_grow_with_what_they_take():
    plan = make_plan(make_selectors(["token_od", "uniform"], []), budgets="50,100", seeds="2", epochs="3")
    parts = parts_of(plan, 1_000, 100)
    assert parts["fine-tuning"][0] == 9 * (2 * 2 * 150 + 1_000) + 10 * 100
    assert parts["choosing"][1] == 4
    known = make_plan(make_selectors(["uniform"], []), budgets="50", learning_rate="0.001")
    assert parts_of(known, 1_000, 100)["finding the learning rate"][0] == 0


@pytest.fixture
def moved(monkeypatch):
    """The shares that the commands of this process report, as if it were a job's."""
    seen = []

    class Noted:
        pid = os.getpid()

        def note(self, what, share):
            seen.append((what, share))

    monkeypatch.setattr(job_runner, "in_job", lambda: True)
    monkeypatch.setattr(job_runner, "_current", Noted())
    monkeypatch.setattr(job_runner, "_share", Share())
    return seen


@pytest.mark.parametrize("command", ["embed", "select", "compare", "curves", "timing", "finetune", "judge"])
def test_every_long_command_reports_the_whole_of_its_work(command, moved, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"Number {i} of the list, and its square is {i * i}.\n" for i in range(60)))
    tiny = ["--model", str(make_model(tmp_path / "tiny"))]
    measured = ["--runs", "2", "--workers", "1", "--budgets", "5,10", "--selectors", "token_od,uniform"]
    tuned = ["--epochs", "1", "--prompts", "1", "--new-tokens", "2", "--threads", "1", "--out", str(tmp_path / "run")]
    arguments = {
        "embed": ["embed", str(texts), *tiny],
        "select": ["select", str(texts), *tiny, "--budget", "5"],
        "compare": ["compare", str(texts), *tiny, "--selectors", "token_od,uniform", "--budget", "5"],
        "curves": ["curves", "teacher", str(texts), *tiny, "--dimension", "3", "--classes", "3", *measured],
        "timing": ["curves", "timing", "--sentences", "40", "--dimension", "3", "--box", "1"],
        "finetune": ["finetune", str(texts), *tiny, *SMALL, *tuned],
        "judge": ["judge", str(make_run(tmp_path / "judged"))] if command == "judge" else [],
    }[command]
    answer = CliRunner().invoke(commands, arguments)
    assert answer.exit_code == 0, answer.output
    shares = [share for _, share in moved]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert shares[0] < 0.6
    if command == "finetune":
        stages = list(dict.fromkeys(what.partition(",")[0] for what, _ in moved))
        assert stages[:2] == ["embedding", "finding the learning rate"] and stages[-1] == "fine-tuning"
        assert max(b - a for a, b in itertools.pairwise(shares)) < 0.4
        assert json.loads((tmp_path / "run" / "rate.json").read_text())["nats"]
