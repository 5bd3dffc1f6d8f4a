"""Gradients of the compiled kernel: plain autograd, finite differences and the dense kernel agree with them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from connectome_sim.model import Drive, RateNetwork
from connectome_sim.model.activation import ACTIVATIONS, Activation
from connectome_sim.model.connectivity import compressed
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.model.rate import TypedWeights, build_network
from connectome_sim.model.wiring import Wiring
from connectome_sim.solve import SolveOptions, fused, solve
from connectome_sim.solve.dense import DENSE
from connectome_sim.solve.options import FUSED_METHODS
from connectome_sim.solve.problem import Kernel
from connectome_sim.solve.sparse import SPARSE
from tests import typed_ring
from tests.numerics import small
from tests.unit import circuits

WIRING = typed_ring.wiring()  # 40 neurons of three types, two of the nine type pairs without a synapse
N = WIRING.n_neurons
LANES = 16  # the most trials in a group
OBSERVED = torch.tensor([3, 0, 39, 20])
START = small.initial(n=N)
STEPS, EVERY = 36, 3  # more steps than the gains' gradient is summed in single precision for


def parameters(**spec: str) -> Parameters:
    """Every raw number away from its start, so that no gradient is special."""
    made = Parameters(ParameterSpec(**spec), WIRING, dtype=torch.float64)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for raw in made.raw.values():
            raw += 0.3 * torch.randn(raw.shape, generator=generator, dtype=raw.dtype)
    return made


def drive(*, b: int = 3, current: bool = True) -> Drive:
    return small.drive(n=N, b=b, steps=STEPS, current=current)


def scalar(samples: Tensor, final: Tensor) -> Tensor:
    """Every entry counts differently, whatever its precision."""
    parts = [torch.linspace(-1, 1, part.numel()).view_as(part).to(part) * part for part in (samples, final)]
    return sum(part.double().sum() for part in parts)


def gradients(
    route: str | Kernel,
    made: Parameters,
    inputs: Drive,
    *,
    method: str = "heun",
    activation: str = "sigmoid",
    wiring: Wiring = WIRING,
) -> dict[str, Tensor]:
    """Value of a scalar of samples and end, and its gradient by every raw number and by the initial state."""
    dtype = wiring.connections.dtype
    network = build_network(wiring, made, Activation.named(activation))
    start = small.initial(n=N, b=inputs.n_trials, dtype=dtype).requires_grad_()
    inputs = inputs.to(dtype=dtype)
    if route == "plain":
        rates = small.plain_steps(network, start, inputs, method=method, substeps=2)
        samples, final = rates[::EVERY][..., OBSERVED], rates[-1]
    else:
        assert isinstance(route, Kernel)
        samples, final = fused.integrate(
            network,
            start,
            inputs,
            method=method,
            step=inputs.time_step / 2,
            observed=OBSERVED,
            sample_every=EVERY,
            kernel=route,
        )
        assert samples.dtype == final.dtype == dtype
    value = scalar(samples, final)
    found = torch.autograd.grad(value, [*made.raw.values(), start])
    return dict(zip([*made.raw, "initial"], found, strict=True)) | {"value": value.detach()}


def check(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    """Differences relative to the largest entry of each family, none of which is without a gradient."""
    for family, gradient in wanted.items():
        largest = float(gradient.abs().max())
        assert largest > 0, family
        torch.testing.assert_close(
            found[family].double(),
            gradient,
            rtol=0,
            atol=tolerance * largest,
            msg=lambda text, f=family: f"{f}: {text}",
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("method", FUSED_METHODS)
def test_gradients_are_those_of_plain_autograd_in_double_precision(
    method: str, activation: str, dtype: torch.dtype
) -> None:
    made, settings = parameters(), {"method": method, "activation": activation}
    wanted = gradients("plain", made, drive(), **settings)
    found = gradients(SPARSE, made, drive(), wiring=WIRING.to(dtype=dtype), **settings)
    check(found, wanted, 1e-10 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("gains", ["pair", "type", "ei", "global"])
@pytest.mark.parametrize("by_type", ["type", "global"])
def test_gradients_of_every_granularity(gains: str, by_type: str) -> None:
    made = parameters(gains=gains, thresholds=by_type, time_constants=by_type, velocity_gains=by_type)
    check(gradients(SPARSE, made, drive()), gradients("plain", made, drive()), 1e-10)


@pytest.mark.parametrize("current", [True, False])
@pytest.mark.parametrize("b", [1, LANES - 1, LANES, LANES + 3, 2 * LANES + 1])
def test_gradients_of_batches_that_fill_no_whole_group_and_several(b: int, current: bool) -> None:
    made, inputs = parameters(), drive(b=b, current=current)
    check(gradients(SPARSE, made, inputs), gradients("plain", made, inputs), 1e-10)


@pytest.mark.parametrize("method", FUSED_METHODS)
def test_both_kernels_agree(method: str) -> None:
    made = parameters()
    check(gradients(SPARSE, made, drive(), method=method), gradients(DENSE, made, drive(), method=method), 1e-11)


@pytest.mark.parametrize("kernel", [SPARSE, DENSE], ids=["sparse", "dense"])
@pytest.mark.parametrize("only", ["samples", "end"])
def test_samples_and_end_have_gradients_of_their_own(only: str, kernel: Kernel) -> None:
    """The other one may be left out of what is differentiated."""
    found = []
    for route in (kernel, None):
        network, start = build_network(WIRING, parameters()), small.initial(n=N).requires_grad_()
        if route is None:
            rates = small.plain_steps(network, start, drive(), method="euler", substeps=1)
            samples, final = rates[::EVERY], rates[-1]
        else:
            samples, final = fused.integrate(
                network, start, drive(), method="euler", step=small.DT, sample_every=EVERY, kernel=route
            )
        found.append(torch.autograd.grad((samples if only == "samples" else final).square().sum(), start)[0])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("method", FUSED_METHODS)
def test_gradients_by_finite_differences(method: str) -> None:
    """Five neurons; the gains of pairs without a synapse have a gradient of 0."""
    wiring = circuits.wiring()
    net = build_network(wiring, Parameters(ParameterSpec(), wiring, dtype=torch.float64))
    assert net.typed is not None
    inputs = small.drive(n=5, b=2, steps=4, current=True)

    def samples_and_end(gain: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        bias, time_constant, velocity_input, start = tensors
        index = wiring.type_index
        changed = RateNetwork(
            weights=gain[index][:, index] * wiring.connections,
            bias=bias,
            time_constant=time_constant,
            velocity_input=velocity_input,
            typed=TypedWeights(gain, wiring.connectivity),
        )
        observed = torch.tensor([1, 4])
        return fused.integrate(
            changed, start, inputs, method=method, step=small.DT / 2, observed=observed, sample_every=2, kernel=SPARSE
        )

    start = small.initial(n=5, b=2)
    leaves = [net.typed.gain, net.bias, net.time_constant, net.velocity_input, start]
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(samples_and_end, leaves, eps=1e-6, atol=1e-8)


# --- trials that diverge ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("start_of_bad", [math.nan, math.inf, -math.inf, 1e38])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_trial_that_diverges_leaves_the_gradients_of_the_others_to_the_last_bit(
    activation: str, start_of_bad: float, dtype: torch.dtype
) -> None:
    """As if it had been a good one that does not count; it has no gradient itself."""
    made, bad, b = parameters(), [1, LANES + 1], LANES + 2
    wiring, found = WIRING.to(dtype=dtype), []
    good = torch.ones(b, dtype=torch.bool)
    good[bad] = False
    for spoil in (True, False):
        network = build_network(wiring, made, Activation.named(activation))
        start = small.initial(n=N, b=b, dtype=dtype)
        if spoil:
            start[bad, 7] = start_of_bad
        start.requires_grad_()
        options = SolveOptions(method="rk4", step=small.DT / 2)
        solution = solve(network, start, drive(b=b).to(dtype=dtype), options, observed=OBSERVED, sample_every=EVERY)
        assert torch.equal(solution.ok, good | (not spoil))
        samples = torch.where(good[:, None], solution.rates, 0.0)
        final = torch.where(good[:, None], solution.final, 0.0)
        found.append(torch.autograd.grad(scalar(samples, final), [*made.raw.values(), start]))
    for one, other in zip(*found, strict=True):
        assert torch.isfinite(one).all()
        assert torch.equal(one, other)
    assert not found[0][-1][bad].any()


def test_a_trial_that_diverges_on_its_way_has_no_gradient_even_where_samples_before_count() -> None:
    """What it showed before it was lost says nothing about how not to lose it.

    One neuron that excites itself with 1e6 and tau = 5 steps: 2e5 times more in each step, out of float32 in eight.
    """
    one = torch.ones(1)
    gain = torch.full((1, 1), 1e6)
    listed = compressed(np.ones((1, 1), np.float32), np.zeros(1, np.int64), 1)
    network = RateNetwork(
        weights=gain,
        bias=0 * one,
        time_constant=5 * small.DT * one,
        velocity_input=0 * one,
        activation=Activation.named("relu"),
        typed=TypedWeights(gain, listed),
    )
    start = torch.tensor([[1.0], [0.0]], requires_grad=True)
    inputs = Drive(small.DT, torch.zeros(9, 2))
    rates, final = fused.integrate(network, start, inputs, method="euler", step=small.DT, kernel=SPARSE)
    assert torch.isfinite(rates[1]).all() and torch.isfinite(final).flatten().tolist() == [False, True]
    (gradient,) = torch.autograd.grad(rates[1].sum(), start)
    assert gradient.flatten().tolist() == [0.0, pytest.approx(0.8)]


# --- which kernel -----------------------------------------------------------------------------------------------------


def plain_network() -> RateNetwork:
    return build_network(WIRING, parameters()).detach()


@pytest.mark.parametrize("name", ["weights", "bias", "time_constant", "velocity_input"])
def test_a_network_of_plain_arrays_with_a_gradient_takes_matrix_products(name: str) -> None:
    network = plain_network()
    assert fused.kernel_for(network, drive(), START) is SPARSE
    trained = replace(network, **{name: getattr(network, name).clone().requires_grad_()})
    assert fused.kernel_for(trained, drive(), START) is DENSE
    with torch.no_grad():
        assert fused.kernel_for(trained, drive(), START) is SPARSE


def test_cell_type_parameters_take_compiled_steps_unless_the_input_has_a_gradient() -> None:
    network, inputs = build_network(WIRING, parameters()), drive()
    assert inputs.current is not None
    of_velocity = replace(inputs, angular_velocity=inputs.angular_velocity.clone().requires_grad_())
    of_current = replace(inputs, current=inputs.current.clone().requires_grad_())
    assert fused.kernel_for(network, inputs, START) is SPARSE
    for moved in (of_velocity, of_current):
        assert fused.kernel_for(network, moved, START) is DENSE
        assert fused.kernel_for(plain_network(), moved, START) is DENSE
        with torch.no_grad():
            assert fused.kernel_for(network, moved, START) is SPARSE


def test_a_gradient_of_the_velocity_comes_with_those_of_the_parameters() -> None:
    """The dense kernel then serves a network of cell-type parameters."""
    found = []
    for route in ("fused", "plain"):
        made, inputs = parameters(), drive()
        omega = inputs.angular_velocity.clone().requires_grad_()
        inputs, network = replace(inputs, angular_velocity=omega), build_network(WIRING, made)
        if route == "fused":
            rates, _ = fused.integrate(network, small.initial(n=N), inputs, method="euler", step=small.DT)
        else:
            rates = small.plain_steps(network, small.initial(n=N), inputs, method="euler", substeps=1)
        found.append(torch.autograd.grad(rates.square().sum(), [omega, *made.raw.values()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_gradient_of_the_initial_state_alone_needs_no_parameters() -> None:
    network, found = plain_network(), []
    for route in ("fused", "plain"):
        start = small.initial(n=N).requires_grad_()
        if route == "fused":
            rates, _ = fused.integrate(network, start, drive(), method="euler", step=small.DT)
        else:
            rates = small.plain_steps(network, start, drive(), method="euler", substeps=1)
        found.append(torch.autograd.grad(rates.square().sum(), start)[0])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_families_that_stay_have_no_gradient_and_cost_none() -> None:
    """Gains fixed: their gradient is not summed, and those of the others are as before."""
    whole = parameters()
    trained = ParameterSpec(trainable=frozenset({"threshold", "time_constant"}))
    part = Parameters(trained, WIRING, dtype=torch.float64)
    with torch.no_grad():
        for family, raw in part.raw.items():
            raw.copy_(whole.raw[family])
    found = []
    for made in (whole, part):
        rates, final = fused.integrate(
            build_network(WIRING, made), small.initial(n=N), drive(), method="heun", step=small.DT
        )
        leaves = [made.raw["threshold"], made.raw["time_constant"]]
        found.append(torch.autograd.grad(scalar(rates, final), leaves))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("b", [LANES - 3, LANES, 3 * LANES + 1])
def test_threads_change_nothing(b: int, dtype: torch.dtype) -> None:
    """A group of trials is one piece of work, whatever its size, and what they add up is added in one order."""
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3, 8):
            torch.set_num_threads(count)
            found.append(gradients(SPARSE, parameters(), drive(b=b), wiring=WIRING.to(dtype=dtype)))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        for name, one in found[0].items():
            assert torch.equal(one, other[name]), name
