"""Judging a run of fine-tuning: which texts meet, in which order the work is done, and what became of it.

matches_of(run)               pairs of models: by default all selectors against each other, at equal budget and seed
judge_run(run, judge, ...)    asks what is not kept yet; prompt after prompt, so that what is stopped is balanced
verdicts_of(run, about, ...)  what is kept of a judge, without asking anybody and without loading a model
export(run, path)             readings, judges and votes as JSON lines, which a shipped run carries as verdicts.jsonl
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from fishersft.errors import JudgeError
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, Generated, TunedModel, read_run, write_lines
from fishersft.judge.base import Judge, Question, Shown, key_of, orders, settled, without_asking
from fishersft.judge.llm import domain_of
from fishersft.judge.local import LocalJudge
from fishersft.judge.reference import ReferenceJudge
from fishersft.judge.report import Judged, Report
from fishersft.judge.verdicts import KeptReadings, judges_of, kept_votes, note_judge
from fishersft.lm.folder import find_model
from fishersft.store.artifacts import Store

Progress = Callable[[int, int], None]
DOMAINS = {"shakespeare": "Shakespeare", "sherlock": "Sherlock Holmes", "demo": "English"}  # as a judge's prompt calls them


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
class Comparison:
    """One question of a match, and how much longer a's text is."""

    match: Match
    prompt: int
    question: Question
    longer: int

    def judged(self, verdict: Any) -> Judged:
        m = self.match
        return Judged(m.a, m.b, m.budget, m.seed, self.prompt, verdict, self.longer)


def matches_of(
    run: FineTuneRun,
    *,
    against: str | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    budgets: Sequence[int] | None = None,
) -> list[Match]:
    """Which models meet.

    Args:
        against: every other selector meets this one, which may be `base` or `all`.
        pairs: these pairs only.
        budgets: only at these.

    Raises:
        JudgeError: a selector or a budget is not in the run, or nothing can be compared.
    """
    cells = run.models
    there = list(dict.fromkeys(c.selector for c in cells.values()))
    for name in [*([against] if against else []), *itertools.chain(*(pairs or ()))]:
        if name not in there:
            raise JudgeError(f"The run {run.id} has no finished model of '{name[:80]}'; it has {', '.join(there) or 'none'}.")
    tuned = [name for name in there if name not in (BASE, ALL)]
    wanted = list(pairs or ())
    if against:
        wanted += [(name, against) for name in tuned if name != against]
    elif not pairs:
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


def _met(cells: dict[str, TunedModel], a: str, b: str, budgets: Sequence[int] | None) -> Iterator[Match]:
    """Models of a and b at equal budget and seed; base and all, which have no budget, meet everyone."""
    for one in (c for c in cells.values() if c.selector == a):
        for other in (c for c in cells.values() if c.selector == b):
            budget, seed = _common(one.budget, other.budget), _common(one.seed, other.seed)
            free = BASE in (a, b) or ALL in (a, b)
            equal = (one.budget == other.budget or free) and (one.seed == other.seed or free)
            if equal and (not budgets or budget in budgets) and not (free and _doubled(cells, one, other)):
                yield Match(a, b, budget, seed, one.name, other.name)


def _common(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _doubled(cells: dict[str, TunedModel], one: TunedModel, other: TunedModel) -> bool:
    """Whether `all` has a model of the very seed that the other has, and this is not it."""
    for whole, tuned in ((one, other), (other, one)):
        if whole.selector == ALL and tuned.selector != BASE:
            seeds = [c.seed for c in cells.values() if c.selector == ALL]
            return whole.seed != (tuned.seed if tuned.seed in seeds else seeds[0])
    return False


def comparisons_of(run: FineTuneRun, matches: Sequence[Match], prompts: int | None = None) -> list[Comparison]:
    """The questions, prompt after prompt; `prompts` takes only the first so many.

    Raises:
        JudgeError: the run has no prompts or no texts.
        StoreError: its files are damaged.
    """
    try:
        asked = run.prompts[:prompts] if prompts else run.prompts
        texts = {c: {g.prompt: g for g in run.texts(c)} for m in matches for c in (m.cell_a, m.cell_b)}
    except (KeyError, TypeError, AttributeError) as error:
        raise JudgeError(f"The prompts or texts of the run in {run.folder} are not as this version writes them.") from error
    found = [
        Comparison(m, p.number, Question(p.text, texts[m.cell_a][p.number].text, texts[m.cell_b][p.number].text), longer)
        for p in asked
        for m in matches
        if p.number in texts[m.cell_a] and p.number in texts[m.cell_b]
        for longer in [_longer(texts[m.cell_a][p.number], texts[m.cell_b][p.number])]
    ]
    if not found:
        raise JudgeError(f"The run {run.id} has no generated texts to compare; run fishersft finetune with prompts.")
    return found


def _longer(one: Generated, other: Generated) -> int:
    return one.tokens - other.tokens


def judge_run(
    run: FineTuneRun,
    judge: Judge,
    comparisons: Sequence[Comparison],
    *,
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> list[Judged]:
    """The verdicts, in the comparisons' order.  Each reading is kept as it comes; the same call goes on where it stopped."""
    about = judge.about()
    note_judge(run, about, store)
    kept = KeptReadings(run, about["id"], store)
    found: dict[int, Judged] = {}
    if on_progress:
        on_progress(0, len(comparisons))
    for number, verdict in judge.compare_all([c.question for c in comparisons], kept):
        found[number] = comparisons[number].judged(verdict)
        if on_progress:
            on_progress(len(found), len(comparisons))
    return [found[number] for number in sorted(found)]


def judge_all(run: FineTuneRun | str | Path, judge: Judge | str = "reference", *, against: str | None = None) -> Report:
    """`fishersft judge` from Python: every selector's texts against every other's.

    Args:
        run: or its folder or id.
        judge: "reference", a folder or `hf:ID` of an instruction-tuned model, or a `Judge`.
        against: only against this selector, or `base`, or `all`.

    Raises:
        JudgeError, StoreError, ModelError: one sentence.
    """
    run = run if isinstance(run, FineTuneRun) else read_run(run)
    if isinstance(judge, str):
        judge = reference_judge(run) if judge == "reference" else local_judge(run, judge)
    return Report(tuple(judge_run(run, judge, comparisons_of(run, matches_of(run, against=against)))))


def verdicts_of(
    run: FineTuneRun, about: dict[str, Any], comparisons: Sequence[Comparison], store: Store | None = None
) -> list[Judged]:
    """Verdicts that can be had from what is kept of a judge (one of `judges_of`); questions it has not read are left out."""
    kept = KeptReadings(run, str(about["id"]), store)
    found = []
    for one in comparisons:
        verdict = settled(one.question, kept, str(about["id"]), reads_words=bool(about["reads_words"]))
        if verdict is not None:
            found.append(one.judged(verdict))
    return found


def missing(run: FineTuneRun, judge: Judge, comparisons: Sequence[Comparison], store: Store | None = None) -> list[Shown]:
    """What the judge would still have to read, each order once."""
    kept = KeptReadings(run, judge.id, store)
    asked = [shown for one in comparisons if without_asking(one.question) is None for shown in orders(one.question)]
    return list({key: shown for shown in asked if (key := key_of(judge.id, shown)) not in kept}.values())


def reference_judge(run: FineTuneRun, device: str = "auto") -> ReferenceJudge:
    """The embedded judge of a run.

    Raises:
        JudgeError: the run kept no model tuned on the whole pool.
    """
    path = run.reference_model
    if path is None:
        raise JudgeError(
            f"The run {run.id} has no finished model tuned on the whole pool, which the reference judge reads with; "
            "resume the run, or take another --judge."
        )
    said = run.about.get("prompts")
    most = said.get("new_tokens") if isinstance(said, dict) else 0
    own = tuple((p.text, p.continuation) for p in run.prompts)
    return ReferenceJudge(find_model(path), own, device, most if isinstance(most, int) and most > 0 else 0)


def local_judge(run: FineTuneRun, model: str, domain: str | None = None, device: str = "auto") -> LocalJudge:
    """An instruction-tuned model of a folder or of the hub (`hf:ID`)."""
    return LocalJudge(find_model(model.removeprefix("hf:")), domain_of(domain or domain_of_run(run)), device)


def domain_of_run(run: FineTuneRun) -> str:
    """What its texts are, for a judge's prompt: as the run says, else after its corpus."""
    if domain := run.about.get("domain"):
        return str(domain)
    corpus = run.about.get("corpus")
    source = str(corpus.get("source") or corpus.get("name") or "") if isinstance(corpus, dict) else ""
    return DOMAINS.get(source, PurePath(source).stem or "English")


def export(run: FineTuneRun, path: Path, store: Store | None = None) -> int:
    """Write all that is kept about a run as JSON lines; how many.

    A reading's line says which two models' texts were shown after which prompt, what the judge said and its words; where
    several models wrote the same, the first of them is named.

    Raises:
        StoreError: it cannot be written.
    """
    matches = every_match(run)
    comparisons = comparisons_of(run, matches) if matches else []
    lines: list[dict[str, Any]] = []
    for about in judges_of(run, store):
        kept = KeptReadings(run, str(about["id"]), store)
        lines.append({"kind": "judge", "value": about})
        seen = set()
        for one in comparisons:
            cells = (one.match.cell_a, one.match.cell_b)
            for shown, (first, second) in zip(orders(one.question), (cells, cells[::-1]), strict=True):
                key = key_of(str(about["id"]), shown)
                if key in kept and key not in seen:
                    seen.add(key)
                    of = {"prompt": one.prompt, "first": first, "second": second}
                    lines.append({"kind": "reading", "judge": about["id"], "key": key, "of": of, "value": kept[key]})
    lines += [{"kind": "vote", "value": vote} for vote in kept_votes(run, store)]
    write_lines(path, lines)
    return len(lines)


def every_match(run: FineTuneRun) -> list[Match]:
    """Everyone against everyone, base and all included."""
    there = list(dict.fromkeys(c.selector for c in run.models.values()))
    return matches_of(run, pairs=list(itertools.combinations(there, 2))) if len(there) > 1 else []
