"""Targets and perturbations: which neurons, what is removed, what the equation becomes, what contradicts what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import expit

from connectome_sim.ablation.perturbations import (
    Clamp,
    Input,
    Output,
    Perturbation,
    Pulses,
    Removed,
    Scale,
    Stimulate,
    Window,
    inverse_activation,
    perturbed,
    refuse_contradictions,
    removed,
)
from connectome_sim.ablation.targets import Target
from connectome_sim.errors import ConfigError, ConnectomeSimError, SelectionError
from connectome_sim.model import Activation, Drive, RateNetwork
from connectome_sim.solve import SolveOptions, solve
from tests import typed_ring
from tests.unit import circuits

CIRCUIT = circuits.connectome()  # EPG, EPG, PEN_a left, PEN_a right, Delta7
NEURONS = CIRCUIT.neurons
EPG, PEN, LEFT, DELTA7 = (
    Target(type=("EPG",)),
    Target(type=("PEN_a",)),
    Target(type=("PEN_a",), side="L"),
    Target(type=("Delta7",)),
)


# --- targets ---


@pytest.mark.parametrize(
    ("target", "wanted", "name"),
    [
        (PEN, [2, 3], "PEN_a"),
        (LEFT, [2], "PEN_a, left"),
        (Target(type=("EPG", "Delta7")), [0, 1, 4], "EPG + Delta7"),
        (Target(subtype=("Delta7",)), [4], "Delta7"),
        (Target(id=("1", "3")), [1, 3], "neuron 1 + 3"),
        (Target(type=("PEN_a",), id=("3", "4")), [3], "PEN_a, neuron 3 + 4"),
    ],
)
def test_a_target_is_the_neurons_for_which_every_condition_holds(target: Target, wanted: list[int], name: str) -> None:
    assert np.flatnonzero(target.mask(NEURONS)).tolist() == wanted
    assert target.name == name


def test_a_target_without_any_condition_is_refused() -> None:
    for make in (Target, lambda: Target(type=(), id=())):
        with pytest.raises(ConfigError, match="target: got no condition, wanted at least one of type"):
            make()
    assert Target(share=0.5).name == "50 % of all neurons (draw 0)"


def test_a_random_share_is_that_share_of_the_rest_and_the_same_for_the_same_seed() -> None:
    neurons = typed_ring.connectome().neurons
    draws = [Target(type=("EPG",), share=0.25, seed=seed).mask(neurons) for seed in (0, 0, 1)]
    assert all(draw.sum() == 4 and set(neurons.type[draw]) == {"EPG"} for draw in draws)
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(type=("PEN_x",)), "'PEN_x'; there are EPG, PEN_a, Delta7"),
        (Target(id=("17",)), "'17'; there are 0, 1, 2, 3, 4"),
        (Target(type=("EPG",), side="L"), "'EPG, left': got no neuron"),
        (Target(glomerulus=(3,)), "got no neuron"),
    ],
)
def test_an_empty_target_says_what_there_is(target: Target, words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        target.mask(NEURONS)


# --- what is removed, by hand from circuits.COUNTS ---


@pytest.mark.parametrize(
    ("perturbations", "wanted"),
    [
        ([Output(target=PEN)], Removed(2, 2, 12.0)),  # 7 and 5 onto EPG
        ([Output(target=EPG, onto=DELTA7)], Removed(2, 2, 8.0)),  # 6 and 2
        ([Input(target=PEN)], Removed(2, 3, 6.0)),  # 3, 2 and 1
        ([Input(target=PEN, source=DELTA7)], Removed(2, 1, 2.0)),
        ([Scale(target=DELTA7, factor=0.5)], Removed(1, 2, 3.0)),  # half of 4 and 2
        ([Scale(target=DELTA7, factor=2.0)], Removed(1, 2, -6.0)),
        ([Clamp(target=LEFT)], Removed(1, 3, 12.0)),  # 3 and 2 in, 7 out
        ([Stimulate(target=LEFT, current=1.0, window=Window(0, 1))], Removed(1, 0, 0.0)),
        ([Output(target=PEN), Input(target=EPG)], Removed(4, 3, 16.0)),  # 7, 5 and 4: those that both name count once
    ],
)
def test_what_is_removed_is_counted(perturbations: list[Perturbation], wanted: Removed) -> None:
    assert removed(perturbations, CIRCUIT) == wanted


# --- the equation, written out by hand ---


def network() -> RateNetwork:
    rng = np.random.default_rng(3)
    weights = rng.normal(0, 2, (5, 5)) * (circuits.COUNTS > 0)
    return RateNetwork.from_arrays(weights, rng.normal(size=5), rng.uniform(0.02, 0.1, 5), [0, 0, 0.5, -0.5, 0])


RESTING = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


def by_hand(sent, received, driven, held) -> np.ndarray:
    """Rates after 0.3 s at 2 rad/s. ``sent(r)``: what others see of r; masks of inputs and velocity; held rates."""
    net = network()
    w, b, tau, k = (x.numpy() for x in (net.weights, net.bias, net.time_constant, net.velocity_input))

    def derivative(_: float, r: np.ndarray) -> np.ndarray:
        x = (w * received) @ sent(r) + b + k * driven * 2.0
        target = expit(x)
        for i, rate in held.items():
            target[i] = rate
        return (target - r) / tau

    return solve_ivp(derivative, (0, 0.3), np.full(5, 0.5), "DOP853", rtol=1e-11, atol=1e-13).y[:, -1]


def times(*factors: float):
    return lambda r: r * np.array(factors)


def replaced(values: dict[int, float]):
    def sent(r: np.ndarray) -> np.ndarray:
        r = r.copy()
        for i, value in values.items():
            r[i] = value
        return r

    return sent


ALL, ROWS = np.ones((5, 5)), np.ones((5, 5))
WITHOUT_PEN_ROWS = ALL.copy()
WITHOUT_PEN_ROWS[2:4] = 0
WITHOUT_DELTA7_ONTO_PEN = ALL.copy()
WITHOUT_DELTA7_ONTO_PEN[2:4, 4] = 0
ON = np.ones(5)


@pytest.mark.parametrize(
    ("perturbations", "hand"),
    [
        ([Output(target=PEN)], (times(1, 1, 0, 0, 1), ALL, ON, {})),
        ([Output(target=DELTA7, onto=PEN)], (times(1, 1, 1, 1, 1), WITHOUT_DELTA7_ONTO_PEN, ON, {})),
        ([Input(target=PEN)], (times(1, 1, 1, 1, 1), WITHOUT_PEN_ROWS, np.array([1, 1, 0, 0, 1]), {})),
        ([Input(target=PEN, source=DELTA7)], (times(1, 1, 1, 1, 1), WITHOUT_DELTA7_ONTO_PEN, ON, {})),
        ([Scale(target=DELTA7, factor=1.5)], (times(1, 1, 1, 1, 1.5), ALL, ON, {})),
        ([Clamp(target=PEN)], (replaced({2: 0.3, 3: 0.4}), ALL, ON, {2: 0.3, 3: 0.4})),
        ([Clamp(target=DELTA7, rate=0.0)], (replaced({4: 0.0}), ALL, ON, {4: 0.0})),
        ([Output(target=EPG), Clamp(target=LEFT, rate=0.7)], (replaced({0: 0, 1: 0, 2: 0.7}), ALL, ON, {2: 0.7})),
        ([Clamp(target=LEFT, rate=0.7), Input(target=PEN)],
         (replaced({2: 0.7}), WITHOUT_PEN_ROWS, np.array([1, 1, 0, 0, 1]), {2: 0.7})),
    ],
    ids=lambda value: "; ".join(p.name for p in value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_perturbed_network_is_the_equation_with_that_part_changed(perturbations: list[Perturbation], hand) -> None:
    changed, held = perturbed(network(), NEURONS, perturbations, resting=RESTING)
    assert np.flatnonzero(held).tolist() == sorted(hand[3])
    drive = Drive(0.01, torch.full((30, 1), 2.0, dtype=torch.float64))
    initial = torch.full((1, 5), 0.5, dtype=torch.float64)
    final = solve(changed, initial, drive, SolveOptions(method="rk4", step=5e-4)).final[0].numpy()
    np.testing.assert_allclose(final, by_hand(*hand), rtol=0, atol=1e-8)  # RK4 at tau/40: about (1/40)^4 / 120


def test_the_intact_network_is_left_alone() -> None:
    net = network()
    before = net.weights.clone()
    perturbed(net, NEURONS, [Output(target=PEN), Clamp(target=DELTA7)], resting=RESTING)
    assert torch.equal(net.weights, before)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "relu"])
def test_a_held_rate_comes_out_of_the_activation(name: str) -> None:
    rates = np.array([0.0, 1e-6, 0.3, 0.99])
    back = Activation.named(name).value(torch.as_tensor(inverse_activation(name, rates))).numpy()
    np.testing.assert_allclose(back, rates, atol=2e-15 if name != "tanh" else 1e-12)


def test_a_rate_that_no_neuron_reaches_is_refused() -> None:
    with pytest.raises(ConfigError, match="wanted at most 1 for a sigmoid"):
        inverse_activation("sigmoid", np.array([1.2]))


# --- what cannot be meant ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scale(target=PEN, factor=-0.5),
        lambda: Scale(target=PEN, factor=2.5),
        lambda: Clamp(target=PEN, rate=-0.1),
        lambda: Window(2.0, 2.0),
        lambda: Window(-1.0, 2.0),
        lambda: Pulses(0.1, 0.1),
        lambda: Stimulate(target=PEN, current=0.0, window=Window(0, 1)),
        lambda: Target(side="left"),
        lambda: Target(glomerulus=(10,)),
        lambda: Target(share=0.0),
    ],
)
def test_a_value_out_of_range_is_refused(make) -> None:
    with pytest.raises(ConfigError, match="wanted"):
        make()


EARLY, LATE = Window(0, 1), Window(1, 2)


@pytest.mark.parametrize(
    "pair",
    [
        [Scale(target=PEN, factor=0.5), Output(target=LEFT)],
        [Scale(target=PEN, factor=0.5), Scale(target=LEFT, factor=0.5)],
        [Scale(target=DELTA7, factor=0.5), Input(target=EPG)],
        [Clamp(target=PEN), Clamp(target=LEFT, rate=0.2)],
        [Clamp(target=PEN), Output(target=LEFT)],
        [Clamp(target=PEN), Stimulate(target=LEFT, current=1.0, window=EARLY)],
    ],
    ids=lambda pair: " and ".join(p.name for p in pair),
)
def test_perturbations_that_contradict_each_other_are_refused(pair: list[Perturbation]) -> None:
    for both in (pair, pair[::-1]):
        with pytest.raises(ConfigError, match="both"):
            refuse_contradictions(both, CIRCUIT)


@pytest.mark.parametrize(
    "pair",
    [
        [Output(target=PEN), Output(target=LEFT)],
        [Output(target=PEN), Input(target=EPG)],
        [Scale(target=PEN, factor=0.5), Scale(target=DELTA7, factor=2.0)],
        [Clamp(target=PEN), Clamp(target=EPG)],
        [Clamp(target=PEN, window=EARLY), Clamp(target=PEN, rate=0.2, window=LATE)],
    ],
)
def test_perturbations_that_go_together_are_not_refused(pair: list[Perturbation]) -> None:
    refuse_contradictions(pair, CIRCUIT)


def test_pulses_are_on_for_their_width_at_the_start_of_every_period() -> None:
    train = Stimulate(target=PEN, current=1.0, window=Window(0.1, 0.5), pulses=Pulses(0.2, 0.1))
    on = train.is_on(np.arange(60) * 0.01)
    assert np.flatnonzero(on).tolist() == [*range(10, 20), *range(30, 40)]
    with pytest.raises(ConnectomeSimError):
        Stimulate(target=PEN, current=float("nan"), window=Window(0.1, 0.5))
