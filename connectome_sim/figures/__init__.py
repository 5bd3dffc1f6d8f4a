"""Figures of a run or a sweep, drawn from its saved results only. The only place that knows matplotlib."""

from __future__ import annotations

from connectome_sim.figures.all import FIGURES, draw_all
from connectome_sim.figures.gain import gain_curve
from connectome_sim.figures.integration import integration_error
from connectome_sim.figures.kymograph import bump_kymograph
from connectome_sim.figures.losses import loss_curves
from connectome_sim.figures.rest import rest_drift
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.saved_sweep import SavedSweep
from connectome_sim.figures.style import style
from connectome_sim.figures.sweep import draw_sweep
from connectome_sim.figures.weights import weight_matrix

__all__ = [
    "FIGURES",
    "SavedRun",
    "SavedSweep",
    "bump_kymograph",
    "draw_all",
    "draw_sweep",
    "gain_curve",
    "integration_error",
    "loss_curves",
    "rest_drift",
    "style",
    "weight_matrix",
]
