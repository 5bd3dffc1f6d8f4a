"""What fitted parameters say of a fit: how far apart its gains lie, and which numbers its bounds decided.

Knows no network and no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from connectome_sim.connectome.connectome import Connectome
from connectome_sim.errors import DataError
from connectome_sim.evaluate.metrics import Metrics
from connectome_sim.model import Bounds, Parameters
from connectome_sim.model.parameters import FAMILIES

FEW_SYNAPSES = (20, 50)
"""A gain on fewer synapses than these, in the whole circuit, is a number that hardly any data hold (chosen)."""


@dataclass(frozen=True)
class Number:
    """One number of a network.

    Attributes:
        family: gain, threshold, time_constant or velocity_gain.
        name: what it belongs to, e.g. ``EPG<-PEN_a`` (post <- pre).
        value: in the unit of its family.
        bounds: of its family.
        fitted: whether the fit could move it.
        synapses: of all connections that a gain multiplies; None for other families.
    """

    family: str
    name: str
    value: float
    bounds: Bounds
    fitted: bool
    synapses: int | None = None

    @property
    def at_bound(self) -> bool:
        """Whether the fit could move it and left it at or near a bound, see `Bounds.met`."""
        return self.fitted and bool(self.bounds.met(torch.tensor(self.value, dtype=torch.float64)))


def numbers(parameters: Parameters, values: Mapping[str, float], connectome: Connectome) -> tuple[Number, ...]:
    """Every number of a network, family by family.

    Args:
        parameters: of the circuit: names, bounds and what is fitted; the values it holds are not looked at.
        values: ``family/name`` -> value.
        connectome: the circuit.

    Raises:
        DataError: a number of this circuit that is not among the values.
    """
    spec, gains = parameters.spec, parameters.names("gain")
    synapses = dict(zip(gains, _synapses(parameters, connectome), strict=True))
    wanted = [f"{family}/{name}" for family in FAMILIES for name in parameters.names(family)]
    if missing := [name for name in wanted if name not in values]:
        raise DataError(
            f"parameters: got no {missing[0]}, wanted one for each of {len(wanted)} of this circuit; fit anew"
        )
    return tuple(
        Number(
            family,
            name,
            values[f"{family}/{name}"],
            spec.bounds[family],
            family in spec.trainable,
            synapses[name] if family == "gain" else None,
        )
        for family in FAMILIES
        for name in parameters.names(family)
    )


def _synapses(parameters: Parameters, connectome: Connectome) -> list[int]:
    """Synapses that each gain multiplies, in the order of their names."""
    counts = connectome.totals() if parameters.by_type else connectome.dense()
    group = parameters.gain_group.cpu().numpy()
    found = np.bincount(group[group >= 0], counts[group >= 0], minlength=len(parameters.names("gain")))
    return found.astype(int).tolist()


def parameter_metrics(found: Sequence[Number]) -> Metrics:
    """Figures of the numbers that a fit could move; NaN where a circuit has none of that kind.

    - ``fitted_parameters``, ``parameters_at_bound``: how many, and how many at or near a bound.
    - ``gain_largest_over_smallest``: within this network, 1.
    - ``gain_log_sd``: standard deviation of ln gain, over all gains.
    - ``gains_below_N_synapses``, ``gain_largest_below_N_synapses``: how many gains multiply fewer than N synapses in
      all, and the largest of them.
    """
    fitted = [number for number in found if number.fitted]
    gains = [number for number in fitted if number.family == "gain"]
    logs = np.log([number.value for number in gains])
    metrics = {
        "fitted_parameters": float(len(fitted)),
        "parameters_at_bound": float(sum(number.at_bound for number in fitted)),
        "gain_largest_over_smallest": math.exp(np.ptp(logs)) if gains else math.nan,
        "gain_log_sd": float(logs.std()) if gains else math.nan,
    }
    for few in FEW_SYNAPSES:
        small = [number.value for number in gains if (number.synapses or 0) < few]
        metrics[f"gains_below_{few}_synapses"] = float(len(small))
        metrics[f"gain_largest_below_{few}_synapses"] = max(small, default=math.nan)
    return metrics
