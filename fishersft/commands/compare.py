"""`fishersft compare` puts selectors side by side before anything is fine-tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

import fishersft
from fishersft.commands import shared
from fishersft.errors import UserError
from fishersft.lm.folder import find_model
from fishersft.paths import write_whole
from fishersft.selectors import criterion_of, make_selectors
from fishersft.store import job_runner

DEFAULT = "token_od,token_od_per_token,matched_od,sentence_od,longest"
HEADS = {
    "sentences": "sentences",
    "tokens": "tokens",
    "log_det": "log det",
    "share_of_optimum": "of optimum",
    "worst_leverage": "worst lev.",
    "mean_leverage": "mean lev.",
    "radius": "radius",
    "perplexity": "perplexity",
    "topics": "topics",
    "sentence_log_det": "of means",
    "fisher_log_det": "weighted",
    "stein_loss": "Stein",
    "target_variance": "target var.",
    "target_stein_loss": "target Stein",
    "near_target": "near target",
    "on_target": "on target",
}


@click.command(epilog=shared.CORPUS_HELP)
@shared.corpus_and_model
@shared.target_options
@shared.selectors_option(DEFAULT, "Names separated by commas, or 'all'.")
@click.option("--budget", type=int, help="Sentences of the reference selector.")
@click.option("--token-budget", type=int, help="Trained tokens of the reference selector, instead of --budget.")
@click.option(
    "--equal",
    type=click.Choice(["sentences", "tokens"]),
    default="sentences",
    show_default=True,
    help="What every selector gets the same amount of.",
)
@click.option("--reference", default="", help="The selector whose sentences or tokens set the budget; the first by default.")
@shared.settings_option
@shared.seed_option("Seed of the random draws and of selectors that draw.")
@click.option("--draws", type=int, default=20, show_default=True, help="Random draws, from 20 to 10,000.")
@click.option(
    "--sigma2", type=float, default=1.0, show_default=True, help="Prior sigma2 of the design that scores every selection."
)
@click.option(
    "--score-model",
    metavar="MODEL",
    help="Score the picks of --model under this model, whose tokenizer counts. Each selector also chooses with it, to compare.",
)
@shared.out_option("Also write the numbers to this .csv or .json file.")
@shared.json_option
def compare(
    selectors: str,
    budget: int | None,
    token_budget: int | None,
    settings: tuple[str, ...],
    score_model: str | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare selectors on CORPUS, scoring each selection under every criterion.

    log det: nats gained over the empty selection. of optimum: the share of the best possible log det at this budget that is
    reached at least. leverage: over all token rows of the pool. radius: distance of the farthest sentence mean from its nearest
    pick. perplexity: of the picks under the model. topics: how many the picks cover, if a column names them. With a target:
    the mean variance on its measuring half, Stein's loss to it, and the shares of picks near it and on it. Criteria that the
    compared selectors are greedy for are added. Beside them stand random draws of as many sentences, and of as many tokens, as
    the reference selector spends. A summary in words comes last.
    """
    wanted = fishersft.Budget(budget, token_budget)
    names = shared.names_of(selectors)
    if selectors == "all":
        apart = ("ask_llm", "ifd")  # the one needs a model of its own, the other prompts: name them to have them
        fits = {name: options["target"] is not None or not kind.needs_target for name, kind in fishersft.registry().items()}
        names = [name for name, fit in fits.items() if fit and name not in apart]
    chosen = make_selectors(names, settings)
    if out and (out.suffix not in (".csv", ".json") or not out.absolute().parent.is_dir()):
        raise UserError(f"--out must be a .csv or .json file in an existing folder, not {out}.")
    shared.check_out(out, options["corpus"])
    corpus, folder = shared.load(options)
    twice = 2 if score_model else 1
    job_runner.expect({"embedding": (3, twice), "choosing": (2, twice * len(chosen)), "scoring random draws": (1, 2)})
    with shared.engine_of(options) as engine, shared.stages() as on_stage:
        where: dict[str, Any] = {"max_tokens": options["max_tokens"], "device": options["device"], "engine": engine}
        where |= {name: options[name] for name in ("target", "target_seed")}
        pool = fishersft.load_pool(corpus, folder, **where, on_progress=lambda done, total: on_stage("embedding", done, total))
        under = None
        if score_model:
            scoring = find_model(score_model)
            under = fishersft.load_pool(
                corpus, scoring, **where, on_progress=lambda done, total: on_stage(f"embedding with {scoring.name}", done, total)
            )
        asked = {name: options[name] for name in ("equal", "reference", "seed", "draws", "sigma2")}
        found = fishersft.compare(pool, chosen, wanted, **asked, score_pool=under, on_progress=on_stage)
    summary = {**fishersft.comparison_summary(found), **shared.how_read(corpus, pool.embeddings)}
    summary["near_duplicates"] = corpus.repeats.as_json()
    if out:
        as_csv = out.suffix == ".csv"
        write_whole(out, found.as_csv() if as_csv else json.dumps(summary, ensure_ascii=False, indent=1))
    click.echo(json.dumps(summary, ensure_ascii=False) if as_json else f"{_text(found)}\n- {shared.near_duplicates_of(corpus)}")


def _text(found: fishersft.Comparison) -> str:
    """The table, the overlaps, notes on the picks, and what differs in words."""
    topic, total = found.topic
    own = {criterion_of(name) for name in found.chosen}
    hidden = {"sentence_log_det", "fisher_log_det", "stein_loss"} - own
    columns = [c for c in HEADS if c not in hidden and not all(np.isnan(row.span(c)[0]) for row in found.rows)]
    heads = ["", *(f"{HEADS[c]} of {total}" if c == "topics" else HEADS[c] for c in columns)]
    lines = [[row.label, *(_span(c, *row.span(c)[1:]) for c in columns)] for row in found.rows]
    scored = f", scored under {found.score_model}" if found.score_model else ""
    title = f"{found.corpus} under {found.model}{scored}, equal {found.equal} as {found.reference}"
    title += f", target {found.target}" if found.target else ""
    out = [title + (f"; topics in column '{topic}'" if topic else "") + ".", "", *_aligned([heads, *lines])]
    names = list(found.overlap.columns)
    if len(names) > 1:
        short = [str(k + 1) for k in range(len(names))]
        body = [[f"{k + 1} {n}", *(f"{v:.2f}" for v in found.overlap[n])] for k, n in enumerate(names)]
        out += ["", "Overlap of the picks (Jaccard):", *_aligned([["", *short], *body])]
    notes = [f"{name}: {key}: {value}" for name, s in found.selections.items() for key, value in s.order.notes.items()]
    return "\n".join(
        [*out, *(["", *notes] if notes else []), "", *(f"- {sentence}" for sentence in fishersft.comparison_sentences(found))]
    )


def _span(criterion: str, least: float, most: float) -> str:
    def number(value: float) -> str:
        if np.isnan(value):
            return "-"
        if criterion in ("near_target", "on_target"):
            return f"{value:.0%}"
        if criterion == "share_of_optimum":
            return f"{np.floor(value * 1000) / 10:.1f}%"
        return f"{value:,.0f}" if abs(value) >= 100 or criterion in ("sentences", "tokens", "topics") else f"{value:.3g}"

    low, high = number(least), number(most)
    return low if low == high else f"{low} to {high}"


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) for line in table
    ]
