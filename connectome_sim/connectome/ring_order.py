"""The order of neurons on a ring, from synapse counts alone. Knows no fly, no names and no file.

What the counts can say is the order and the distances along the ring. Where the ring begins and which way round is
positive they cannot: angles are known up to a rotation and a reflection, and whoever uses them has to fix both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connectome_sim import circular
from connectome_sim.array_axes import AngleArray, FloatArray
from connectome_sim.errors import DataError

SMALLEST_PAIR = 0.5  # chosen: second to first eigenvalue; a line in the place of a ring has 0.25
SMALLEST_GAP = 1.2  # chosen: second to third eigenvalue; hemibrain EPG have 1.9, shuffled counts 1.0 to 1.1


@dataclass(frozen=True, eq=False)
class RingOrder:
    """Places of N neurons on a ring.

    Attributes:
        angle: rad, in [-pi, pi), up to rotation and reflection [N].
        eigenvalues: of the centred similarity, largest first [N]: a ring has a leading pair of similar size, well
            above the third.
    """

    angle: AngleArray
    eigenvalues: FloatArray


def ring_places(profiles: Sequence[np.ndarray]) -> RingOrder:
    """Places on a ring from what neurons share with their partners: those that lie side by side share most.

    With p_ik the part of the synapses of neuron i that it has with partner k of one kind, the similarity

        K_ij = mean over kinds of sum_k sqrt(p_ik p_jk)

    (1: the same partners in the same shares; 0: none in common; the Bhattacharyya coefficient) is centred, H K H with
    H = 1 - 1/N. Its leading two eigenvectors u, v are the plane that shows most of it (classical scaling): around a
    ring they are a sine and a cosine, and the angle of neuron i is that of u_i + i v_i. Our own choice of a method.

    Args:
        profiles: synapse counts [N, partners], one array per kind of partner (a cell type and a direction). A kind
            without any synapse is left out; a neuron without one of a kind shares nothing with others there.

    Raises:
        DataError: fewer than four neurons, no synapse, or a similarity without a ring: eigenvalues that are no
            leading pair.
    """
    used = [np.asarray(counts, dtype=float) for counts in profiles if np.any(counts)]
    n = len(used[0]) if used else 0
    if n < 4:
        raise DataError(f"ring order: got {n} neurons with synapses, wanted at least 4 with partners in common")
    roots = [np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) for counts in used]
    similarity = sum(root @ root.T for root in roots) / len(roots)
    centre = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(centre @ similarity @ centre)
    values, vectors = values[::-1], vectors[:, ::-1]
    first, second, third = values[:3]
    if not (second >= SMALLEST_PAIR * first and second >= SMALLEST_GAP * third):
        raise DataError(
            f"ring order: got leading eigenvalues {first:.3g}, {second:.3g}, {third:.3g} of the similarity of {n} "
            f"neurons, wanted a pair (the second at least {SMALLEST_PAIR:g} of the first) above the others (at least "
            f"{SMALLEST_GAP:g} times the third): these counts show no ring; state ring angles in the neuron table"
        )
    return RingOrder(np.angle(vectors[:, 0] + 1j * vectors[:, 1]), values)


def placed(counts: np.ndarray, angle: AngleArray) -> np.ndarray:
    """Angle of the mean of unit vectors at ``angle`` [K] weighted by counts [N, K], rad [N]; NaN without any count."""
    known = np.isfinite(angle)
    vector = np.asarray(counts, dtype=float)[:, known] @ np.exp(1j * angle[known])
    return np.where(abs(vector) > 0, np.angle(vector), math.nan)


def misalignment(found: AngleArray, wanted: AngleArray) -> float:
    """Circular RMS difference of two sets of angles after the best rotation and reflection, rad.

    sqrt( mean over i of wrap(+-found_i - wanted_i - c)^2 ), the smaller one of both signs, c the mean difference.
    """

    def rms(sign: int) -> float:
        apart = sign * found - wanted
        rest = circular.difference(apart, circular.mean(apart[:, None]))
        return float(np.std(rest))

    return min(rms(1), rms(-1))
