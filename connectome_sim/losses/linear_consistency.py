"""Self-supervised without a decoder: displacements scale with velocity, and equal integrals end in equal states.

Our reading of the linear consistency of Duan, Dong & Fiete (2025), whose formula is not available to us. It compares
pairs of trials (``Observation.scaled_pairs`` and ``equal_pairs``, laid out by ``tasks.consistency``) through their
rates alone: no ring angle enters. A network that never moves satisfies it; ``minimum_speed`` excludes that. So does
one that turns the wrong way, or at the wrong gain, everywhere: lengths of paths have no direction and no unit. Pairs
whose integrals differ by a whole turn (``tasks.consistency``) fix the gain to a whole number; the direction is the
wiring's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.errors import ConfigError
from connectome_sim.losses.observation import Observation, TrialPairs, non_negative

GUARD = 1e-6  # units of rate, chosen: keeps 0/0 of a state that does not move finite


@dataclass(frozen=True)
class LinearConsistency:
    """Mismatch of path lengths of proportional programmes, and of end states of programmes with equal integrals.

    Attributes:
        scaled: weight of the path lengths.
        equal: weight of the end states.
    """

    scaled: float = 1.0
    equal: float = 1.0

    def __post_init__(self) -> None:
        non_negative(scaled=self.scaled, equal=self.equal)

    def __call__(self, observation: Observation) -> Float[Tensor, " pair"]:
        """Values [P + Q]: P scaled pairs (0 to 1), then Q equal pairs (0 to 2), each times its weight.

        Raises:
            ConfigError: the observation holds no pairs.
        """
        # scaled pair (i, j, a), omega_i = a omega_j:  ( (L_i - |a| L_j) / (L_i + |a| L_j) )^2,
        #     L = sum_t |r(t + h) - r(t)|, the length of the path of the EPG state
        # equal pair (i, j), same integral of omega:  |q_i - q_j|^2 / (|q_i|^2 + |q_j|^2),
        #     q = r(T) - mean over neurons, the EPG state at the end
        rates = observation.epg_rates
        scaled, equal = self._pairs(observation)
        length = ((rates.diff(dim=0).square().sum(dim=-1) + GUARD**2).sqrt() - GUARD).sum(dim=0)
        fast, slow = length[scaled.first], scaled.scale.abs() * length[scaled.second]
        path = ((fast - slow) / (fast + slow + GUARD)).square()
        end = rates[-1] - rates[-1].mean(dim=-1, keepdim=True)
        one, other = end[equal.first], end[equal.second]
        state = (one - other).square().sum(dim=-1) / (one.square().sum(dim=-1) + other.square().sum(dim=-1) + GUARD**2)
        return torch.cat([self.scaled * path, self.equal * state])

    def where(self, observation: Observation) -> Bool[Tensor, " pair"]:
        """Pairs of two valid trials."""
        valid = observation.valid
        return torch.cat([valid[pairs.first] & valid[pairs.second] for pairs in self._pairs(observation)])

    @staticmethod
    def _pairs(observation: Observation) -> tuple[TrialPairs, TrialPairs]:
        if observation.scaled_pairs is None or observation.equal_pairs is None:
            raise ConfigError(
                "loss linear_consistency: got an observation without trial pairs; "
                "give the training mix a share of consistency trials, or drop this loss"
            )
        return observation.scaled_pairs, observation.equal_pairs
