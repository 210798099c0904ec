"""IFD: answers that their prompt helps least to predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, finite_losses
from fishersft.selectors.selection import Note


@dataclass(frozen=True)
class IFD(Selector):
    """By the loss a token of the answer after its prompt over its loss alone, highest first; ratios of 1 and above come last.

    At 1 the prompt does not help at all, which the paper takes for a pair that does not belong together.  It first tunes the
    model on a few pairs; we ask the untuned one: our reading.
    """

    name = "ifd"
    label = "IFD"
    summary = "Takes the answers that their prompt helps least to predict; needs prompts."
    purpose = "Instruction data by difficulty: pairs whose instruction the model does not yet follow."
    colour = "#CC79A7"
    marker = "arrow-up"
    reference = "Li et al. 2024 (NAACL), From Quantity to Quality, arXiv 2308.12032; untuned model: our reading"
    place = 54
    reads_texts = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        alone = finite_losses(pool.losses_without_prompts())
        ratio = finite_losses(pool.statistics().mean_losses) / np.maximum(alone, 1e-9)
        yield Note("ifd", f"{int((ratio >= 1).sum()):,} answers gain nothing from their prompt and come last")
        for position in np.lexsort((-ratio, ratio >= 1)):
            yield Pick(int(position))
