"""Unsupervised: the bump appears where the cue was, which makes every heading reachable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.losses.observation import Observation


@dataclass(frozen=True)
class Cue:
    """1 - cos of the angle between the cue and the bump at the start of the trial."""

    def __call__(self, observation: Observation) -> Float[Tensor, " batch"]:
        """Values [B], 0 to 2."""
        # 1 - cos( phase(0) - cue heading )
        return 1 - torch.cos(observation.phase[0] - observation.cue_heading)

    def where(self, observation: Observation) -> Bool[Tensor, " batch"]:
        """Valid trials."""
        return observation.valid
