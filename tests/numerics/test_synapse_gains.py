"""Claims about one gain per connection: its gradient, how it relates to that of the type pair, where it starts."""

from __future__ import annotations

import torch

from connectome_sim.fit import SpectralStart
from connectome_sim.fit.start import spectral_start
from connectome_sim.model import Drive, Parameters, RateNetwork, build_network
from connectome_sim.model.activation import SIGMOID
from connectome_sim.solve import fused
from connectome_sim.tasks import generator
from tests import typed_ring
from tests.numerics import small

WIRING = typed_ring.wiring()
STEPS, BATCH = 12, 3


def parameters(gains: str) -> Parameters:
    made = Parameters(typed_ring.spec(gains=gains), WIRING, dtype=torch.float64)
    spectral_start(made, WIRING, SIGMOID, SpectralStart(jitter=0.0), generator(0, "start"))
    return made


def problem() -> tuple[torch.Tensor, Drive]:
    random = torch.Generator().manual_seed(3)
    start = torch.rand(BATCH, WIRING.n_neurons, generator=random, dtype=torch.float64)
    omega = torch.randn(STEPS, BATCH, generator=random, dtype=torch.float64)
    return start, Drive(typed_ring.TIME_STEP, omega)


def gradient(made: Parameters, *, plain: bool = False) -> torch.Tensor:
    """Of a sum in which every rate counts differently, by the raw gains."""
    network: RateNetwork = build_network(WIRING, made)
    start, drive = problem()
    if plain:
        rates = small.plain_steps(network, start, drive, method="euler", substeps=1)
    else:
        rates, _ = fused.integrate(network, start, drive, method="euler", step=drive.time_step)
    (torch.linspace(-1, 1, rates.numel(), dtype=rates.dtype).view_as(rates) * rates).sum().backward()
    found = made.raw["gain"].grad
    assert found is not None
    return found


def test_the_gradient_of_every_connection_is_that_of_plain_autograd() -> None:
    one, other = gradient(parameters("synapse")), gradient(parameters("synapse"), plain=True)
    assert (one != 0).all()  # every connection matters
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_the_gradient_of_a_type_pair_is_the_sum_over_its_connections() -> None:
    """Chain rule: log g_AB moves log g_ij of all its connections alike; both are at the same values."""
    single, pair = parameters("synapse"), parameters("pair")
    post, pre = (WIRING.type_index[index] for index in WIRING.connections.nonzero(as_tuple=True))
    summed = torch.zeros_like(pair.raw["gain"]).index_add(0, pair.gain_group[post, pre], gradient(single))
    torch.testing.assert_close(summed, gradient(pair), rtol=1e-9, atol=1e-14)


def test_connections_start_as_their_type_pairs_do() -> None:
    one, other = (build_network(WIRING, parameters(gains)) for gains in ("synapse", "pair"))
    torch.testing.assert_close(one.weights, other.weights, rtol=1e-12, atol=0)
    assert one.typed is None and other.typed is not None
