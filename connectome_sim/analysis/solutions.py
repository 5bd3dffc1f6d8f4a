"""The space of solutions: how alike members are, and which combinations of parameters a loss determines.

Knows arrays of coordinates and derivatives, no network. Coordinates [member, parameter] are logarithms of what is
positive (a difference of 0.1 is some 10 %) and thresholds as they are, in units of input current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from connectome_sim.axes import BoolArray, FloatArray, IntArray
from connectome_sim.errors import ShapeError

DRAWS = 200  # chosen: of the null of one cloud; resolves a p of 0.005
SIGNIFICANT = 0.05  # chosen: at or below, clusters count as a discrete part
PRIOR = 1.0  # chosen: SD of what is believed of a coordinate beforehand, a factor of e
UNRESOLVED = 1e-12  # chosen: of the largest eigenvalue; derivatives are float32, so their squares end about here


def distances(x: FloatArray) -> FloatArray:
    """Root mean square difference over parameters of each pair of members [M, M], for coordinates [M, P]."""
    return np.sqrt(((x[:, None] - x) ** 2).mean(axis=2))


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """Directions in which members differ, largest first.

    Attributes:
        share: of the total variance [K].
        component: unit vectors [K, P].
        score: coordinates of the members along them, less their mean [M, K].
    """

    share: FloatArray
    component: FloatArray
    score: FloatArray

    @property
    def dimension(self) -> float:
        """In how many directions members differ: (sum of variances)^2 / sum of squared variances."""
        return float(1 / (self.share**2).sum()) if self.share.any() else 0.0


def principal_components(x: FloatArray) -> PrincipalComponents:
    """Principal components of coordinates [M, P], at most M - 1, by singular values of the centred array.

    Raises:
        ShapeError: fewer than two members.
    """
    if len(x) < 2:
        raise ShapeError(f"principal components: got {len(x)} members, wanted at least 2")
    left, singular, component = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    k = min(len(x) - 1, x.shape[1])
    variance = singular[:k] ** 2
    share = variance / max(float(variance.sum()), np.finfo(float).tiny)
    return PrincipalComponents(share, component[:k], left[:, :k] * singular[:k])


@dataclass(frozen=True, eq=False)
class Clusters:
    """A discrete part of the space of solutions, where there is one.

    Attributes:
        label: cluster of each member, from 0, by size [M].
        silhouette: mean silhouette of the best number of clusters.
        p_value: share of single Gaussian clouds of the same covariance with a silhouette as large.
        between_share: share of the variance that lies between clusters; the rest is continuous.
    """

    label: IntArray
    silhouette: float
    p_value: float
    between_share: float

    @property
    def n(self) -> int:
        """Number of clusters; 1 where the members are one cloud."""
        return int(self.label.max()) + 1


def clusters(x: FloatArray, random: np.random.Generator, *, draws: int = DRAWS) -> Clusters:
    """Split members into a discrete part (which cluster) and a continuous one (where in it).

    Average linkage on the pairwise distances; the number of clusters is that of the largest mean silhouette (Rousseeuw
    1987, J. Comput. Appl. Math. 20:53) of 2 to M - 1. A single cloud has clusters, too, by this count, so the same
    statistic is worked out for ``draws`` Gaussian clouds of M members with the covariance of ours: unless at most 5 %
    of them reach it, there is one cluster.

    Args:
        x: coordinates [M, P].
        random: for the clouds.
        draws: how many.

    Raises:
        ShapeError: fewer than three members.
    """
    if len(x) < 3:
        raise ShapeError(f"clusters: got {len(x)} members, wanted at least 3")
    label, found = _best_split(x)
    parts = principal_components(x)
    width = parts.score.std(axis=0, ddof=1)
    null = [_best_split(random.standard_normal(parts.score.shape) * width)[1] for _ in range(draws)]
    p_value = (1 + sum(value >= found for value in null)) / (1 + draws)
    if p_value > SIGNIFICANT:
        return Clusters(np.zeros(len(x), dtype=np.int64), found, p_value, 0.0)
    centres = np.array([x[label == k].mean(axis=0) for k in label])
    total = ((x - x.mean(axis=0)) ** 2).sum()
    return Clusters(label, found, p_value, float(((centres - x.mean(axis=0)) ** 2).sum() / total))


def _best_split(x: FloatArray) -> tuple[IntArray, float]:
    """Labels and mean silhouette of the best number of clusters."""
    apart = distances(x)
    tree = linkage(squareform(apart, checks=False), method="average")
    splits = [fcluster(tree, k, criterion="maxclust") for k in range(2, len(x))]
    values = [silhouette(apart, label) for label in splits]
    best = int(np.argmax(values))
    return _by_size(splits[best]), values[best]


def _by_size(label: np.ndarray) -> IntArray:
    names, counts = np.unique(label, return_counts=True)
    rank = {int(name): k for k, name in enumerate(names[np.argsort(-counts, kind="stable")])}
    return np.array([rank[int(name)] for name in label], dtype=np.int64)


def silhouette(apart: FloatArray, label: np.ndarray) -> float:
    """Mean over members of (b - a) / max(a, b).

    a is the mean distance to the others of the own cluster, b that to the nearest other cluster; 0 for a member alone
    in its cluster, and where there is one cluster.

    Args:
        apart: distances [M, M].
        label: cluster of each member [M].
    """
    own = label[:, None] == np.unique(label)  # [member, cluster]
    if own.shape[1] < 2:
        return 0.0
    sums, sizes = apart @ own, own.sum(axis=0)
    others = (own @ sizes) - 1
    a = sums[own] / np.maximum(others, 1)
    b = np.where(own, np.inf, sums / sizes).min(axis=1)
    larger = np.maximum(a, b)
    return float(np.where((others > 0) & (larger > 0), (b - a) / np.where(larger > 0, larger, 1), 0.0).mean())


@dataclass(frozen=True, eq=False)
class Stiffness:
    """What a loss says about each combination of parameters at a solution.

    Attributes:
        eigenvalues: of the Gauss-Newton matrix, largest (stiffest) first [P].
        directions: their unit vectors [P, P], one per row.
        resolved: whether an eigenvalue stands out from rounding [P].
        standard_error: of each coordinate with all others fitted along, at most `PRIOR` [P].
        standard_error_alone: of each coordinate with all others held [P].
    """

    eigenvalues: FloatArray
    directions: FloatArray
    resolved: BoolArray
    standard_error: FloatArray
    standard_error_alone: FloatArray


def stiffness(residuals: Sequence[FloatArray], jacobians: Sequence[FloatArray]) -> Stiffness:
    """Gauss-Newton spectrum and standard errors from batches of trials that are drawn alike.

    A batch b has the loss 1/2 |rho_b|^2, the gradient g_b = J_b' rho_b and the Gauss-Newton matrix J_b' J_b; H is the
    mean of the latter over the B batches. The minimum of batch b lies at -H^-1 g_b from here, to first order.

    The noise is that of the trials: headings and velocities of a batch are a sample, and another sample has its minimum
    elsewhere. Along the unit eigenvector v_k of H the minimum of all batches together has the standard error

        e_k = SD over b of (v_k . H^-1 g_b) / sqrt(B)

    and nothing is assumed of the residuals of one trial, which depend on each other (White 1982, Econometrica 50:1).
    One derivative says nothing of steps of a factor e or more, so e_k is combined with a prior of that width,
    1 / (1 / e_k^2 + 1 / PRIOR^2), which is all there is for an unresolved direction. The squared error of coordinate p
    is the sum of these over k, times v_kp^2. It says what the trials leave open around this solution, not what another
    start would find. Our own choice of a noise model.

    Args:
        residuals: of each batch [M_b].
        jacobians: their derivatives by the coordinates [M_b, P].

    Raises:
        ShapeError: fewer than two batches.
    """
    if len(residuals) < 2 or len(residuals) != len(jacobians):
        raise ShapeError(f"stiffness: got {len(residuals)} batches with {len(jacobians)} Jacobians, wanted 2 or more")
    gradients = np.array([j.T @ r for r, j in zip(residuals, jacobians, strict=True)])
    h = sum(j.T @ j for j in jacobians) / len(jacobians)
    values, vectors = np.linalg.eigh(h)
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    resolved = values > UNRESOLVED * values[0]
    root = np.sqrt(len(residuals))
    error = np.full(len(h), PRIOR)
    along = (gradients @ vectors[:, resolved] / values[resolved]).std(axis=0, ddof=1) / root
    error[resolved] = along / np.hypot(1, along / PRIOR)
    diagonal = np.diag(h)
    alone = np.divide(gradients.std(axis=0, ddof=1), diagonal, out=np.full(len(h), np.inf), where=diagonal > 0)
    return Stiffness(
        eigenvalues=values,
        directions=vectors.T,
        resolved=resolved,
        standard_error=np.sqrt(vectors**2 @ error**2),
        standard_error_alone=alone / root,
    )
