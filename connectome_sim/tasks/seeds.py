"""Random generators whose streams cannot meet: one per seed and purpose. Knows nothing of what is drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from connectome_sim.errors import ConfigError

# chosen; first number of every spawn key, so never renumber
PURPOSES: Mapping[str, int] = {
    "fit": 0,
    "held_out": 1,
    "start": 2,
    "noise": 3,
    "validation": 4,
    "sketch": 5,
    "ablation": 6,
    "null": 7,
}


def generator(seed: int, purpose: str, *stream: int) -> Generator:
    """A random generator whose stream is disjoint from that of any other seed, purpose or ``stream`` number.

    The purpose is part of the spawn key of a ``numpy.random.SeedSequence``, so a fit with seed 7 and an evaluation with
    seed 7 share no random number. ``stream`` subdivides further, e.g. by iteration, so that a resumed fit draws what
    the uninterrupted one would have drawn.

    Raises:
        ConfigError: unknown purpose, or a negative seed or stream.
    """
    if purpose not in PURPOSES:
        raise ConfigError(f"purpose: got {purpose!r}, wanted one of {sorted(PURPOSES)}")
    if seed < 0 or min(stream, default=0) < 0:
        raise ConfigError(f"seed: got {(seed, *stream)}, wanted integers of zero or more")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose], *stream)))
