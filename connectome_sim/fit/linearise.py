"""Loss values as residuals with derivatives, for Gauss-Newton steps. Knows no network, no trial and no optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

import torch
from jaxtyping import Float
from torch import Tensor

from connectome_sim.errors import FitError
from connectome_sim.losses import Observation, WeightedLoss, total

Terms = Mapping[str, WeightedLoss]

RESIDUAL_GUARD = 1e-12  # chosen: a residual below it, a loss value of some 1e-24, counts as 0 and has no derivative
NEGATIVE = -1e-9  # chosen: a value above it is a 0 with rounding error
_FORWARDS = Lock()  # PyTorch differentiates forwards in one thread at a time: it keeps the level in a global


@dataclass(frozen=True, eq=False)
class Linearised:
    """Every counted loss value of a batch as a residual, with its derivatives.

    The total is half the sum of squares of ``residuals``: a value v of weight w among n is (w / n) v = 1/2 (2 w v / n).
    A loss of which single values may be negative (entropy) enters as one residual, that of its mean.

    Attributes:
        total: weighted sum of the losses.
        report: mean of each loss.
        residuals: [M], float64.
        jacobian: [M, P], float64, by the raw parameters in the order of ``trainable``.
    """

    total: float
    report: dict[str, float]
    residuals: Float[Tensor, " residual"]
    jacobian: Float[Tensor, "residual direction"]


def linearised(
    observe: Callable[[Tensor, Tensor], Observation],
    point: tuple[Tensor, Tensor],
    directions: tuple[Tensor, Tensor],
    terms: Terms,
    *,
    chunk: int,
) -> Linearised:
    """Differentiate losses forwards, ``chunk`` directions at a time.

    Args:
        observe: what the losses see of rates and log-gains.
        point: rates [T + 1, B, M] and log-gains [G].
        directions: their derivatives along each direction, [P, T + 1, B, M] and [P, G].
        terms: losses by name, with weights.
        chunk: more is faster and takes more memory.

    Raises:
        FitError: no loss counts, a loss whose mean is negative, or a loss or derivative that is not finite.
    """
    weighted = {name: term for name, term in terms.items() if term.weight > 0}

    def values(rates: Tensor, log_gains: Tensor) -> tuple[Tensor, ...]:
        seen = observe(rates, log_gains)
        return tuple(term.loss(seen) for term in weighted.values())

    def along(rates: Tensor, log_gains: Tensor) -> tuple[Tensor, ...]:
        return torch.func.jvp(values, point, (rates, log_gains))[1]

    observation = observe(*point)
    value, report = total(terms, observation)
    where = [term.loss.where(observation) for term in weighted.values()]
    pieces = []
    for rates, log_gains in zip(*(part.split(chunk) for part in directions), strict=True):
        with _FORWARDS:
            derivatives = torch.func.vmap(along)(rates.to(point[0].dtype), log_gains.to(point[1].dtype))
        pieces.append([d[:, mask] for d, mask in zip(derivatives, where, strict=True)])
    rows = [
        _residuals(name, term.weight, plain[mask].detach(), torch.cat(columns).T)
        for (name, term), plain, mask, columns in zip(
            weighted.items(), values(*point), where, zip(*pieces, strict=True), strict=True
        )
        if mask.any()
    ]
    if not rows:
        raise FitError(f"none of the losses {tuple(weighted)} applies to this batch; add one that does, or trials")
    residuals, jacobian = (torch.cat(part).double() for part in zip(*rows, strict=True))
    return Linearised(float(value), {name: float(mean) for name, mean in report.items()}, residuals, jacobian)


def _residuals(name: str, weight: float, values: Tensor, derivatives: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals of the counted values [n] of one loss and their derivatives, from those of the values [n, P]."""
    # rho = sqrt(2 w v / n),  d rho = (w / n) dv / rho
    if (values < NEGATIVE).any():
        values, derivatives = values.mean(dim=0, keepdim=True), derivatives.mean(dim=0, keepdim=True)
    if not (torch.isfinite(values).all() and torch.isfinite(derivatives).all()):
        raise FitError(f"loss {name}: a value or its derivative is not finite; tighten the parameter bounds")
    if (values < NEGATIVE).any():
        raise FitError(
            f"loss {name}: got a mean of {float(values[0]):g}, which has no residual; wanted zero or more, or adam"
        )
    scale = weight / len(values)
    residual = torch.sqrt(2 * scale * values.clamp(min=0))
    counts = residual > RESIDUAL_GUARD
    slope = scale * derivatives / torch.where(counts, residual, 1.0)[:, None]
    return residual, torch.where(counts[:, None], slope, 0.0)
