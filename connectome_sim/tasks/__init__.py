"""Seeded trials: headings and angular velocity traces, for training and probes. Knows no network and no solver.

All generators take the caller's ``numpy.random.Generator``; :func:`generator` makes one for a purpose, so that fitting
and held-out traces cannot coincide.
"""

from connectome_sim.tasks.probes import constant, noise_current, rest
from connectome_sim.tasks.seeds import PURPOSES, generator
from connectome_sim.tasks.training import TrainingMix, consistency, training
from connectome_sim.tasks.trials import Pairs, Trials, concatenate, headings, integrate, n_steps
from connectome_sim.tasks.walking import WalkingStatistics, latent_correlation_time, ornstein_uhlenbeck, walking

__all__ = [
    "PURPOSES",
    "Pairs",
    "TrainingMix",
    "Trials",
    "WalkingStatistics",
    "concatenate",
    "consistency",
    "constant",
    "generator",
    "headings",
    "integrate",
    "latent_correlation_time",
    "n_steps",
    "noise_current",
    "ornstein_uhlenbeck",
    "rest",
    "training",
    "walking",
]
