"""Judging a run of fine-tuning: which models meet, what the judge is asked, and which of its verdicts count.

Questions are asked prompt after prompt, so that a judging that was stopped is balanced; what is stored is not asked again.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from fishersft.errors import JudgeError
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel, read_run, write_lines
from fishersft.judge import competence
from fishersft.judge.base import Judge, TextPair, Verdict, key_of, key_of_text, settled, without_asking
from fishersft.judge.form import LLM, PAPER, REFERENCE, JudgeForm
from fishersft.judge.judges import LLMJudge, LocalJudge
from fishersft.judge.questions import domain_of
from fishersft.judge.reference import ReferenceJudge
from fishersft.judge.report import Judged, Report
from fishersft.judge.verdicts import StoredJudgments, held_open, judges_of, kept_votes, note_judge
from fishersft.lm.chat_server import OPENAI, needs_key
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.store.artifacts import Store

Progress = Callable[[int, int], None]
DOMAINS = {"shakespeare": "Shakespeare", "sherlock": "Sherlock Holmes", "demo": "English"}  # as a judge's prompt calls them
BEHIND = 0.5  # of the judgments of the match that has most: a match with fewer was not asked about


@dataclass(frozen=True)
class Match:
    """Two finished models of a run whose texts are compared; a and b are selectors, `cell_a` and `cell_b` the models."""

    a: str
    b: str
    budget: int | None
    seed: int | None
    cell_a: str
    cell_b: str


@dataclass(frozen=True)
class PairwiseComparison:
    """The texts of a match after one prompt; `longer` is how many tokens a's text has more than b's."""

    match: Match
    prompt: int
    pair: TextPair
    longer: int

    def judged(self, verdict: Verdict) -> Judged:
        m = self.match
        return Judged(m.a, m.b, m.budget, m.seed, self.prompt, verdict, self.longer)


Comparisons = Sequence[PairwiseComparison]


def matches_of(
    run: FineTuneRun,
    *,
    against: str | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    budgets: Sequence[int] | None = None,
) -> list[Match]:
    """Which models meet: by default all selectors against each other, at equal budget and seed.

    With `against`, which may be `base` or `all`, every other selector meets that one; `pairs` and `budgets` name what to compare.
    JudgeError where a selector or a budget is not in the run, or nothing can be compared.
    """
    cells = run.models
    there = list(dict.fromkeys(c.selector for c in cells.values()))
    for name in [*([against] if against else []), *itertools.chain(*(pairs or ()))]:
        if name not in there:
            raise JudgeError(f"The run {run.id} has no finished model of '{name[:80]}'; it has {', '.join(there) or 'none'}.")
    tuned = [name for name in there if name not in (BASE, ALL)]
    wanted = [*(pairs or ()), *((name, against) for name in tuned if against and name != against)]
    if not (pairs or against):
        wanted = list(itertools.combinations(tuned, 2))
    known = {c.budget for c in cells.values() if c.budget is not None}
    if unknown := set(budgets or ()) - known:
        raise JudgeError(
            f"The run {run.id} has no models at {min(unknown)} sentences; it has {', '.join(map(str, sorted(known)))}."
        )
    found = [match for a, b in wanted if a != b for match in _met(cells, a, b, budgets)]
    if not found:
        raise JudgeError(
            f"Nothing in the run {run.id} can be compared: it takes two finished selectors at the same budget and seed, "
            "or --against base."
        )
    return found


def every_comparison(run: FineTuneRun) -> list[PairwiseComparison]:
    """Everyone against everyone, the untuned and the whole pool's model included."""
    there = list(dict.fromkeys(c.selector for c in run.models.values()))
    return comparisons_of(run, matches_of(run, pairs=list(itertools.combinations(there, 2)))) if len(there) > 1 else []


def _met(cells: dict[str, TunedModel], a: str, b: str, budgets: Sequence[int] | None) -> Iterator[Match]:
    """Models of a and b at equal budget and seed; base and all, which have no budget, meet everyone."""
    free = BASE in (a, b) or ALL in (a, b)
    sides = ([cell for cell in cells.values() if cell.selector == name] for name in (a, b))
    for one, other in itertools.product(*sides):
        budget = other.budget if one.budget is None else one.budget
        seed = other.seed if one.seed is None else one.seed
        equal = free or (one.budget, one.seed) == (other.budget, other.seed)
        if equal and (not budgets or budget in budgets) and not (free and _doubled(cells, one, other)):
            yield Match(a, b, budget, seed, one.name, other.name)


def _doubled(cells: dict[str, TunedModel], one: TunedModel, other: TunedModel) -> bool:
    """Whether `all` has a model of the very seed that the other has, and this is not it."""
    for whole, tuned in ((one, other), (other, one)):
        if whole.selector == ALL and tuned.selector != BASE:
            seeds = [c.seed for c in cells.values() if c.selector == ALL]
            return whole.seed != (tuned.seed if tuned.seed in seeds else seeds[0])
    return False


def comparisons_of(run: FineTuneRun, matches: Sequence[Match], prompts: int | None = None) -> list[PairwiseComparison]:
    """The texts to compare, prompt after prompt; `prompts` takes only the first so many.  JudgeError where the run has no
    prompts or no texts, StoreError where its files are damaged."""
    try:
        asked = run.prompts[:prompts] if prompts else run.prompts
        texts = {c: {g.prompt: g for g in run.texts(c)} for m in matches for c in (m.cell_a, m.cell_b)}
    except (KeyError, TypeError, AttributeError) as error:
        raise JudgeError(f"The prompts or texts of the run in {run.folder} are not in the layout of this version.") from error
    found = []
    for prompt in asked:
        for match in matches:
            a, b = (texts[cell].get(prompt.number) for cell in (match.cell_a, match.cell_b))
            if a is not None and b is not None:
                pair = TextPair(prompt.text, a.text, b.text)
                found.append(PairwiseComparison(match, prompt.number, pair, a.tokens - b.tokens))
    if not found:
        raise JudgeError(f"The run {run.id} has no generated texts to compare; run fishersft finetune with prompts.")
    return found


def asked_for(run: FineTuneRun, form: JudgeForm) -> list[PairwiseComparison]:
    """The comparisons that a form names.  Raises as `matches_of` and `comparisons_of`."""
    matches = matches_of(run, against=form.against, pairs=form.selectors, budgets=form.budget)
    return comparisons_of(run, matches, form.prompts)


def judge_of(run: FineTuneRun, form: JudgeForm, on_wait: Callable[[str], None] | None = None) -> Judge:
    """The judge that a form names; its weights are loaded with the first question.

    JudgeError where the run kept no model tuned on the whole pool or no model is named for a server; ModelError, ParameterError
    and MissingExtra where the model or server cannot be had.
    """
    domain = form.domain or domain_of_run(run)
    if form.judge == LLM:
        url = form.base_url or usual_server()
        more: dict[str, Any] = {"prices": form.prices, "patience": form.wait, "on_wait": on_wait, "protocol": form.protocol}
        return LLMJudge.at(url, form.model, domain, **more)
    if form.judge != REFERENCE:
        return LocalJudge(find_model(form.judge.removeprefix("hf:")), domain_of(domain), form.device, form.protocol)
    if (path := run.reference_model) is None:
        raise JudgeError(
            f"The run {run.id} has no finished model tuned on the whole pool, which the reference judge reads with; "
            "resume the run, or take another --judge."
        )
    sampling = run.about.get("prompts")
    most = sampling.get("new_tokens") if isinstance(sampling, dict) else 0
    own = tuple((p.text, p.continuation) for p in run.prompts)
    most = most if isinstance(most, int) and most > 0 else 0
    return ReferenceJudge(_untuned(run), find_model(path), own, form.device, most)


def _untuned(run: FineTuneRun) -> ModelFolder:
    """The files of the model that the run tuned; JudgeError where they are others now."""
    about = run.about["model"]
    found = find_model(about["name"], about.get("revision") or None)
    if found.fingerprint != about.get("fingerprint"):
        raise JudgeError(
            f"The run {run.id} tuned another model than the one that '{about['name'][:80]}' names now, and the reference judge "
            "compares with the untuned one; put that model back, or take another --judge."
        )
    return found


def usual_server() -> str:
    return os.environ.get("OPENAI_BASE_URL") or OPENAI


def domain_of_run(run: FineTuneRun) -> str:
    """What kind of text its corpus is, for a judge's prompt: as the run says, else after the corpus."""
    if domain := run.about.get("domain"):
        return str(domain)
    return DOMAINS.get(run.source, PurePath(run.source).stem or "English")


def judge_texts(
    run: FineTuneRun | str | Path,
    judge: Judge | JudgeForm | str = REFERENCE,
    *,
    against: str = "",
    out: Path | None = None,
    confirm: Callable[[str], None] | None = None,
    on_progress: Progress | None = None,
    on_wait: Callable[[str], None] | None = None,
    store: Store | None = None,
) -> Report:
    """Compare what the models of a run wrote, by default every selector's texts with every other's.

    Args:
        judge: "reference", a folder or `hf:ID` of an instruction-tuned model, a `JudgeForm`, or a `Judge` of your own.
        against: compare with this selector only, or with `base` or `all`.
        out: a file for every judgment and vote on the run, as JSON lines.
        confirm: called with a sentence on the cost before a paid server is asked; it raises in order to stop.
        on_progress, on_wait: called with the number of verdicts and of those asked for; with a sentence when waiting begins.

    JudgeError where there is nothing to compare, no such judge, or a cost above the cap; StoreError or ModelError where the run
    cannot be read or the model or server does not answer.
    """
    run = run if isinstance(run, FineTuneRun) else read_run(run, store)
    form = judge if isinstance(judge, JudgeForm) else JudgeForm(against=against, judge=judge if isinstance(judge, str) else "")
    comparisons = asked_for(run, form)
    asked = judge if isinstance(judge, Judge) else judge_of(run, form, on_wait)
    if isinstance(asked, LLMJudge):
        if needs_key(asked.server.base_url):
            raise JudgeError(
                f"The server at {asked.server.base_url[:100]} wants a key; put it into the environment variable OPENAI_API_KEY."
            )
        if confirm is not None and not asked.free and any(left := missing(run, asked, comparisons, store)):
            cost = asked.estimate(*left)
            if asked.above_cap(cost):
                hint = f"is above --max-cost {asked.prices.most:g}; raise it, or lower --prompts or --budget."
                raise JudgeError(f"Asking {asked.in_words(cost)}, {hint}")
            confirm(f"{asked.in_words(cost)}.")
    judged = tuple(judge_run(run, asked, comparisons, store=store, on_progress=on_progress))
    if out:
        export(run, out, store)
    about = {**asked.about(), **({"spent": asked.cost} if isinstance(asked, LLMJudge) else {})}
    return _report(run, about, judged, len(judged), store)


def judge_run(
    run: FineTuneRun, judge: Judge, comparisons: Comparisons, *, store: Store | None = None, on_progress: Progress | None = None
) -> list[Judged]:
    """The verdicts, in the comparisons' order; each judgment is stored as it arrives, and the same call goes on from there.

    First the judge is examined with pairs whose answer is known, and last it is asked which of the texts speak to it.
    """
    about = judge.about()
    note_judge(run, about, store)
    kept = StoredJudgments(run, about["id"], store)
    pairs, texts = competence.questions(run, reads_words=judge.reads_words)
    shown = _texts(comparisons) if judge.reads_words and judge.protocol != PAPER else []
    every = len(pairs) + len(texts) + len(comparisons) + len(shown)
    tell = on_progress or (lambda *_: None)
    tell(0, every)
    with held_open(store):
        for done in competence.examine(run, judge, kept):
            tell(done, every)
        done = len(pairs) + len(texts)
        for more, _ in enumerate(judge.compare_all([c.pair for c in comparisons], kept), 1):
            tell(done + more, every)
        for more in competence.ask_whether(judge, shown, kept):
            tell(done + len(comparisons) + more, every)
        tell(every, every)
    return verdicts_of(run, about, comparisons, store)


def _texts(comparisons: Comparisons) -> list[str]:
    """The different texts that a judge is shown, which may speak to it."""
    return list(dict.fromkeys(t for c in comparisons if without_asking(c.pair) is None for t in (c.pair.first, c.pair.second)))


def missing(
    run: FineTuneRun, judge: Judge, comparisons: Comparisons, store: Store | None = None
) -> tuple[list[TextPair], list[str]]:
    """What the judge would still have to read: pairs, each order once, and texts that may speak to it."""
    kept = StoredJudgments(run, judge.id, store)
    pairs, texts = competence.questions(run, reads_words=judge.reads_words)
    asked = {key_of(competence.examined_as(judge.id), order): order for pair in pairs for order in pair.orders}
    pairs = [c.pair for c in comparisons if without_asking(c.pair) is None]
    asked |= {key_of(judge.id, order): order for pair in pairs for order in pair.orders}
    texts = [*texts, *_texts(comparisons)] if judge.reads_words and judge.protocol != PAPER else []
    return (
        [order for key, order in asked.items() if key not in kept],
        [text for text in dict.fromkeys(texts) if key_of_text(judge.id, text) not in kept],
    )


def verdicts_of(run: FineTuneRun, about: dict[str, Any], comparisons: Comparisons, store: Store | None = None) -> list[Judged]:
    """Verdicts from the stored judgments of a judge (one of `judges_of`); pairs that it has not read are left out."""
    kept = StoredJudgments(run, str(about["id"]), store)
    every = ((c, settled(c.pair, kept, str(about["id"]), reads_words=bool(about["reads_words"]))) for c in comparisons)
    return [c.judged(verdict) for c, verdict in every if verdict is not None]


def counted_verdicts(kept: Sequence[Judged], every: Comparisons) -> tuple[list[Judged], int]:
    """The verdicts of the matches that a judge was asked about, and the number of comparisons in those matches.

    Some verdicts do not show that a judge was asked: identical and empty texts are settled without one, and two models that
    wrote the same share a judgment.  Work is done prompt after prompt, so a match far behind the others was not asked about;
    and in a match that is half read, what needed no judge counts only up to the prompt that was reached.
    """
    planned = Counter((c.match.a, c.match.b, c.match.budget, c.match.seed) for c in every)
    groups: dict[tuple[Any, ...], list[Judged]] = {}
    for verdict in kept:
        groups.setdefault(verdict.subject[:4], []).append(verdict)
    read = {key: [v.prompt for v in group if v.verdict.how == "asked"] for key, group in groups.items()}
    most = max((len(prompts) for prompts in read.values()), default=0)
    out: set[int] = set()
    asked = 0
    for key, group in groups.items():
        whole = len(group) == planned[key]
        if read[key] and (whole or len(read[key]) >= BEHIND * most):
            out |= {id(v) for v in group if whole or v.verdict.how == "asked" or v.prompt <= max(read[key])}
            asked += planned[key]
    return [v for v in kept if id(v) in out], asked


def report_of(run: FineTuneRun, about: dict[str, Any], every: Comparisons, store: Store | None = None) -> Report | None:
    """What is stored of a judge (one of `judges_of`), added up; None where none of its verdicts count."""
    judged, planned = counted_verdicts(verdicts_of(run, about, every, store), every)
    return _report(run, about, tuple(judged), planned, store) if judged else None


def _report(
    run: FineTuneRun, about: dict[str, Any], judged: tuple[Judged, ...], planned: int, store: Store | None = None
) -> Report:
    kept = StoredJudgments(run, str(about["id"]), store)
    examined = competence.examination(run, str(about["id"]), kept, reads_words=bool(about["reads_words"]))
    report = Report(judged, about, run.labels, run.source.lower(), planned, run.id, examined)
    told = competence.contradictions(run, [(line.a, line.b, line.budget, line.rate) for line in report.lines])
    return replace(report, contradictions=tuple(told))


def judge_reports(run: FineTuneRun | str | Path, store: Store | None = None) -> list[Report]:
    """What each judge that looked at a run said, the latest first; JudgeError or StoreError where it cannot be read."""
    run = run if isinstance(run, FineTuneRun) else read_run(run, store)
    judges = judges_of(run, store)
    every = every_comparison(run) if judges else []
    return [report for about in judges if (report := report_of(run, about, every, store))]


def export(run: FineTuneRun, path: Path, store: Store | None = None) -> int:
    """Write all that is stored about a run (judges, judgments, votes) as JSON lines; returns how many.

    The line of a judgment says which two models' texts were shown after which prompt; where several models wrote the same text,
    the first of them is named.  StoreError where the file cannot be written.
    """
    comparisons = every_comparison(run)
    lines: list[dict[str, Any]] = []
    for about in judges_of(run, store):
        kept = StoredJudgments(run, str(about["id"]), store)
        lines.append({"kind": "judge", "value": about})
        seen = set()
        for one in comparisons:
            cells = (one.match.cell_a, one.match.cell_b)
            for order, (first, second) in zip(one.pair.orders, (cells, cells[::-1]), strict=True):
                key = key_of(str(about["id"]), order)
                if key in kept and key not in seen:
                    seen.add(key)
                    of = {"prompt": one.prompt, "first": first, "second": second}
                    lines.append({"kind": "reading", "judge": about["id"], "key": key, "of": of, "value": kept[key]})
        for what, key in _other_keys(run, about, comparisons):
            if key in kept and key not in seen:
                seen.add(key)
                lines.append({"kind": "reading", "judge": about["id"], "key": key, "of": what, "value": kept[key]})
    lines += [{"kind": "vote", "value": vote} for vote in kept_votes(run, store)]
    write_lines(path, lines)
    return len(lines)


def _other_keys(run: FineTuneRun, about: dict[str, Any], comparisons: Comparisons) -> Iterator[tuple[dict[str, Any], str]]:
    """What is kept of a judge beside its judgments of models: the keys, and what each is about."""
    id = str(about["id"])
    for known in competence.known_pairs(run):
        for side, order in zip(("first", "second"), known.pair.orders, strict=True):
            yield {"known": known.kind, "prompt": known.prompt, "right": side}, key_of(competence.examined_as(id), order)
    pairs = competence.canary_pairs(run) if about["reads_words"] else []
    for number, pair in enumerate(pairs):
        for side, order in zip(("first", "second"), pair.orders, strict=True):
            yield {"canary": number, "instruction": side}, key_of(competence.examined_as(id), order)
    planted = [text for pair in pairs for text in (pair.first, pair.second)]
    for text in dict.fromkeys([*planted, *_texts(comparisons)] if about["reads_words"] else []):
        yield {"speaks": text[:60]}, key_of_text(id, text)
