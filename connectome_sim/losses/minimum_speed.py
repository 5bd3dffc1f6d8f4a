"""Unsupervised: a state under input moves. Excludes the pinned bump and the silent network."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.losses.observation import Observation, non_negative, valid_at

ROOT_GUARD = 1e-6  # 1/s, chosen: keeps the gradient of a speed of zero finite, far below any speed that matters


@dataclass(frozen=True)
class MinimumSpeed:
    """Hinge on the speed of the state relative to the angular velocity.

    Attributes:
        floor: smallest root-mean-square change of an EPG rate per radian of turning. A raised cosine of height 1 has
            0.35; chosen well below, so that any bump that follows its input passes.
        above: angular speeds up to this do not count, rad/s.
        settle: the first seconds of a trial left out.
    """

    floor: float = 0.05
    above: float = 0.5
    settle: float = 0.0

    def __post_init__(self) -> None:
        non_negative(floor=self.floor, above=self.above, settle=self.settle)

    def __call__(self, observation: Observation) -> Float[Tensor, "steps batch"]:
        """Values [T, B], 0 (fast enough) to 1 (not moving at all); 0 where the angular speed does not count."""
        # max(0, 1 - v / (floor |omega|))^2,  v = root mean square over EPG of [r(t + h) - r(t)] / h
        square = (observation.epg_rates.diff(dim=0) / observation.time_step).square().mean(dim=-1)
        speed = (square + ROOT_GUARD**2).sqrt() - ROOT_GUARD
        wanted = self.floor * observation.velocity.abs()
        counts = self._counts(observation) & (wanted > 0)
        return (1 - speed / wanted.masked_fill(~counts, 1.0)).clamp(min=0).square() * counts

    def where(self, observation: Observation) -> Bool[Tensor, "steps batch"]:
        """Steps with enough velocity, after ``settle``, of valid trials."""
        return valid_at(observation, self._counts(observation))

    def _counts(self, observation: Observation) -> Tensor:
        late = observation.elapsed[:-1] >= (observation.steps(self.settle) - 0.5) * observation.time_step
        return (observation.velocity.abs() > self.above) & late[:, None]
