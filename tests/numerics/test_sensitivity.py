"""Forward sensitivities against reverse-mode autograd through the fused solver, and against finite differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from connectome_sim.errors import ShapeError, SolveError, StepError
from connectome_sim.fit.directions import parameter_directions
from connectome_sim.model import Drive, RateNetwork, Wiring
from connectome_sim.model.activation import ACTIVATIONS, Activation
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.model.rate import build_network
from connectome_sim.solve import SolveOptions, fused, solve
from connectome_sim.solve.options import FUSED_METHODS
from connectome_sim.solve.sensitivity import Directions, Sensitivity, sensitivities
from tests.numerics import small
from tests.unit import circuits

WIRING = circuits.wiring()  # five neurons, float64
N = WIRING.n_neurons
OBSERVED = torch.tensor([0, 1, 3])
STEP = small.DT / 2


def parameters(**spec: object) -> Parameters:
    """Every raw number away from its start, so that no derivative is special."""
    made = Parameters(ParameterSpec(**spec), WIRING, dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for raw in made.raw.values():
            raw += 0.5 * torch.randn(raw.shape, generator=generator, dtype=raw.dtype)
    return made


def drive(*, current: bool = True, steps: int = small.T, b: int = small.B) -> Drive:
    inputs = small.drive(n=N, steps=steps, b=b, current=current)
    return inputs if inputs.current is None else replace(inputs, current=inputs.current[:1])


def by_autograd(rates: Tensor, made: Parameters) -> Tensor:
    """Derivative of every rate by every raw number [*rates.shape, P], one backward pass per rate."""
    leaves = [raw for raw in made.raw.values() if raw.requires_grad]
    rows = [torch.cat(torch.autograd.grad(rate, leaves, retain_graph=True)) for rate in rates.flatten()]
    return torch.stack(rows).view(*rates.shape, -1)


def carried(
    network: RateNetwork, directions: Directions, inputs: Drive, *, initial: Tensor | None = None, **options: object
) -> Sensitivity:
    settings: Mapping[str, object] = {"method": "euler", "step": STEP, "observed": OBSERVED} | options
    initial = small.initial(n=N) if initial is None else initial
    return sensitivities(network, initial, inputs, directions, **settings)  # type: ignore[arg-type]


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    """Differences relative to the largest entry."""
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("method", FUSED_METHODS)
def test_rates_and_derivatives_are_those_of_the_fused_solver(method: str, activation: str) -> None:
    made, inputs, start = parameters(), drive(steps=4, b=2), small.initial(n=N, b=2)
    network, directions = build_network(WIRING, made, Activation.named(activation)), parameter_directions(made, WIRING)
    got = carried(network, directions, inputs, initial=start, method=method)
    rates, final = fused.integrate(network, start, inputs, method=method, step=STEP, observed=OBSERVED)
    close(got.rates, rates.detach(), 1e-13)
    close(got.final, final.detach(), 1e-13)
    close(got.tangents, by_autograd(rates, made), 1e-10)
    close(got.final_tangents, by_autograd(final, made), 1e-10)


def test_derivatives_agree_with_finite_differences() -> None:
    made, inputs, h = parameters(), drive(), 1e-5
    got = carried(build_network(WIRING, made), parameter_directions(made, WIRING), inputs, method="rk4")
    column = 0
    for raw in made.raw.values():
        for k in range(len(raw)):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    raw[k] += sign * h
                    options = SolveOptions(method="rk4", step=STEP)
                    ends.append(solve(build_network(WIRING, made), small.initial(n=N), inputs, options).rates)
                    raw[k] -= sign * h
            slope = (ends[0] - ends[1])[:, :, OBSERVED] / (2 * h)
            torch.testing.assert_close(got.tangents[..., column], slope, rtol=0, atol=1e-9)  # rounding 1e-16 / h
            column += 1
    assert column == got.tangents.shape[-1]


def test_samples_are_those_of_every_step_thinned_out() -> None:
    made = parameters()
    network, directions = build_network(WIRING, made), parameter_directions(made, WIRING)
    every, third = (carried(network, directions, drive(), sample_every=k) for k in (1, 3))
    assert third.rates.shape[0] == 3  # 6 steps: samples 0, 3, 6
    assert torch.equal(third.rates, every.rates[::3])
    assert torch.equal(third.tangents, every.tangents[::3])
    assert torch.equal(third.final_tangents, every.final_tangents)


@pytest.mark.parametrize("method", ["exponential_euler", "rk4"])
def test_a_solve_in_two_phases_is_the_whole_solve(method: str) -> None:
    made, inputs = parameters(), drive(current=False, steps=10)
    network, directions = build_network(WIRING, made), parameter_directions(made, WIRING)
    whole = carried(network, directions, inputs, method=method)
    first = carried(network, directions, inputs[:4], method=method)
    second = sensitivities(
        network,
        first.final,
        inputs[4:],
        directions,
        method=method,
        step=STEP,
        observed=OBSERVED,
        initial_tangents=first.final_tangents,
    )
    torch.testing.assert_close(torch.cat([first.tangents, second.tangents[1:]]), whole.tangents, rtol=0, atol=1e-15)
    torch.testing.assert_close(second.tangents[0], first.tangents[-1], rtol=0, atol=0)
    torch.testing.assert_close(second.final_tangents, whole.final_tangents, rtol=0, atol=1e-15)


def test_single_precision_is_stepped_in_single_precision() -> None:
    made = parameters()
    single = WIRING.to(dtype=torch.float32)
    network = build_network(single, made)
    got = sensitivities(
        network,
        small.initial(n=N).float(),
        drive().to(dtype=torch.float32),
        parameter_directions(made, single),
        method="rk4",
        step=STEP,
        observed=OBSERVED,
    )
    exact = carried(build_network(WIRING, made), parameter_directions(made, WIRING), drive(), method="rk4")
    assert {t.dtype for t in (got.rates, got.tangents, got.final, got.final_tangents)} == {torch.float32}
    close(got.tangents.double(), exact.tangents, 1e-5)


def test_a_trial_that_diverges_shows_and_leaves_the_others_alone() -> None:
    made = parameters()
    network = build_network(WIRING, made, Activation.named("relu"))
    directions = parameter_directions(made, WIRING)
    start = small.initial(n=N)
    spoiled = start.clone()
    spoiled[1] = torch.inf

    def run(initial: Tensor) -> Sensitivity:
        return sensitivities(network, initial, drive(), directions, method="euler", step=STEP, observed=OBSERVED)

    good, bad = run(start), run(spoiled)
    assert not torch.isfinite(bad.rates[-1, 1]).any()
    for trial in (0, 2):
        assert torch.equal(good.tangents[:, trial], bad.tangents[:, trial])


def _spoil(what: str, network: RateNetwork, directions: Directions) -> Sensitivity:
    inputs, options = drive(), {}
    if what == "arrays":
        network = network.detach()
    elif what == "current":
        inputs = small.drive(n=N, current=True)
    elif what == "neurons":
        inputs = small.drive(n=N + 1, current=True)
    elif what == "trials":
        inputs = small.drive(n=N, b=small.B + 1)
    elif what == "directions":
        names = ("bias", "time_constant", "velocity_input")
        directions = replace(directions, **{name: getattr(directions, name)[:-1] for name in names})
    elif what == "method":
        options = {"method": "dopri5"}
    elif what == "samples":
        options = {"sample_every": 4}
    elif what == "step":
        options = {"step": 0.7 * small.DT}
    return carried(network, directions, inputs, **options)


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("arrays", SolveError, "got a network of plain arrays"),
        ("current", SolveError, "got a current that changes during the drive"),
        ("neurons", ShapeError, f"'current': got {N + 1} neurons, wanted {N}"),
        ("trials", ShapeError, "'initial': got shape"),
        ("directions", ShapeError, "'directions.bias': got shape"),
        ("method", SolveError, "'method': got 'dopri5'"),
        ("samples", ShapeError, "got 6 steps, wanted a multiple of sample_every=4"),
        ("step", StepError, "'step': got"),
    ],
)
def test_what_cannot_be_stepped_is_refused(what: str, error: type[Exception], message: str) -> None:
    made = parameters()
    with pytest.raises(error, match=message):
        _spoil(what, build_network(WIRING, made), parameter_directions(made, WIRING))


def test_the_wiring_of_these_tests_has_what_can_go_wrong() -> None:
    """Both signs, a pair without synapse, a type without velocity input: else the agreement above says little."""
    assert isinstance(WIRING, Wiring)
    assert (WIRING.connections < 0).any() and (WIRING.connections > 0).any()
    assert not WIRING.pair_present.all()
    assert (WIRING.velocity_type_index == -1).any()
