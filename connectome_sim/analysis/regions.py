"""Regions of interest as an experimenter draws them: which neurons each averages. Knows the fly's neuropils, no rates.

In the ellipsoid body 16 wedges of 22.5 deg, wedge k centred on 2 pi k / 16; in the bridge 8 glomeruli of each side (1
to 8; PEN_a: 2 to 9); two noduli, each with all PEN_a of the other side of the bridge. A region's value is the mean over
the neurons that have processes there. Optical blur is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from connectome_sim.axes import FloatArray
from connectome_sim.connectome.anatomy import Instance, parse_instance
from connectome_sim.errors import DataError
from connectome_sim.records import FittedNetwork

WEDGES = 16  # of the ellipsoid body
GLOMERULI = 8  # of one side of the bridge, which together stand for the whole circle
WEDGE = 2 * math.pi / WEDGES
# A PEN of glomerulus L_g has its tile of the ellipsoid body at the wedges of EPG L_(g-1) and R_(11-g): centred 2.5
# wedges below its own angle, right-hand ones 2.5 above (see connectome/anatomy.py for the order of the wedges)
PEN_OFFSET_WEDGES = 2.5

EPG_RING, PEN_RING = "EPG, ellipsoid body", "PEN_a, ellipsoid body"
EPG_BRIDGE, PEN_BRIDGE, DELTA7_BRIDGE = "EPG, bridge", "PEN_a, bridge", "Delta7, bridge"
PEN_NODULI = "PEN_a, noduli"


@dataclass(frozen=True, eq=False)
class Regions:
    """Averages of neurons, by name of cell type and neuropil.

    Attributes:
        means: name -> [neuron, region], columns that sum to 1. In the bridge L1 to L8, then R1 to R8 (PEN_a: 2 to 9).
            Of the noduli first the right one, which the left bridge drives, then the left one.
        missing: name -> why there is none.
    """

    means: Mapping[str, FloatArray]
    missing: Mapping[str, str]

    @property
    def matrix(self) -> FloatArray:
        """All regions side by side [neuron, regions]."""
        return np.concatenate(list(self.means.values()), axis=1)

    def split(self, values: FloatArray) -> dict[str, FloatArray]:
        """Values of all regions [..., regions] by name."""
        edges = np.cumsum([mean.shape[1] for mean in self.means.values()])[:-1]
        return dict(zip(self.means, np.split(values, edges, axis=-1), strict=True))


def regions_of(network: FittedNetwork) -> Regions:
    """The regions that a network's neurons allow; those that they do not, with the reason."""
    means: dict[str, FloatArray] = {}
    missing: dict[str, str] = {}
    recipes: Mapping[str, Callable[[FittedNetwork], FloatArray]] = {
        EPG_RING: _epg_ring,
        PEN_RING: _pen_ring,
        EPG_BRIDGE: lambda network: _bridge(network, "EPG"),
        PEN_BRIDGE: lambda network: _bridge(network, "PEN_a"),
        DELTA7_BRIDGE: lambda network: _bridge(network, "Delta7"),
        PEN_NODULI: _noduli,
    }
    for name, recipe in recipes.items():
        try:
            means[name] = _averaging(name, recipe(network))
        except DataError as error:
            missing[name] = str(error)
    return Regions(means, missing)


def _epg_ring(network: FittedNetwork) -> FloatArray:
    index = np.flatnonzero(network.epg_mask)
    position = network.ring_angle[index] / WEDGE
    member = np.zeros((len(network.bias), WEDGES))
    # an angle on the border between two wedges goes to the same one whatever its rounding error
    member[index, np.floor(position + 0.5 + 1e-4).astype(int) % WEDGES] = 1.0
    return member


def _pen_ring(network: FittedNetwork) -> FloatArray:
    index = _neurons(network, "PEN_a")
    side = np.array([{"L": -1.0, "R": 1.0}.get(network.side[i], math.nan) for i in index])
    centre = network.ring_angle[index] / WEDGE + side * PEN_OFFSET_WEDGES
    if not np.isfinite(centre).all():
        raise DataError("some PEN_a have no side or no ring angle")
    member = np.zeros((len(network.bias), WEDGES))
    for shift in (-0.5, 0.5):  # a tile is two wedges
        member[index, np.floor(centre + shift + 0.5 + 1e-4).astype(int) % WEDGES] = 1.0
    return member


def _bridge(network: FittedNetwork, cell_class: str) -> FloatArray:
    member = np.zeros((len(network.bias), 2 * GLOMERULI))
    first = 2 if cell_class == "PEN_a" else 1  # there is no PEN_a in glomerulus 1
    for i in _neurons(network, cell_class):
        for side, glomerulus in _innervated(parse_instance(network.instance[i])):
            if first <= glomerulus < first + GLOMERULI:
                member[i, glomerulus - first + GLOMERULI * (side == "R")] = 1.0
    return member


def _noduli(network: FittedNetwork) -> FloatArray:
    member = np.zeros((len(network.bias), 2))
    for i in _neurons(network, "PEN_a"):
        if (side := network.side[i]) not in ("L", "R"):
            raise DataError("some PEN_a have no side")
        member[i, int(side == "R")] = 1.0
    return member


def _innervated(instance: Instance) -> tuple[tuple[str, int], ...]:
    return instance.outputs or ((instance.side, instance.glomerulus),)


def _neurons(network: FittedNetwork, cell_class: str) -> np.ndarray:
    index = np.flatnonzero([name == cell_class for name in network.type])
    if not len(index):
        raise DataError(f"the network has no {cell_class}")
    return index


def _averaging(name: str, member: FloatArray) -> FloatArray:
    size = member.sum(axis=0)
    if (size == 0).any():
        raise DataError(f"{name}: no neuron in {int((size == 0).sum())} of {len(size)} regions")
    return member / size
