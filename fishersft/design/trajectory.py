"""An order walked pick by pick: what each block gains on its way, and how the ellipsoid of the design shrinks in a plane.

The ellipsoid {theta : theta^T V theta <= 1} is what is still unknown of a linear model (the first lesson).  Its shadow on the
plane of two orthonormal directions U, (d, 2), is {a : a^T C^-1 a <= 1} with C = U^T V^-1 U; a pick with rows X takes
(U^T Y)(U^T Y)^T from C, where V^-1 - Y Y^T is the new inverse.  Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fishersft.design.factor import Factor
from fishersft.design.rows import Blocks, gains_of
from fishersft.design.threads import suited_to


@dataclass(frozen=True)
class Walk:
    """n picks, one after the other.

    Attributes:
        gains: (n,) nats, each at its moment.
        shadows: (n + 1, 2, 2) C before the first pick and after each; None where no plane was asked for.
    """

    gains: np.ndarray
    shadows: np.ndarray | None = None


def walk(
    values: np.ndarray, offsets: np.ndarray, order: np.ndarray, *, plane: np.ndarray | None = None, sigma2: float = 1.0
) -> Walk:
    """The gains of the blocks `order`, and the ellipsoid's shadows on `plane`, (d, 2) with orthonormal columns."""
    import torch

    blocks = Blocks(values, offsets)
    gains = np.empty(len(order))
    shadows = np.empty((len(order) + 1, 2, 2))
    U = None if plane is None else torch.from_numpy(np.asarray(plane, dtype=np.float64))
    with suited_to(blocks.d):
        factor = Factor(blocks.d, sigma2)
        shadow = torch.eye(2, dtype=torch.float64) / sigma2
        shadows[0] = shadow.numpy()
        for k, position in enumerate(order):
            X, lengths = blocks.rows([int(position)], torch.float64, blocks.d)
            whitened = factor.whiten(X)
            gains[k] = gains_of(*whitened, lengths)[0]
            if U is not None:
                seen = U.T @ factor.change(X)
                shadow = shadow - seen @ seen.T
                shadows[k + 1] = shadow.numpy()
            factor.add(X, whitened)
    return Walk(gains, None if plane is None else shadows)


def principal_directions(values: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """(d, up to k) orthonormal: where the rows of the pool are longest together, the first one first; signs are fixed.

    Eigenvectors of the second moment about zero, as the design matrix counts it.
    """
    import torch

    from fishersft.design.matched import second_moment

    _, vectors = torch.linalg.eigh(torch.as_tensor(second_moment(Blocks(values, offsets), 0.0)).double())
    found = vectors.flip(1)[:, :k]
    biggest = found.abs().argmax(0)
    return (found * found[biggest, range(found.shape[1])].sign()).numpy()


def axes(shadow: np.ndarray) -> tuple[float, float, float]:
    """Half the longer and the shorter axis of {a : a^T C^-1 a <= 1}, and the angle of the longer one from the first direction."""
    sizes, vectors = np.linalg.eigh(shadow)
    short, long = np.sqrt(sizes.clip(min=0))
    return float(long), float(short), float(np.arctan2(vectors[1, 1], vectors[0, 1]))
