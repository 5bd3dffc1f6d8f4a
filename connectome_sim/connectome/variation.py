"""Variation of synapse counts around their profile: estimated from a circuit. Knows no file and draws nothing.

The model of a count is our own: C_ij = mu_ij a_i b_j on average, with mu_ij the mean of all pairs of that type pair,
side and ring offset, a_i the in-factor of the postsynaptic and b_j the out-factor of the presynaptic cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from connectome_sim.connectome.connectome import Neurons
from connectome_sim.connectome.wiring_statistics import GLOMERULI, PairVariation, SharedVariation

PRIOR = 2  # synapses, chosen: keeps the factors of cells with few synapses near one
DIGITS = 4  # decimals kept


def variation(
    neurons: Neurons, classes: tuple[str, ...], counts: np.ndarray, expected: np.ndarray
) -> tuple[dict[tuple[str, str], PairVariation], dict[str, SharedVariation]]:
    """Variation per type pair, and what the factors of a cell share.

    Args:
        neurons: N neurons with class and glomerulus.
        classes: classes in order.
        counts: synapse counts [post, pre].
        expected: mean count of each pair by its profile [post, pre].
    """
    inputs, outputs, noise = {}, {}, {}
    for post in classes:
        for pre in classes:
            is_post, is_pre = neurons.type == post, neurons.type == pre
            c, mu = counts[np.ix_(is_post, is_pre)], expected[np.ix_(is_post, is_pre)]
            if not c.any():
                continue
            rows, columns = _factors_of(c, mu)
            residual = (c - mu * rows[:, None] * columns) ** 2
            inputs[post, pre] = _factor(
                float(c.sum()), rows, mu @ columns, residual.sum(1), neurons.glomerulus[is_post]
            )
            outputs[post, pre] = _factor(
                float(c.sum()), columns, rows @ mu, residual.sum(0), neurons.glomerulus[is_pre]
            )
            noise[post, pre] = int(c[c > 0].min()), _dispersion(c, mu, rows, columns)
    shared = {}
    for name in classes:
        received = [factor for (post, _), factor in inputs.items() if post == name]
        sent = [factor for (_, pre), factor in outputs.items() if pre == name]
        shared[name] = _shared(received, sent)
    by_pair = {
        (post, pre): PairVariation(
            minimum=minimum,
            in_cv=_own_cv(inputs[post, pre], shared[post].in_cv),
            out_cv=_own_cv(outputs[post, pre], shared[pre].out_cv),
            dispersion=dispersion,
            in_by_glomerulus=inputs[post, pre].by_glomerulus,
            out_by_glomerulus=outputs[post, pre].by_glomerulus,
        )
        for (post, pre), (minimum, dispersion) in noise.items()
    }
    return by_pair, shared


@dataclass(frozen=True)
class _Factor:
    """In- or out-factors of the cells of a class within one type pair."""

    synapses: float
    by_glomerulus: tuple[float, ...]
    deviation: np.ndarray  # of each cell, relative to the mean of its glomerulus
    variance: float  # of the deviations, without the noise of single connections
    freedom: int  # cells less means taken


def _factor(
    synapses: float, factor: np.ndarray, strength: np.ndarray, noise: np.ndarray, glomerulus: np.ndarray
) -> _Factor:
    """Factors as means by glomerulus and deviations; ``noise``: variance of a cell's synapses given its factor."""
    used = strength > 0
    means = np.ones(GLOMERULI + 1)
    for g in np.unique(glomerulus[used]) if glomerulus.any() else ():
        at = used & (glomerulus == g)
        means[g] = _rounded((factor * strength)[at].sum() / strength[at].sum())
    mean = means[glomerulus]
    deviation = np.where(used, factor / mean - 1, 0.0)
    freedom = int(used.sum()) - len(np.unique(glomerulus[used]))
    variance = 0.0
    if freedom > 0:
        variance = float((deviation**2).sum() / freedom - np.mean(noise[used] / (strength * mean)[used] ** 2))
    by_glomerulus = tuple(means[1:].tolist()) if glomerulus.any() else ()
    return _Factor(synapses, by_glomerulus, deviation, variance, max(freedom, 1))


def _shared(inputs: list[_Factor], outputs: list[_Factor]) -> SharedVariation:
    """Covariances of the factors of a class, weighted by synapses so that its total strength varies as measured.

    Noise of single connections is independent from one type pair to the next and leaves these covariances alone.
    """

    def covariance(first: list[_Factor], second: list[_Factor]) -> float:
        pairs = [(a, b) for a in first for b in second if a is not b]
        weights = sum(a.synapses * b.synapses for a, b in pairs)
        found = sum(a.synapses * b.synapses * float(a.deviation @ b.deviation) / a.freedom for a, b in pairs)
        return found / weights if weights > 0 else 0.0

    in_cv, out_cv = (math.sqrt(max(0.0, covariance(factors, factors))) for factors in (inputs, outputs))
    correlation = covariance(inputs, outputs) / (in_cv * out_cv) if in_cv * out_cv > 0 else 0.0
    return SharedVariation(_rounded(in_cv), _rounded(out_cv), _rounded(min(1.0, max(0.0, correlation))))


def _own_cv(factor: _Factor, shared_cv: float) -> float:
    return _rounded(math.sqrt(max(0.0, factor.variance - shared_cv**2)))


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)


def _factors_of(c: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column factors that give mu the row and column sums of c (iterative proportional fitting)."""
    rows, columns = np.ones(c.shape[0]), np.ones(c.shape[1])
    for _ in range(30):
        rows = _ratio(c.sum(1), mu @ columns)
        columns = _ratio(c.sum(0), rows @ mu)
    return rows, columns


def _ratio(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Found over wanted with mean one over the cells that were to have any; one for those that were not."""
    ratio = (found + PRIOR) / (wanted + PRIOR)
    return ratio / ratio[wanted > 0].mean() if (wanted > 0).any() else ratio


def _dispersion(c: np.ndarray, mu: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Moment estimate of 1 / shape of the gamma noise: var(x) = m + dispersion m^2, x = synapses beyond the minimum."""
    connected = c > 0
    x = c[connected] - c[connected].min()
    m = (mu * rows[:, None] * columns)[connected]
    for level in np.unique(mu[connected]):  # pairs of one bin (or of bins alike): give them the mean of their x
        same = mu[connected] == level
        m[same] *= x[same].sum() / m[same].sum()
    spread = (m**2).sum()
    return _rounded(max(0.0, (((x - m) ** 2).sum() - m.sum()) / spread)) if spread > 0 else 0.0
