"""How each raw parameter moves what the rate equation uses. Knows no loss, no trial and no optimiser."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from connectome_sim.model.parameters import Parameters
from connectome_sim.model.wiring import Wiring
from connectome_sim.solve.sensitivity import Directions


def trainable(parameters: Parameters) -> list[str]:
    """Names of the families that a fit may move, in the order of the Jacobian's columns."""
    return [family for family, raw in parameters.raw.items() if raw.requires_grad]


def parameter_directions(parameters: Parameters, wiring: Wiring) -> Directions:
    """One direction per trainable raw parameter, in the order of :func:`trainable`.

    d gain_AB = [group of AB] slope,  d bias_i = -[group of i] slope,  d tau_i = [group of i] slope,
    d k_i = [group of i] side_i slope, with the slope of the bounds at the raw number.
    """
    member = wiring.membership.to(torch.float64)
    spreads = {
        "gain": _one_hot(parameters.gain_group, len(parameters.names("gain"))),
        "threshold": -_grouped(member, parameters, "threshold"),
        "time_constant": _grouped(member, parameters, "time_constant"),
        "velocity_gain": _grouped(
            _one_hot(wiring.velocity_type_index, len(wiring.velocity_types)) * wiring.velocity_side.double()[:, None],
            parameters,
            "velocity_gain",
        ),
    }
    families = trainable(parameters)
    slopes = {family: _slope(parameters, family) for family in families}

    def columns(moved: str) -> Tensor:
        spread = spreads[moved]
        parts = [
            spread * slopes[family] if family == moved else spread.new_zeros(*spread.shape[:-1], len(slopes[family]))
            for family in families
        ]
        return torch.cat(parts, dim=-1).to(wiring.connections.dtype)

    return Directions(
        gain=columns("gain"),
        bias=columns("threshold"),
        time_constant=columns("time_constant"),
        velocity_input=columns("velocity_gain"),
    )


def log_gain_directions(parameters: Parameters) -> Float[Tensor, "direction gain"]:
    """Derivative of the log-gains by each trainable raw parameter, float64."""
    n_gains = len(parameters.names("gain"))
    rows = []
    for family in trainable(parameters):
        slope = _slope(parameters, family)
        if family == "gain":
            rows.append(torch.diag(slope / parameters.values("gain").detach().double()))
        else:
            rows.append(slope.new_zeros(len(slope), n_gains))
    return torch.cat(rows)


def _slope(parameters: Parameters, family: str) -> Tensor:
    """Derivative of each value of a family by its raw number [G], float64."""
    raw = parameters.raw[family].detach().double().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(parameters.spec.bounds[family].forward(raw).sum(), raw)[0]


def _one_hot(index: Tensor, n: int) -> Tensor:
    """[..., n], float64; an index of -1 belongs to none."""
    return torch.nn.functional.one_hot(index + 1, n + 1)[..., 1:].double()


def _grouped(spread: Tensor, parameters: Parameters, family: str) -> Tensor:
    """Which neuron uses which value of a family [N, G]: ``spread`` is by type; one value for all sums over types."""
    return spread if len(parameters.names(family)) == spread.shape[1] else spread.sum(dim=1, keepdim=True)
