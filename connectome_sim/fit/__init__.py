"""Fitting cell-type parameters to self-supervised losses. Knows no file and no configuration."""

from __future__ import annotations

from connectome_sim.fit.fitting import FitResult, FitState, fit
from connectome_sim.fit.optimizers import POLISH, Adam, GaussNewton
from connectome_sim.fit.options import FitOptions, Stage
from connectome_sim.fit.start import SpectralStart, ring_mode, spectral_start

__all__ = [
    "POLISH",
    "Adam",
    "FitOptions",
    "FitResult",
    "FitState",
    "GaussNewton",
    "SpectralStart",
    "Stage",
    "fit",
    "ring_mode",
    "spectral_start",
]
