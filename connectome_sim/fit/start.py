"""The spectral start: gains and thresholds at which a bump is about to form. Knows no loss and no trial.

With raw counts and equal gains the excitatory network saturates: no bump exists and no gradient leads out. Let every
neuron sit at the operating rate rho, where the activation has slope phi'(phi^-1(rho)), and let M be the signed,
normalised counts with inhibition scaled by beta. Small deviations grow along an eigenvector of M if the slope times its
eigenvalue exceeds 1. As beta rises, the uniform mode sinks and the leading pair becomes the first ring mode, a bump at
any of two quadratures. So: the smallest beta (times a margin) at which the leading pair is a ring mode, clear of the
next mode; an overall gain that puts slope times eigenvalue at ``lead``; thresholds that make rho the fixed point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator

from connectome_sim.axes import BoolArray, FloatArray
from connectome_sim.errors import ConfigError, FitError
from connectome_sim.model.activation import Activation
from connectome_sim.model.parameters import Parameters
from connectome_sim.model.wiring import Wiring

_SCALES = np.geomspace(0.5, 8.0, 33)  # factors on inhibition to try, smallest first; chosen
_INSIDE = 1e-3  # distance from a bound, relative to the interval (the bound itself on a log scale); chosen


@dataclass(frozen=True, kw_only=True)
class SpectralStart:
    """Where a fit starts. All values are chosen.

    Attributes:
        operating_rate: rho.
        lead: slope times leading eigenvalue; a bump grows above 1.
        margin: factor on the smallest inhibition that makes the leading pair a ring mode.
        ring_share: how much of the leading mode over EPG must be first ring harmonic, 0 to 1.
        gap: how far the next mode must lie below, as a share of the leading eigenvalue.
        time_constant: s.
        velocity_gain: per rad/s.
        jitter: SD of the seeded normal deviate added to every raw parameter.
    """

    operating_rate: float = 0.3
    lead: float = 1.3
    margin: float = 1.1
    ring_share: float = 0.93
    gap: float = 0.15
    time_constant: float = 0.05
    velocity_gain: float = 0.2
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name in ("operating_rate", "lead", "margin", "ring_share", "time_constant", "velocity_gain"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"start, {name}: got {getattr(self, name)}, wanted more than 0")
        if self.ring_share > 1:
            raise ConfigError(f"start, ring_share: got {self.ring_share}, wanted at most 1")
        if not 0 <= self.gap < 1:
            raise ConfigError(f"start, gap: got {self.gap}, wanted 0 or more, below 1")
        if not (math.isfinite(self.jitter) and self.jitter >= 0):
            raise ConfigError(f"start, jitter: got {self.jitter}, wanted 0 or more")


@dataclass(frozen=True)
class RingMode:
    """The leading mode of a signed weight matrix.

    Attributes:
        eigenvalue: real part.
        next_eigenvalue: real part of the first mode beyond the leading pair.
        ring_share: share of the mode over the heading neurons that is the first ring harmonic, 0 to 1.
    """

    eigenvalue: float
    next_eigenvalue: float
    ring_share: float


def ring_mode(weights: FloatArray, ring_angle: FloatArray, mask: BoolArray) -> RingMode:
    """Leading mode of ``weights`` [post, pre] and how much of it is a first harmonic around the ring."""
    values, vectors = np.linalg.eig(weights)
    order = np.argsort(-values.real, kind="stable")
    # the two vectors of a real or complex pair span one plane: judge the plane, not a vector
    pair = vectors[mask][:, order[:2]]
    left, size, _ = np.linalg.svd(np.concatenate([pair.real, pair.imag], axis=1), full_matrices=False)
    plane = left[:, :2][:, size[:2] > 1e-9 * size[0]]  # chosen: far above rounding
    angle = ring_angle[mask]
    harmonic = np.linalg.qr(np.stack([np.cos(angle), np.sin(angle)], axis=1))[0]
    share = float(np.linalg.norm(harmonic.T @ plane) / math.sqrt(2))
    return RingMode(float(values[order[0]].real), float(values[order[2]].real), share)


def spectral_start(
    parameters: Parameters, wiring: Wiring, activation: Activation, options: SpectralStart, random: Generator
) -> None:
    """Set the parameters to the spectral start; those that a fit may move are jittered (`place`, then `jitter`)."""
    place(parameters, wiring, activation, options)
    jitter(parameters, options, random)


def jitter(parameters: Parameters, options: SpectralStart, random: Generator) -> None:
    """Move every raw number that a fit may move by a normal deviate."""
    with torch.no_grad():
        for raw in parameters.raw.values():
            if raw.requires_grad:
                raw += torch.as_tensor(options.jitter * random.standard_normal(raw.shape), dtype=raw.dtype)


def place(parameters: Parameters, wiring: Wiring, activation: Activation, options: SpectralStart) -> None:
    """Set the parameters to the spectral start as it is.

    Gains of single connections start at those of their type pairs.

    Families with a start of their own in the spec keep it. Gains and thresholds beyond their bounds are put just
    inside.

    Raises:
        FitError: no scale of inhibition makes the leading mode a ring mode (the wiring holds no ring, or its gains
            cannot tell inhibition from excitation).
        ConfigError: an operating rate that the activation does not reach.
    """
    matrix = wiring.connections.double().cpu().numpy()
    types = wiring.type_index.cpu().numpy()
    inhibition, mode = _inhibition(matrix, wiring, options, fixed=parameters.spec.gains == "global")
    rest_input = _inverse(activation, options.operating_rate)
    overall = options.lead / (_slope_at(activation, options.operating_rate) * mode.eigenvalue)
    table = overall * np.where(_inhibitory(wiring), inhibition, 1.0)
    at_rest = (matrix * table[np.ix_(types, types)]) @ np.full(len(types), options.operating_rate)
    mean_input = np.array([at_rest[types == k].mean() for k in range(wiring.n_types)])
    stated = parameters.spec.start
    if "gain" not in stated:
        _set_groups(parameters, "gain", table if parameters.by_type else table[np.ix_(types, types)])
    if "threshold" not in stated:
        _set_groups(parameters, "threshold", mean_input - rest_input)
    for family, value in (("time_constant", options.time_constant), ("velocity_gain", options.velocity_gain)):
        if family not in stated:
            parameters.set_(family, value)


def _inhibitory(wiring: Wiring) -> np.ndarray:
    """Whether a type pair inhibits [post type, pre type]."""
    return (wiring.type_signs < 0).cpu().numpy()


def _inhibition(matrix: np.ndarray, wiring: Wiring, options: SpectralStart, *, fixed: bool) -> tuple[float, RingMode]:
    """Factor on inhibition, and the leading mode that it gives.

    With one gain for all (``fixed``) the factor is 1: the wiring is what it is, and the fit will show what comes of it.
    """
    angle, mask = wiring.ring_angle.double().cpu().numpy(), wiring.epg_mask.cpu().numpy()
    types = wiring.type_index.cpu().numpy()
    inhibitory = _inhibitory(wiring)[np.ix_(types, types)]

    def mode_at(scale: float) -> RingMode:
        return ring_mode(matrix * np.where(inhibitory, scale, 1.0), angle, mask)

    if fixed:
        mode = mode_at(1.0)
        if mode.eigenvalue <= 0:
            raise FitError(f"spectral start: got a leading eigenvalue of {mode.eigenvalue:g}, wanted more than 0")
        return 1.0, mode
    best: tuple[float, float] | None = None
    for scale in _SCALES:
        mode = mode_at(scale)
        if mode.eigenvalue <= 0:
            continue
        clear = mode.next_eigenvalue <= (1 - options.gap) * mode.eigenvalue
        if mode.ring_share >= options.ring_share and clear:
            final = float(scale * options.margin)
            return final, mode_at(final)
        best = max(best or (0.0, 0.0), (mode.ring_share, float(scale)))
    share = "none" if best is None else f"{best[0]:.2f} at {best[1]:.2f}"
    raise FitError(
        f"spectral start: scaling inhibition from {_SCALES[0]:g} to {_SCALES[-1]:g} never made the leading mode a ring "
        f"mode (best share {share}, wanted {options.ring_share:g} with a gap of {options.gap:g}); lower "
        "start.ring_share or start.gap, or check signs and ring angles"
    )


def _set_groups(parameters: Parameters, family: str, values: np.ndarray) -> None:
    """Set a family from a table by type, type pair or pair of neurons.

    Groups that cover several entries get their (geometric) mean.
    """
    names = parameters.names(family)
    if family == "gain" and not parameters.by_type:
        new = values[parameters.gain_group.cpu().numpy() >= 0]
    elif family == "gain":
        group = parameters.gain_group.cpu().numpy()
        new = np.array([np.exp(np.log(values[group == g]).mean()) for g in range(len(names))])
    else:
        new = values if len(names) == len(values) else np.array([values.mean()])
    bounds = parameters.spec.bounds[family]
    if bounds.scale == "log":
        low, high = bounds.low * (1 + _INSIDE), bounds.high * (1 - _INSIDE)
    else:
        width = _INSIDE * (bounds.high - bounds.low)
        low, high = bounds.low + width, bounds.high - width
    parameters.set_(family, torch.as_tensor(np.clip(new, low, high)))


def _inverse(activation: Activation, rate: float) -> float:
    """The input at which the activation has this value."""
    if activation.name in ("sigmoid", "tanh") and rate >= 1:
        raise ConfigError(f"start, operating_rate: got {rate}, wanted less than 1 for {activation.name}")
    inverses: dict[str, Callable[[float], float]] = {
        "sigmoid": lambda r: math.log(r / (1 - r)),
        "tanh": math.atanh,
        "softplus": lambda r: math.log(math.expm1(r)),
        "relu": lambda r: r,
    }
    return inverses[activation.name](rate)


def _slope_at(activation: Activation, rate: float) -> float:
    return float(activation.slope_from_value(torch.tensor(rate, dtype=torch.float64)))
