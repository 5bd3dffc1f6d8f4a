"""Claims about the rate equation: every symbol has the place and the sign that the equation gives it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from connectome_sim.errors import ParameterError, ShapeError
from connectome_sim.model import Activation, Parameters, ParameterSpec, RateNetwork, Wiring, build_network
from connectome_sim.model.activation import ACTIVATIONS
from tests.unit.circuits import connectome, wiring


def built(**spec: str) -> tuple[Parameters, RateNetwork]:
    parameters = Parameters(ParameterSpec(**spec), wiring(), dtype=torch.float64)  # type: ignore[arg-type]
    parameters.set_("threshold", 0.5)
    parameters.set_("velocity_gain", 0.25)
    return parameters, build_network(wiring(), parameters)


def test_derivative_of_three_neurons_by_hand() -> None:
    """Neuron 0 hears 1 with weight 2; neuron 1 hears 2 with weight -3; neuron 2 hears nobody."""
    network = RateNetwork.from_arrays(
        [[0, 2, 0], [0, 0, -3], [0, 0, 0]], [0.1, 0.2, 0.3], [0.1, 0.2, 0.5], [0.0, 4.0, -4.0], activation="relu"
    )
    rates = torch.tensor([[0.5, 0.25, 0.1]], dtype=torch.float64)
    omega = torch.tensor([0.5], dtype=torch.float64)
    current = torch.tensor([[0.0, 0.0, 3.0]], dtype=torch.float64)
    x = [2 * 0.25 + 0.1, -3 * 0.1 + 0.2 + 4 * 0.5, 0.3 - 4 * 0.5 + 3.0]
    torch.testing.assert_close(network.total_input(rates, omega, current)[0], torch.tensor(x, dtype=torch.float64))
    wanted = [(x[0] - 0.5) / 0.1, (x[1] - 0.25) / 0.2, (x[2] - 0.1) / 0.5]
    torch.testing.assert_close(network.derivative(rates, omega, current)[0], torch.tensor(wanted, dtype=torch.float64))


def test_weights_by_hand() -> None:
    """PEN_a left (2) drives EPG (0) with 7 synapses of c0 = 6; Delta7 (4) inhibits EPG (0) with 4."""
    parameters, _ = built(gains="pair")
    table = torch.ones(3, 3, dtype=torch.float64)
    table[0, 1], table[0, 2] = 3.0, 0.5  # EPG<-PEN_a, EPG<-Delta7
    parameters.set_("gain", table)
    weights = build_network(wiring(), parameters).weights
    assert weights[0, 2].item() == pytest.approx(3 * 7 / 6)
    assert weights[2, 0].item() == pytest.approx(3 / 6)
    assert weights[0, 4].item() == pytest.approx(-0.5 * 4 / 6)
    assert weights[4, 0].item() == pytest.approx(6 / 6)


def test_excitation_raises_and_inhibition_lowers_its_target_and_nobody_else() -> None:
    _, network = built()
    rest = torch.full((1, 5), 0.3, dtype=torch.float64)
    base = network.total_input(rest)
    for pre, post, sign in ((2, 0, 1), (4, 0, -1), (0, 4, 1)):
        more = rest.clone()
        more[0, pre] += 0.1
        change = (network.total_input(more) - base)[0]
        assert math.copysign(1, change[post].item()) == sign
        silent = network.weights[:, pre] == 0
        assert (change[silent] == 0).all()


def test_threshold_lowers_and_velocity_splits_the_sides() -> None:
    _, network = built()
    assert network.bias.tolist() == pytest.approx([-0.5] * 5)
    assert network.velocity_input.tolist() == pytest.approx([0, 0, -0.25, 0.25, 0])


def test_type_level_values_reach_the_neurons_of_their_type() -> None:
    parameters, _ = built()
    parameters.set_("time_constant", torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64))
    network = build_network(wiring(), parameters)
    np.testing.assert_allclose(network.time_constant.detach().numpy(), [0.05, 0.05, 0.1, 0.1, 0.2], rtol=1e-12)


@pytest.mark.parametrize("granularity", ["pair", "type", "ei", "global"])
def test_gradient_of_the_weights_reaches_every_trainable_number(granularity: str) -> None:
    parameters, network = built(gains=granularity)
    rates = torch.full((2, 5), 0.3, dtype=torch.float64)
    network.derivative(rates, torch.tensor([1.0, -2.0], dtype=torch.float64)).square().sum().backward()
    for family, raw in parameters.raw.items():
        assert raw.grad is not None, family
        assert (raw.grad != 0).all(), family


def test_typed_weights_make_the_weights() -> None:
    _, network = built(gains="type")
    typed = network.typed
    assert typed is not None
    listed, gain = typed.connectivity, typed.gain.detach().flatten().numpy()
    post = np.repeat(np.arange(network.n_neurons), np.diff(listed.row_pointer[:: len(typed.gain)]))
    made = np.zeros(network.weights.shape)
    np.add.at(made, (post, listed.row_pre), gain[listed.row_pair] * listed.row_value)
    np.testing.assert_array_equal(made, network.weights.detach().numpy())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_the_derivative_of_the_value(name: str) -> None:
    activation = Activation.named(name)
    x = torch.tensor([-30.0, -3.0, -0.1, 0.2, 2.0, 30.0], dtype=torch.float64, requires_grad=True)
    y = activation.value(x)
    y.sum().backward()
    torch.testing.assert_close(activation.slope(x.detach()), x.grad, rtol=1e-12, atol=1e-15)
    in_place = x.detach().clone()
    activation.value_(in_place)
    torch.testing.assert_close(in_place, y.detach(), rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sigmoid", 1 / (1 + math.exp(-2))),
        ("softplus", math.log(1 + math.exp(2))),
        ("relu", 2.0),
        ("tanh", math.tanh(2)),
    ],
)
def test_activation_at_two(name: str, wanted: float) -> None:
    assert Activation.named(name).value(torch.tensor(2.0, dtype=torch.float64)).item() == pytest.approx(
        wanted, rel=1e-14
    )


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ParameterError, match="got 'gelu', wanted one of"):
        Activation.named("gelu")


@pytest.mark.parametrize("tau", [-0.1, 0.0])
def test_a_time_constant_that_is_not_positive_is_refused(tau: float) -> None:
    with pytest.raises(ParameterError, match="time_constant.*wanted more than 0 s"):
        RateNetwork.from_arrays(np.eye(2), np.zeros(2), [0.1, tau], np.zeros(2))


@pytest.mark.parametrize("position", range(4))
def test_a_value_that_is_not_finite_is_refused(position: int) -> None:
    arrays = [np.eye(2), np.zeros(2), np.full(2, 0.1), np.zeros(2)]
    arrays[position].flat[1] = np.nan
    with pytest.raises(ParameterError, match="not finite"):
        RateNetwork.from_arrays(*arrays)


@pytest.mark.parametrize("shape", [(2, 3), (3, 3)])
def test_arrays_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="weights"):
        RateNetwork.from_arrays(np.zeros(shape), np.zeros(2), np.full(2, 0.1), np.zeros(2))


def test_parameters_of_another_circuit_are_refused() -> None:
    parameters, _ = built()
    other = Wiring.from_connectome(
        connectome(types=("EPG", "EPG", "PEN_a", "PEN_a", "GLNO")), velocity_types=("PEN_a",)
    )
    with pytest.raises(ShapeError, match="GLNO"):
        build_network(other, parameters)


def test_precision_changes_every_tensor_and_drops_what_kernels_would_mistake() -> None:
    _, network = built()
    single = network.to(dtype=torch.float32)
    assert single.dtype == single.weights.dtype == torch.float32
    assert single.epg_mask is not None and single.epg_mask.dtype == torch.bool
    assert single.typed is None
    assert single.weights.requires_grad and not network.detach().weights.requires_grad
