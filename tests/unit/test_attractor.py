"""The attractor of networks whose attractor is known: a continuum, n fixed points, no bump, two bumps."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from connectome_sim import circular
from connectome_sim.analysis import Attractor, analyze
from connectome_sim.analysis.attractor import BROKEN, NO_BUMP, RING, SEVERAL, fixed_points, summary
from connectome_sim.analysis.ring import drift, spread
from connectome_sim.analysis.steady import fixed_roots, jacobian
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import Protocol
from connectome_sim.figures.attractor import FIGURES
from connectome_sim.figures.rendering import rendered
from connectome_sim.figures.saved import SavedAnalysis
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from tests.rings import ring

N = 64
QUICK = Protocol(cue_duration_s=0.2, settle_duration_s=0.5)


def cosine_ring(
    *, harmonic: int = 1, folds: int = 0, depth: float = 0.0, coupling: float = 24.0
) -> tuple[RateNetwork, Readout]:
    """Sigmoid neurons coupled by a cosine of ``harmonic``: only that mode of the rates feeds back.

    A modulated bias, depth cos(folds angle), breaks the symmetry: the rates then prefer ``folds`` headings.
    """
    angle = circular.evenly_spaced(N)
    weights = coupling / N * np.cos(harmonic * (angle[:, None] - angle)) - 4.0 / N
    bias = -1.0 + depth * np.cos(folds * angle)
    mask = np.full(N, True)
    network = RateNetwork.from_arrays(
        weights, bias, np.full(N, 0.02), np.zeros(N), ring_angle=angle, epg_mask=mask, activation="sigmoid"
    )
    return network, Readout(torch.as_tensor(angle), torch.as_tensor(mask))


def found(network: RateNetwork, readout: Readout) -> Attractor:
    return analyze(network, readout, protocol=QUICK, step=2e-3, n_headings=64)


@pytest.fixture(scope="module")
def folded() -> tuple[RateNetwork, Readout, Attractor]:
    """A ring that prefers 6 headings."""
    network, readout = cosine_ring(folds=6, depth=0.3)
    return network, readout, found(network, readout)


def test_the_jacobian_is_the_derivative_of_the_right_hand_side() -> None:
    network, _ = ring(n=16, slope=0.3)
    state = torch.rand(network.n_neurons, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = 1e-6  # central differences: error of order 1e-10 relative to entries of order 1e3
    basis = step * torch.eye(network.n_neurons, dtype=torch.float64)
    columns = (network.derivative(state + basis) - network.derivative(state - basis)) / (2 * step)
    torch.testing.assert_close(jacobian(network, state[None])[0], columns.T, rtol=1e-6, atol=1e-6)


def test_an_ideal_ring_is_a_continuum() -> None:
    """Coupling by the first harmonic of 64 neurons: any heading rests, up to aliasing far below rounding."""
    attractor = found(*cosine_ring())
    metrics = attractor.metrics()
    assert attractor.verdict == RING and attractor.is_continuum
    assert metrics["drift_max_deg_per_s"] < 1e-6
    assert metrics["stable_fixed_points"] == metrics["unstable_fixed_points"] == 0  # none is isolated
    assert metrics["slowest_eigenvalue_max_per_s"] < 1e-6
    assert metrics["tangent_alignment_min"] > 1 - 1e-6  # a cubic spline at 5.6 deg knows a tangent to some 1e-3
    assert metrics["spectral_gap_min_per_s"] > 5
    # rotations of one profile: each harmonic of power P_k takes two dimensions of variance P_k / 2
    power = np.abs(np.fft.rfft(attractor.ring.states[0])[1:]) ** 2  # type: ignore[union-attr]
    assert metrics["effective_dimension"] == pytest.approx(2 * power.sum() ** 2 / (power**2).sum(), rel=1e-3)
    assert metrics["bump_amplitude_sd"] < 0.02  # of 16 wedges, not of the bump itself
    assert math.isnan(metrics["barrier_median_deg2_per_s"])


def test_a_ring_with_six_folds_has_six_stable_and_six_unstable_points(
    folded: tuple[RateNetwork, Readout, Attractor],
) -> None:
    """By symmetry they lie at the multiples of 30 deg, in turn; those of one kind are rotations of each other."""
    _, _, attractor = folded
    points, metrics = attractor.points, attractor.metrics()
    assert metrics["stable_fixed_points"] == metrics["unstable_fixed_points"] == 6
    assert metrics["neighbours_of_equal_stability"] == metrics["unresolved_sign_changes"] == 0
    turns = np.rad2deg(points.heading) / 30
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-6)
    kinds = {bool(stable): set(np.round(turns[points.stable == stable]) % 2) for stable in (True, False)}
    assert len(kinds[True]) == len(kinds[False]) == 1 and kinds[True] != kinds[False]
    assert points.error.max() <= 1e-11
    barrier = attractor.barriers()
    assert barrier.shape == (6, 2) and barrier.min() > 0
    np.testing.assert_allclose(barrier, barrier.mean(), rtol=1e-2)  # all alike, to how well the curve is known


def test_fixed_points_are_where_long_runs_end(folded: tuple[RateNetwork, Readout, Attractor]) -> None:
    """SciPy's own integration, from two states pushed off an unstable point, ends at its two stable neighbours."""
    network, readout, attractor = folded
    points = attractor.points
    unstable = int(np.flatnonzero(~points.stable)[1])
    start, along = points.states[unstable], attractor.ring.spline()(points.heading[unstable], 1)  # type: ignore[union-attr]

    def right_hand_side(_: float, rates: np.ndarray) -> np.ndarray:
        return network.derivative(torch.from_numpy(rates)).numpy()

    for sign, neighbour in ((-1, unstable - 1), (1, unstable + 1)):
        ended = solve_ivp(right_hand_side, (0, 60), start + sign * 0.05 * along, rtol=1e-9, atol=1e-11, method="LSODA")
        np.testing.assert_allclose(ended.y[:, -1], points.states[neighbour % len(points)], atol=1e-6)
        assert points.stable[neighbour % len(points)]


def test_the_drift_is_the_velocity_of_the_decoded_heading(folded: tuple[RateNetwork, Readout, Attractor]) -> None:
    network, readout, attractor = folded
    states = torch.from_numpy(attractor.ring.states)  # type: ignore[union-attr]
    step = 1e-6  # s; central difference along the flow
    flow = network.derivative(states)
    ahead, behind = readout.heading(states + step * flow), readout.heading(states - step * flow)
    by_difference = circular.difference(ahead, behind).numpy() / (2 * step)
    np.testing.assert_allclose(drift(network, readout, states), by_difference, atol=1e-8)
    assert np.abs(attractor.ring.drift).max() > 1e-4  # type: ignore[union-attr]


def test_no_bump_and_two_bumps_are_said_so() -> None:
    silent = found(*cosine_ring(coupling=2.0))
    assert silent.verdict == NO_BUMP and silent.ring is None and silent.one_bump_share == 0
    assert silent.metrics()["stable_fixed_points"] == 1  # the flat state
    double = found(*cosine_ring(harmonic=2))
    assert double.verdict == SEVERAL and double.ring is None
    for attractor in (silent, double):
        content = summary(attractor)
        assert content["has_ring"] == 0 and content["drift_max_deg_per_s"] is None
        saved = SavedAnalysis("by hand", content, attractor.arrays())
        drawn = {name: rendered(draw(saved), "png") for name, (draw, enough) in FIGURES.items() if enough(saved)}
        assert "drift_field" in drawn and "bump_shape" not in drawn


def test_bumps_that_all_fall_to_one_heading_still_lie_on_a_ring() -> None:
    network, readout = ring(n=48, slope=0.2)  # drifts to heading 0 (see tests/rings.py)
    attractor = found(network, readout)
    assert attractor.verdict == RING
    points = attractor.points
    assert points.stable.sum() == 1 and (~points.stable).sum() == 1
    np.testing.assert_allclose(points.heading[points.stable], 0, atol=1e-8)
    np.testing.assert_allclose(np.abs(points.heading[~points.stable]), np.pi, atol=1e-8)


def test_newton_reaches_a_root_or_says_that_it_did_not() -> None:
    network, _ = cosine_ring(coupling=2.0)
    start = torch.stack([torch.zeros(N, dtype=torch.float64), torch.full((N,), torch.nan, dtype=torch.float64)])
    roots = fixed_roots(network, start)
    assert roots.converged.tolist() == [True, False]
    assert network.derivative(roots.rates[0]).abs().max() < 1e-8


def test_equal_roots_are_merged() -> None:
    network, readout = cosine_ring(coupling=2.0)
    start = torch.rand(5, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert len(fixed_points(network, readout, start)) == 1


def test_a_string_that_does_not_go_around_is_no_ring() -> None:
    even = circular.evenly_spaced(16) - np.pi
    states = np.eye(16)
    around = spread(states, even, even)
    assert around is not None
    np.testing.assert_allclose(around, states, atol=1e-12)
    assert spread(states, even / 2, even) is None  # there and back
    assert spread(states, np.zeros(16), even) is None
    assert spread(np.full((16, 16), np.nan), even, even) is None


def test_too_few_headings_are_refused() -> None:
    with pytest.raises(ConfigError, match="headings: got 8, wanted at least 16"):
        analyze(*cosine_ring(), protocol=QUICK, step=2e-3, n_headings=8)


def test_a_verdict_has_words() -> None:
    from connectome_sim.analysis import VERDICTS

    assert {RING, NO_BUMP, SEVERAL, BROKEN} < set(VERDICTS)
