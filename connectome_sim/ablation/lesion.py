"""Perturbations as connections that are missing: what a new fit is made on. Knows no fit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import scipy.sparse as sp

from connectome_sim.ablation.perturbations import Input, Output, Perturbation
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.errors import ConfigError


def lesioned(
    connectome: Connectome, perturbations: Sequence[Perturbation], velocity_types: Collection[str]
) -> Connectome:
    """The connectome without the connections that perturbations silence.

    Args:
        connectome: the circuit.
        perturbations: silencing of outputs or inputs, throughout.
        velocity_types: types whose neurons sense the velocity.

    Raises:
        ConfigError: anything that is not a missing connection: a window, a factor (which gains would make up for), a
            held rate, a current, or the input of neurons that also sense the velocity, which is no synapse here.
        SelectionError: a target that is empty or not there.
    """
    counts = connectome.dense()
    for perturbation in perturbations:
        if not isinstance(perturbation, (Output, Input)) or perturbation.window is not None:
            raise ConfigError(
                f"perturbation {perturbation.name!r}: got a new fit (mode refit), wanted outputs or inputs "
                "that are silent throughout: a new fit is made on the connections that are left; leave refit out of "
                "ablation.modes"
            )
        if isinstance(perturbation, Input) and perturbation.source is None:
            senses = np.isin(connectome.neurons.type[perturbation.target.mask(connectome.neurons)], [*velocity_types])
            if senses.any():
                raise ConfigError(
                    f"perturbation {perturbation.name!r}: got a new fit (mode refit) for {int(senses.sum())} neurons "
                    "with velocity input, which is no connection and cannot be left out of a new fit; state source, or "
                    "leave refit out of ablation.modes"
                )
        counts[perturbation.block(connectome.neurons).connections] = 0
    if not perturbations:
        return connectome
    step = "silenced: " + "; ".join(perturbation.name for perturbation in perturbations)
    return connectome.replaced(step=step, counts=sp.csr_array(counts))
