"""What parameters say of a fit, on circuits of a few neurons whose figures are worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.errors import DataError
from connectome_sim.evaluate import Number, numbers, parameter_metrics
from connectome_sim.model import Bounds, Parameters, ParameterSpec, Wiring

GAIN, TAU = Bounds(1e-3, 1e3, "log"), Bounds(0.01, 0.5, "log")
TYPES = ("EPG", "EPG", "PEN_a", "PEN_a")
COUNTS = np.array([[0, 7, 30, 0], [5, 0, 0, 0], [3, 0, 0, 0], [0, 4, 0, 0]])  # EPG<-EPG 12, EPG<-PEN_a 30, PEN_a<-EPG 7


def circuit() -> tuple[Connectome, Wiring]:
    types, ids = np.array(TYPES), np.array(list("abcd"))
    angle = np.array([0.0, 3.0, 0.0, 3.0])
    neurons = Neurons(ids, types, types, ids, np.array(["L", "R", "L", "R"]), np.zeros(4, int), angle)
    connectome = Connectome(neurons, sp.csr_array(COUNTS), Provenance("by hand"), Signs({"EPG": 1, "PEN_a": 1}))
    return connectome, Wiring.from_connectome(connectome, velocity_types=("PEN_a",))


def values(parameters: Parameters, **changed: float) -> dict[str, float]:
    found = {f"{f}/{n}": 0.1 for f in ("threshold", "time_constant", "velocity_gain") for n in parameters.names(f)}
    return found | {f"gain/{name}": changed.get(name, 1.0) for name in parameters.names("gain")}


def number(family: str, value: float, bounds: Bounds, *, fitted: bool = True, synapses: int | None = None) -> Number:
    return Number(family, "EPG", value, bounds, fitted, synapses)


def test_a_gain_is_told_with_the_synapses_from_the_second_type_onto_the_first() -> None:
    connectome, wired = circuit()
    parameters = Parameters(ParameterSpec(), wired)
    found = {n.name: n.synapses for n in numbers(parameters, values(parameters), connectome) if n.family == "gain"}
    assert found == {"EPG<-EPG": 12, "EPG<-PEN_a": 30, "PEN_a<-EPG": 7}


SINGLE = {"EPG[0]<-EPG[1]": 7, "EPG[0]<-PEN_a[2]": 30, "EPG[1]<-EPG[0]": 5, "PEN_a[2]<-EPG[0]": 3}
SINGLE["PEN_a[3]<-EPG[1]"] = 4


@pytest.mark.parametrize(
    ("gains", "synapses"), [("type", {"EPG": 19, "PEN_a": 30}), ("global", {"all": 49}), ("synapse", SINGLE)]
)
def test_a_coarser_or_finer_gain_counts_all_that_it_multiplies(gains: str, synapses: dict[str, int]) -> None:
    connectome, wired = circuit()
    parameters = Parameters(ParameterSpec(gains=gains), wired)
    found = numbers(parameters, values(parameters), connectome)
    assert {n.name: n.synapses for n in found if n.family == "gain"} == synapses


def test_values_of_another_circuit_are_refused() -> None:
    connectome, wired = circuit()
    parameters = Parameters(ParameterSpec(), wired)
    known = values(parameters)
    known.pop("gain/PEN_a<-EPG")
    with pytest.raises(DataError, match="got no gain/PEN_a<-EPG, wanted one for each of 8 of this circuit"):
        numbers(parameters, known, connectome)


def test_figures_of_gains_are_those_worked_out_by_hand() -> None:
    gains = [number("gain", g, GAIN, synapses=n) for g, n in ((0.5, 12), (2.0, 19), (8.0, 49), (32.0, 5000))]
    found = parameter_metrics([*gains, number("threshold", 3.0, Bounds(-20, 20))])
    assert found["gain_largest_over_smallest"] == pytest.approx(64)
    assert found["gain_log_sd"] == pytest.approx(math.log(4) * math.sqrt(1.25))  # -1.5, -0.5, 0.5, 1.5 steps of ln 4
    assert (found["gains_below_20_synapses"], found["gain_largest_below_20_synapses"]) == (2, 2.0)
    assert (found["gains_below_50_synapses"], found["gain_largest_below_50_synapses"]) == (3, 8.0)
    assert (found["fitted_parameters"], found["parameters_at_bound"]) == (5, 0)


def test_only_numbers_that_the_fit_could_move_count() -> None:
    held = [number("gain", 999.0, GAIN, fitted=False, synapses=3), number("time_constant", 0.01, TAU, fitted=False)]
    found = parameter_metrics([*held, number("time_constant", 0.0101, TAU)])
    assert (found["fitted_parameters"], found["parameters_at_bound"]) == (1, 1)
    assert math.isnan(found["gain_largest_over_smallest"]) and math.isnan(found["gain_log_sd"])
    assert found["gains_below_20_synapses"] == 0 and math.isnan(found["gain_largest_below_20_synapses"])


def test_which_families_are_fitted_is_what_the_specification_says() -> None:
    connectome, wired = circuit()
    parameters = Parameters(ParameterSpec(trainable=frozenset({"gain"})), wired)
    found = numbers(parameters, values(parameters), connectome)
    assert {n.family for n in found if n.fitted} == {"gain"} and len({n.family for n in found}) == 4


# u = sqrt(0.9) of the half width: u ln 1000 = 6.5533, 20 u = 18.974, (1 - u) ln(50) / 2 = 0.1004
@pytest.mark.parametrize(
    ("bounds", "inside", "met"),
    [
        (GAIN, (701.0, 1.0, 0.001427), (702.0, 999.9, 1000.0, 0.001424)),
        (Bounds(-20, 20), (18.97, -18.97, 0.0), (18.98, -18.98, 20.0)),
        (TAU, (0.01106, 0.1, 0.452), (0.01105, 0.01, 0.4523)),
    ],
)
def test_a_bound_is_met_where_the_map_has_a_tenth_of_its_slope(
    bounds: Bounds, inside: tuple[float, ...], met: tuple[float, ...]
) -> None:
    assert not bounds.met(torch.tensor(inside, dtype=torch.float64)).any()
    assert bounds.met(torch.tensor(met, dtype=torch.float64)).all()


def test_the_slope_of_the_map_is_a_tenth_where_a_bound_begins_to_be_met() -> None:
    bounds = Bounds(-20, 20)
    raw = bounds.inverse(torch.tensor(20 * math.sqrt(0.9), dtype=torch.float64)).requires_grad_()
    (slope,) = torch.autograd.grad(bounds.forward(raw), raw)
    assert slope.item() == pytest.approx(0.1)
