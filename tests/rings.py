"""Hand-built ring networks whose behaviour is known: what a head-direction circuit should do, without any fit.

One population carries the bump (EPG) and two shift it (PEN_a): both copy the first Fourier mode of the EPG bump; one
drives EPG 60 degrees ahead of it, the other 60 degrees behind. A velocity raises one and lowers the other, so the bump
turns. Every kernel is a cosine, so only the first mode couples back and the bump can sit anywhere, up to the aliasing
of ``n`` neurons: next to nothing for 48, a few degrees of sticking for 16.
"""

from __future__ import annotations

import numpy as np
import torch

from connectome_sim.evaluate import store
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.records import FittedNetwork

SHIFT = np.deg2rad(60)
TIME_CONSTANT = 0.02  # s
# current per rad/s, for which the ring turns at 60 deg/s when told to; found by bisection on the SciPy solution of
# tests/reference/test_network_file_scipy.py, not on our own
VELOCITY_INPUT = 0.1565


def ring(
    *, n: int = 48, gain: float = 1.0, slope: float = 0.0, asymmetry: float = 0.0, time_constant: float = TIME_CONSTANT
) -> tuple[RateNetwork, Readout]:
    """A ring integrator of 3 n neurons (EPG, PEN left, PEN right), float64.

    Args:
        n: neurons per population; 48 integrates almost perfectly, 16 sticks at its 16 wedges.
        gain: velocity input relative to that of unit gain.
        slope: extra bias slope * cos(ring angle) on EPG; without input the bump then drifts to heading 0.
        asymmetry: extra bias of the left PEN population; the bump then turns by itself.
        time_constant: s.
    """
    angle = 2 * np.pi * np.arange(n) / n
    distance = angle[:, None] - angle[None, :]
    epg, left, right = (slice(i * n, (i + 1) * n) for i in range(3))
    weights = np.zeros((3 * n, 3 * n))
    # chosen by a random search for a flat gain curve, then rounded
    weights[epg, epg] = 2 / n * (9.4 * np.cos(distance) - 6.0)
    weights[epg, left] = 2 / n * 20.0 * np.cos(distance - SHIFT)
    weights[epg, right] = 2 / n * 20.0 * np.cos(distance + SHIFT)
    weights[left, epg] = weights[right, epg] = 2 / n * 10.0 * np.cos(distance)
    bias = np.concatenate([slope * np.cos(angle), np.full(n, -3.5 + asymmetry), np.full(n, -3.5)])
    velocity_input = gain * VELOCITY_INPUT * np.repeat([0.0, 1.0, -1.0], n)
    ring_angle, epg_mask = np.tile(angle, 3), np.repeat([True, False, False], n)
    network = RateNetwork.from_arrays(
        weights,
        bias,
        np.full(3 * n, time_constant),
        velocity_input,
        ring_angle=ring_angle,
        epg_mask=epg_mask,
    )
    return network, Readout(torch.as_tensor(ring_angle), torch.as_tensor(epg_mask))


def stored_ring(*, seed: int = 3, n: int = 48, gain: float = 1.0) -> FittedNetwork:
    """The ring as it would stand in ``network.h5``, with its settled states."""
    network, readout = ring(n=n, gain=gain)
    return store(
        network,
        readout,
        id=[str(5_813_020_000 + i) for i in range(3 * n)],  # 64-bit, as in hemibrain: would not survive as int32
        type=["EPG"] * n + ["PEN_a"] * (2 * n),
        instance=[f"neuron-ä{i}" for i in range(3 * n)],
        side=[""] * n + ["L"] * n + ["R"] * n,
        seed=seed,
        dataset="analytic ring",
        dataset_sha256="0" * 64,
        step=2e-3,
    )
