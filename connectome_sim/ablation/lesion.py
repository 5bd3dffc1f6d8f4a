"""Perturbations as connections that are missing: what a new fit is made on. Knows no fit."""

from __future__ import annotations

from collections.abc import Sequence

import scipy.sparse as sp

from connectome_sim.ablation.perturbations import Input, Output, Perturbation
from connectome_sim.axes import FloatArray
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.errors import ConfigError


def lesioned(connectome: Connectome, perturbations: Sequence[Perturbation], velocity_input: FloatArray) -> Connectome:
    """The connectome without the connections that perturbations silence.

    Args:
        connectome: N neurons.
        perturbations: silencing of outputs or inputs, throughout.
        velocity_input: of each neuron in the fitted network [N], 1 per rad/s.

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
            senses = velocity_input[perturbation.target.mask(connectome.neurons)] != 0
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
