"""Unsupervised alternative to ``bump``: few neurons active at each time, all of them over the headings visited."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.losses.observation import Observation, valid_at

SMOOTHING = 1e-6  # rate, chosen: keeps the logarithm of a silent neuron finite


@dataclass(frozen=True)
class Entropy:
    """One minus the information that a state holds about which neuron is active, as a share of what it could hold."""

    def __call__(self, observation: Observation) -> Float[Tensor, "time batch"]:
        """Values [T + 1, B]; their mean is between 0 and 1.

        The minimum, 0, is one active neuron at a time and each of M equally often; a uniform or a pinned state has 1. A
        bump of finite width lies in between: a raised cosine that visits all headings has 1 - (1 - log 2) / log M.
        """
        # 1 - KL(p || q) / log M,  p_i = r_i / sum r at one time and trial, q = mean of p over all of them
        # the mean of KL(p || q) is H(q) - mean H(p): high entropy over headings, low entropy over neurons at each time
        rates = observation.epg_rates.clamp(min=0) + SMOOTHING
        p = rates / rates.sum(dim=-1, keepdim=True)
        weight = observation.valid.to(p.dtype)
        q = torch.einsum("tbm,b->m", p, weight) / (len(p) * weight.sum().clamp(min=1))
        information = (p * (p.log() - q.clamp(min=torch.finfo(q.dtype).tiny).log())).sum(dim=-1)
        return 1 - information / math.log(max(p.shape[-1], 2))

    def where(self, observation: Observation) -> Bool[Tensor, "time batch"]:
        """All samples of valid trials."""
        return valid_at(observation, torch.ones_like(observation.phase, dtype=torch.bool))
