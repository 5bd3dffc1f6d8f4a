"""The spectral start on a circuit of known symmetry, on noise, and on the real hemibrain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from connectome_sim.connectome.anatomy import CORE, head_direction_circuit
from connectome_sim.connectome.io import hemibrain
from connectome_sim.errors import ConfigError, FitError
from connectome_sim.fit import SpectralStart, ring_mode, spectral_start
from connectome_sim.model import Wiring
from connectome_sim.model.activation import ACTIVATIONS, SIGMOID, Activation
from connectome_sim.model.bounds import Bounds
from connectome_sim.model.parameters import Parameters, ParameterSpec
from connectome_sim.model.rate import build_network
from connectome_sim.tasks import generator
from tests import typed_ring

EVEN = 2 * np.pi * np.arange(12) / 12
ALL = np.ones(12, dtype=bool)


def circulant(*powers: float) -> np.ndarray:
    """Symmetric ring weights with eigenvalue powers[k] on harmonic k (doubly, above 0)."""
    distance = EVEN[:, None] - EVEN[None, :]
    return sum(p * (1 if k == 0 else 2) / 12 * np.cos(k * distance) for k, p in enumerate(powers))


def started(
    wiring: Wiring, options: SpectralStart, *, activation: Activation = SIGMOID, seed: int = 0, **spec: object
) -> Parameters:
    parameters = Parameters(ParameterSpec(**spec), wiring, dtype=torch.float64)
    spectral_start(parameters, wiring, activation, options, generator(seed, "start"))
    return parameters


def weights_of(wiring: Wiring, parameters: Parameters) -> np.ndarray:
    return build_network(wiring, parameters).weights.detach().numpy()


def input_at(wiring: Wiring, parameters: Parameters, rate: float) -> np.ndarray:
    """Mean input of each type while every neuron fires at ``rate``."""
    network = build_network(wiring, parameters)
    x = network.total_input(torch.full((1, wiring.n_neurons), rate, dtype=network.dtype))[0].detach()
    return np.array([float(x[wiring.type_index == k].mean()) for k in range(wiring.n_types)])


# --- the mode of a matrix ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("powers", "share"), [((1.0, 3.0, 0.5), 1.0), ((1.0, 2.0, 3.0), 0.0)])
def test_the_leading_mode_of_a_circulant_is_its_strongest_harmonic(powers: tuple[float, ...], share: float) -> None:
    mode = ring_mode(circulant(*powers), EVEN, ALL)
    assert mode.eigenvalue == pytest.approx(3.0)
    assert mode.next_eigenvalue == pytest.approx(sorted(powers)[-2])
    assert mode.ring_share == pytest.approx(share, abs=1e-9)


def test_a_uniform_mode_above_a_ring_is_half_of_it() -> None:
    # the leading two vectors: the uniform one and one of the ring's two quadratures, of 2 directions one is harmonic
    assert ring_mode(circulant(4.0, 3.0), EVEN, ALL).ring_share == pytest.approx(np.sqrt(1 / 2))


def test_a_mode_that_rotates_is_a_ring_mode() -> None:
    distance = EVEN[:, None] - EVEN[None, :]
    turning = circulant(0.5, 3.0) + 1 / 6 * np.sin(distance)  # complex pair 3 +- i
    mode = ring_mode(turning, EVEN, ALL)
    assert mode.eigenvalue == pytest.approx(3.0)
    assert mode.ring_share == pytest.approx(1.0)


def test_only_the_heading_neurons_are_judged() -> None:
    # a second population that copies the ring's mode at random places must not matter
    rng = np.random.default_rng(0)
    weights = np.zeros((24, 24))
    weights[:12, :12] = circulant(1.0, 3.0)
    weights[12:, :12] = rng.normal(size=(12, 12))
    angle = np.concatenate([EVEN, np.full(12, np.nan)])
    mode = ring_mode(weights, angle, np.arange(24) < 12)
    assert mode.ring_share == pytest.approx(1.0)


# --- the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gains", ["pair", "type", "ei"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_bump_is_about_to_form_at_the_operating_rate(gains: str, activation: str) -> None:
    """Definition of the start: slope times leading eigenvalue is ``lead``, and rho is the fixed point."""
    phi, options = Activation.named(activation), SpectralStart(jitter=0.0, lead=1.2)
    wiring = typed_ring.wiring()
    parameters = started(wiring, options, activation=phi, gains=gains)
    mode = ring_mode(weights_of(wiring, parameters), wiring.ring_angle.numpy(), wiring.epg_mask.numpy())
    x = input_at(wiring, parameters, options.operating_rate)
    np.testing.assert_allclose(phi.value(torch.tensor(x)).numpy(), options.operating_rate, rtol=1e-9)
    slope = float(phi.slope(torch.tensor(x[0])))
    assert slope * mode.eigenvalue == pytest.approx(options.lead, rel=1e-6)
    assert mode.ring_share > options.ring_share
    assert mode.next_eigenvalue < mode.eigenvalue


def test_inhibition_is_raised_until_the_ring_mode_leads_and_no_further() -> None:
    wiring, options = typed_ring.wiring(), SpectralStart(jitter=0.0)
    excitation, inhibition = started(wiring, options, gains="ei").values("gain").tolist()
    factor = inhibition / excitation / options.margin
    signs = wiring.connections.numpy()
    angle, mask = wiring.ring_angle.numpy(), wiring.epg_mask.numpy()

    def accepted(scale: float) -> bool:
        mode = ring_mode(np.where(signs < 0, scale * signs, signs), angle, mask)
        clear = mode.next_eigenvalue <= (1 - options.gap) * mode.eigenvalue
        return mode.ring_share >= options.ring_share and clear

    assert accepted(factor * (1 + 1e-9))
    assert not accepted(factor / 2 ** (1 / 8) * (1 - 1e-9))  # one step of the search less: 33 steps from 0.5 to 8


def test_one_gain_for_all_takes_the_wiring_as_it_is() -> None:
    wiring, options = typed_ring.wiring(), SpectralStart(jitter=0.0)
    parameters = started(wiring, options, gains="global", thresholds="global")
    assert parameters.values("gain").shape == parameters.values("threshold").shape == (1,)
    mode = ring_mode(weights_of(wiring, parameters), wiring.ring_angle.numpy(), wiring.epg_mask.numpy())
    slope = options.operating_rate * (1 - options.operating_rate)
    assert slope * mode.eigenvalue == pytest.approx(options.lead, rel=1e-6)
    rest = np.log(options.operating_rate / (1 - options.operating_rate))
    assert input_at(wiring, parameters, options.operating_rate).mean() == pytest.approx(rest)


def test_one_gain_for_all_is_not_scaled_by_the_margin_where_the_wiring_is_a_ring_already() -> None:
    # inhibition so strong that the search would stop at its first factor, 0.5; gains of 1 give it twice that
    wiring = typed_ring.wiring()
    strong = replace(wiring, connections=torch.where(wiring.connections < 0, 4.0, 1.0) * wiring.connections)
    options = SpectralStart(jitter=0.0, margin=1.5)
    parameters = started(strong, options, gains="global")
    mode = ring_mode(weights_of(strong, parameters), strong.ring_angle.numpy(), strong.epg_mask.numpy())
    assert mode.ring_share > options.ring_share
    slope = options.operating_rate * (1 - options.operating_rate)
    assert slope * mode.eigenvalue == pytest.approx(options.lead, rel=1e-6)


def test_jitter_is_seeded_and_moves_what_a_fit_may_move() -> None:
    wiring, options = typed_ring.wiring(), SpectralStart(jitter=0.1)
    one, same, other, still = (
        started(wiring, SpectralStart(jitter=jitter), seed=seed, trainable=frozenset({"gain", "threshold"}))
        for jitter, seed in ((options.jitter, 0), (options.jitter, 0), (options.jitter, 1), (0.0, 0))
    )
    for family in ("gain", "threshold"):
        assert torch.equal(one.raw[family], same.raw[family])
        assert not torch.equal(one.raw[family], other.raw[family])
        moved = (one.raw[family] - still.raw[family]).abs()
        assert 0 < moved.min() and moved.max() < 4 * options.jitter
    for family in ("time_constant", "velocity_gain"):
        assert torch.equal(one.raw[family], still.raw[family])


def test_values_beyond_their_bounds_are_put_just_inside() -> None:
    bounds = {"gain": Bounds(0.1, 5.0, "log"), "threshold": Bounds(-1.0, 1.0)}
    parameters = started(typed_ring.wiring(), SpectralStart(jitter=0.0), bounds=bounds)
    assert parameters.values("gain").max().item() == pytest.approx(5.0, rel=2e-3)
    assert parameters.values("threshold").max().item() == pytest.approx(1.0, abs=3e-3)


# --- no start ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gains", ["pair", "type", "ei"])
def test_a_wiring_without_a_ring_has_no_start(gains: str) -> None:
    circuit, rng = typed_ring.connectome(), np.random.default_rng(0)
    n = circuit.n_neurons
    noise = replace(circuit, counts=sp.csr_array(rng.integers(0, 20, (n, n)) * ~np.eye(n, dtype=bool)))
    wiring = Wiring.from_connectome(noise, velocity_types=("PEN_a",), dtype=torch.float64)
    with pytest.raises(FitError, match="never made the leading mode a ring mode"):
        started(wiring, SpectralStart(), gains=gains)


@pytest.mark.parametrize("gains", ["pair", "global"])
def test_a_wiring_in_which_nothing_grows_has_no_start(gains: str) -> None:
    wiring = typed_ring.wiring()
    damped = replace(wiring, connections=-torch.eye(wiring.n_neurons, dtype=torch.float64))  # all eigenvalues -1
    with pytest.raises(FitError, match="spectral start: .*(best share none|leading eigenvalue of -1)"):
        started(damped, SpectralStart(), gains=gains)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_a_rate_that_the_activation_does_not_reach_is_refused(activation: str) -> None:
    with pytest.raises(ConfigError, match=f"operating_rate: got 1.0, wanted less than 1 for {activation}"):
        started(typed_ring.wiring(), SpectralStart(operating_rate=1.0), activation=Activation.named(activation))


# --- the real circuit -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(hemibrain_dir: Path):
    return hemibrain.read(hemibrain_dir)


@pytest.mark.real_data
@pytest.mark.parametrize("classes", [CORE, (*CORE, "ER")], ids=["core", "core_er"])
def test_the_hemibrain_starts_from_a_ring_mode(whole, classes: tuple[str, ...]) -> None:
    wiring = Wiring.from_connectome(head_direction_circuit(whole, classes=classes), dtype=torch.float64)
    options = SpectralStart(jitter=0.0)
    parameters = started(wiring, options)
    mode = ring_mode(weights_of(wiring, parameters), wiring.ring_angle.numpy(), wiring.epg_mask.numpy())
    assert mode.ring_share > 0.93
    assert mode.next_eigenvalue < 0.9 * mode.eigenvalue
    slope = options.operating_rate * (1 - options.operating_rate)
    assert slope * mode.eigenvalue == pytest.approx(options.lead, rel=1e-6)
    rest = np.log(options.operating_rate / (1 - options.operating_rate))
    np.testing.assert_allclose(input_at(wiring, parameters, options.operating_rate), rest, rtol=1e-6)


def test_a_family_with_a_stated_start_keeps_it() -> None:
    options = SpectralStart(jitter=0.0)
    stated = {"time_constant": 0.08, "velocity_gain": 0.4}
    parameters = started(typed_ring.wiring(), options, start=stated)
    for family, value in stated.items():
        torch.testing.assert_close(parameters.values(family), torch.full_like(parameters.values(family), value))
    spectral = started(typed_ring.wiring(), options)
    torch.testing.assert_close(parameters.values("gain"), spectral.values("gain"))
    assert spectral.values("time_constant").detach()[0].item() == pytest.approx(options.time_constant)
