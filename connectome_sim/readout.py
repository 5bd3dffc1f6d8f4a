"""Reading a bump out of firing rates: heading, vector length, amplitude, width, peaks. Knows no model, solver or task.

Every method takes rates [..., neuron] and keeps the leading axes. ``heading``, ``vector_length`` and ``amplitude`` are
differentiable and have finite gradients everywhere, also for a silent network; ``width`` and ``peaks`` describe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float, Int
from scipy.signal import find_peaks
from torch import Tensor

from connectome_sim.axes import PerNeuron
from connectome_sim.errors import ConfigError, ShapeError


class Reading(NamedTuple):
    """What losses and probes need of the rates, each [...].

    Attributes:
        heading: decoded heading, rad, in [-pi, pi].
        vector_length: 0 (no preferred direction) to 1 (one neuron active).
        amplitude: maximum minus minimum over the wedges, units of rate.
    """

    heading: Tensor
    vector_length: Tensor
    amplitude: Tensor


def population_vector(
    rates: Float[Tensor, "*lead neuron"], ring_angle: PerNeuron, mask: Bool[Tensor, " neuron"]
) -> Complex[Tensor, "*lead"]:
    """Mean of r exp(i ring_angle) over the masked neurons: angle = heading, modulus in units of rate."""
    x, y = (rates @ _compass(ring_angle, mask).to(rates)).unbind(-1)
    return torch.complex(x, y) / mask.sum()


def _compass(ring_angle: Tensor, mask: Tensor) -> Tensor:
    """Cosine and sine of the preferred heading [neuron, 2], zero outside the mask (where the angle may be NaN)."""
    angle = torch.where(mask, ring_angle, torch.zeros_like(ring_angle))
    return torch.stack([angle.cos(), angle.sin()], dim=-1) * mask[:, None]


def safe_angle(x: Tensor, y: Tensor) -> Tensor:
    """atan2(y, x), rad, but 0 with zero gradient where the vector vanishes (there atan2 has gradient 0/0)."""
    vanishes = x * x + y * y <= torch.finfo(x.dtype).tiny
    return torch.atan2(y.masked_fill(vanishes, 0.0), x.masked_fill(vanishes, 1.0))


def safe_modulus(x: Tensor, y: Tensor) -> Tensor:
    """Length of the vector (x, y), 0 with zero gradient where it vanishes (there the root has gradient 0/0)."""
    square = x * x + y * y
    vanishes = square <= torch.finfo(x.dtype).tiny
    return square.masked_fill(vanishes, 1.0).sqrt().masked_fill(vanishes, 0.0)


@dataclass(frozen=True, eq=False)
class Readout:
    """Population-vector decoder of the neurons that carry the heading (EPG).

    Attributes:
        ring_angle: preferred heading [N], rad; NaN is allowed outside the mask.
        epg_mask: the neurons read [N], bool.
        wedges: number of equal sectors of the ring, the first centred on angle 0. The bump profile is the mean rate of
            the read neurons in each; 16 = the half-tiles of the ellipsoid body.

    Raises:
        ShapeError: arrays that do not fit each other, an empty mask, or a read neuron without an angle.
        ConfigError: fewer than 3 wedges, or a wedge without a neuron.
    """

    ring_angle: PerNeuron
    epg_mask: Bool[Tensor, " neuron"]
    wedges: int = 16
    _compass: Tensor = field(init=False, repr=False)
    _averaging: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.ring_angle.shape != self.epg_mask.shape:
            got, wanted = tuple(self.epg_mask.shape), tuple(self.ring_angle.shape)
            raise ShapeError(f"epg_mask: got shape {got}, wanted {wanted} like ring_angle")
        angle = self.ring_angle[self.epg_mask]
        if angle.numel() == 0 or not torch.isfinite(angle).all():
            without = int((~torch.isfinite(angle)).sum())
            raise ShapeError(
                f"ring_angle: got {angle.numel()} neurons to read, {without} of them without an angle; "
                "wanted at least one, each with an angle: give them one or leave them out of epg_mask"
            )
        object.__setattr__(self, "_compass", _compass(self.ring_angle, self.epg_mask))
        object.__setattr__(self, "_averaging", self._wedge_averaging())

    def _wedge_averaging(self) -> Tensor:
        """Matrix [neuron, wedge] that averages the read neurons of each wedge."""
        if self.wedges < 3:
            raise ConfigError(f"wedges: got {self.wedges}, wanted at least 3")
        # the small shift sends an angle on the border between two wedges to the same one whatever its rounding error
        position = self.ring_angle.nan_to_num() / (2 * math.pi / self.wedges) + 1e-4
        index = torch.floor(position + 0.5).long() % self.wedges
        member = torch.nn.functional.one_hot(index, self.wedges) * self.epg_mask[:, None]
        size = member.sum(dim=0)
        if (size == 0).any():
            empty = int((size == 0).nonzero()[0])
            raise ConfigError(
                f"readout: none of the {int(self.epg_mask.sum())} read neurons lies in the wedge around "
                f"{360 * empty / self.wedges:g} deg, wanted at least one in each of {self.wedges} wedges; is a "
                "glomerulus missing from the connectome?"
            )
        return (member / size).to(self.ring_angle.dtype)

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Readout:
        """The same decoder with another dtype or on another device."""
        return replace(
            self, ring_angle=self.ring_angle.to(device=device, dtype=dtype), epg_mask=self.epg_mask.to(device=device)
        )

    def population_vector(self, rates: Float[Tensor, "*lead neuron"]) -> Complex[Tensor, "*lead"]:
        """Mean of r exp(i ring_angle) over the read neurons."""
        x, y = self._components(rates)
        return torch.complex(x, y) / self.epg_mask.sum()

    def heading(self, rates: Float[Tensor, "*lead neuron"]) -> Float[Tensor, "*lead"]:
        """Decoded heading = angle( sum r exp(i ring_angle) ), rad, in [-pi, pi]; 0 where the vector vanishes."""
        return safe_angle(*self._components(rates))

    def vector_length(self, rates: Float[Tensor, "*lead neuron"]) -> Float[Tensor, "*lead"]:
        """|sum r exp(i ring_angle)| / sum |r|, 0 to 1; 0 for a silent network. (|r| = r but for tanh units.)"""
        return self._relative_length(rates, *self._components(rates))

    def profile(self, rates: Float[Tensor, "*lead neuron"]) -> Float[Tensor, "*lead wedge"]:
        """Mean rate of the read neurons in each wedge, wedge k centred on 2 pi k / wedges."""
        return rates @ self._averaging.to(rates)

    def amplitude(self, rates: Float[Tensor, "*lead neuron"]) -> Float[Tensor, "*lead"]:
        """Bump amplitude: maximum minus minimum over the wedges, units of rate."""
        low, high = torch.aminmax(self.profile(rates), dim=-1)
        return high - low

    def read(self, rates: Float[Tensor, "*lead neuron"]) -> Reading:
        """Heading, vector length and amplitude with one pass over the rates."""
        x, y = self._components(rates)
        return Reading(safe_angle(x, y), self._relative_length(rates, x, y), self.amplitude(rates))

    def width(self, rates: Float[Tensor, "*lead neuron"]) -> Float[Tensor, "*lead"]:
        """Full width of the bump at half of its height, rad: NaN where the profile is flat.

        Half height is midway between the lowest and the highest wedge. From the highest wedge the profile is followed
        to both sides, linear between wedge centres, to the first crossing.
        """
        return profile_width(self.profile(rates))

    def peaks(self, rates: Float[Tensor, "*lead neuron"]) -> Int[Tensor, "*lead"]:
        """Number of bumps: peaks around the circle that stand out by a quarter of the amplitude; 0 where it is flat.

        How far a peak stands out (its prominence) is its height above the higher one of the two troughs that part it
        from higher peaks. The profile is smoothed over neighbouring wedges (1/4, 1/2, 1/4) first, as imaging does:
        single wedges whose counts set them apart are no bumps of their own.
        """
        return profile_peaks(self.profile(rates))

    def _components(self, rates: Tensor) -> tuple[Tensor, Tensor]:
        x, y = (rates @ self._compass.to(rates)).unbind(-1)
        return x, y

    def _relative_length(self, rates: Tensor, x: Tensor, y: Tensor) -> Tensor:
        total = (rates.abs() * self.epg_mask).sum(dim=-1)
        silent = total <= torch.finfo(total.dtype).tiny
        return (safe_modulus(x, y) / total.masked_fill(silent, 1.0)).masked_fill(silent, 0.0)


def profile_width(profile: Float[Tensor, "*lead wedge"]) -> Float[Tensor, "*lead"]:
    """Full width at half height of a profile around the circle, rad; see `Readout.width`."""
    wedges = profile.shape[-1]
    low, high = torch.aminmax(profile, dim=-1, keepdim=True)
    half = (low + high) / 2
    order = torch.arange(wedges, device=profile.device)
    peak = profile.argmax(dim=-1, keepdim=True)
    sides = (profile.gather(-1, (peak + direction * order) % wedges) for direction in (1, -1))
    width = sum((_crossing(side, half) for side in sides), torch.zeros_like(half[..., 0]))
    flat = (high - low)[..., 0] <= 0
    return (width * (2 * math.pi / wedges)).masked_fill(flat, math.nan)


def profile_peaks(profile: Float[Tensor, "*lead wedge"]) -> Int[Tensor, "*lead"]:
    """Number of bumps in a profile around the circle; see `Readout.peaks`."""
    values = profile.detach().cpu().double().numpy()
    values = (np.roll(values, 1, axis=-1) + 2 * values + np.roll(values, -1, axis=-1)) / 4
    counts = [_circular_peaks(row) for row in values.reshape(-1, values.shape[-1])]
    return torch.tensor(counts, device=profile.device).reshape(values.shape[:-1])


def _crossing(side: Tensor, half: Tensor) -> Tensor:
    """Distance in wedges from the peak (index 0 of the last axis) to where the profile first falls to ``half``."""
    # a flat profile never falls below half: argmax then gives 0, clamped here, and the caller marks it NaN
    first = (side <= half).to(torch.int8).argmax(dim=-1, keepdim=True).clamp(min=1)
    outer, inner = side.gather(-1, first), side.gather(-1, first - 1)
    drop = inner - outer
    fraction = (inner - half) / drop.masked_fill(drop == 0, 1.0)
    return (first - 1 + fraction)[..., 0]


def _circular_peaks(profile: np.ndarray) -> int:
    """Peaks of one profile around the circle with a prominence of at least a quarter of the amplitude."""
    amplitude = float(profile.max() - profile.min())
    if not amplitude > 0:
        return 0
    lowest = int(profile.argmin())
    around = np.roll(profile, -lowest)  # from the lowest wedge to the lowest wedge: no peak at the ends
    around = np.append(around, around[0]) - 1e-9 * amplitude * np.arange(
        len(around) + 1
    )  # of two equal peaks, one is higher
    found, _ = find_peaks(around, prominence=amplitude / 4)
    return len(found)
