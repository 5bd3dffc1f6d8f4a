"""Circuits of a few neurons whose every number can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.model import Wiring

SIGNS = {"EPG": 1, "PEN_a": 1, "Delta7": -1, "GLNO": -1}
# Five neurons: EPG, EPG, PEN_a left, PEN_a right, Delta7. Rows post, columns pre; asymmetric on purpose.
COUNTS = np.array(
    [
        [0, 0, 7, 0, 4],
        [0, 0, 0, 5, 0],
        [3, 0, 0, 0, 2],
        [0, 1, 0, 0, 0],
        [6, 2, 0, 0, 0],
    ]
)
TYPES = ("EPG", "EPG", "PEN_a", "PEN_a", "Delta7")
SIDES = ("", "", "L", "R", "")


def connectome(
    counts: np.ndarray = COUNTS,
    types: tuple[str, ...] = TYPES,
    sides: tuple[str, ...] = SIDES,
    *,
    signs: Mapping[str, int] = SIGNS,
    overrides: Mapping[tuple[str, str], int] | None = None,
) -> Connectome:
    n = len(types)
    return Connectome(
        neurons=Neurons(
            id=np.array([str(i) for i in range(n)]),
            type=np.array(types),
            database_type=np.array(types),
            instance=np.array([""] * n),
            side=np.array(sides),
            glomerulus=np.zeros(n, dtype=np.int64),
            ring_angle=np.where(np.array(types) == "EPG", np.arange(n) * 1.0, np.nan),
        ),
        counts=sp.csr_array(counts),
        provenance=Provenance("by hand"),
        signs=Signs(signs, overrides or {}),
    )


def wiring(*, dtype: torch.dtype = torch.float64) -> Wiring:
    return Wiring.from_connectome(connectome(), velocity_types=("PEN_a",), dtype=dtype)
