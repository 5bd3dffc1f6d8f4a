"""Ring models of others against what is known of them: exact tuning, fixed points, gain, saturation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from connectome_sim import circular
from connectome_sim.analysis import beside_others
from connectome_sim.analysis.beside_others import (
    FASTEST,
    Row,
    columns,
    published,
    spreads,
    this_network,
)
from connectome_sim.analysis.imaging import Recording
from connectome_sim.analysis.published_rings import CosineRing, EpgPenRing, ReferenceRing, measure, simulate_ring
from connectome_sim.errors import ConfigError, DataError
from connectome_sim.evaluate import FULL, QUICK, EvaluationResult
from connectome_sim.evaluate.trace import Runner
from connectome_sim.model import Drive
from connectome_sim.solve import SolveOptions

RING = CosineRing()


def settled(ring: ReferenceRing, headings: np.ndarray, seconds: float = 10.0) -> Runner:
    return Runner(
        ring,
        ring.readout,
        replace(QUICK, settle_duration_s=seconds),
        SolveOptions(method="heun", step=5e-3),
        simulator=simulate_ring,
    )


def at_rest(ring: ReferenceRing, headings: np.ndarray, seconds: float) -> np.ndarray:
    run = settled(ring, headings, seconds)
    return run.settle(headings).numpy()


@pytest.mark.parametrize(("n", "active", "expected"), [(6, 2, 12.0), (6, 3, 4.0), (6, 4, 2.4), (8, 4, 4.0)])
def test_exact_tuning(n: int, active: int, expected: float) -> None:
    """2 n / (m - sin(m d) / sin d), by hand."""
    assert CosineRing(n=n, active=active).tuned_excitation == pytest.approx(expected)


@pytest.mark.parametrize(("n", "active"), [(6, 3), (8, 3), (8, 4), (8, 5)])
def test_a_tuned_ring_rests_at_every_heading(n: int, active: int) -> None:
    """The steady state h = B (cos(th - psi) - cos(psi') K), checked to vanish under the equation at any heading psi.

    With psi' the distance from the middle of the active neurons and K = cos(m d / 2) / cos(d / 2), B from the mean.
    """
    ring = CosineRing(n=n, active=active, inhibition=-12.0)
    d, angle = 2 * math.pi / n, circular.evenly_spaced(n)
    k = math.cos(active * d / 2) / math.cos(d / 2)
    for psi in np.linspace(0, 2 * math.pi, 41):
        middles = angle + (0.0 if active % 2 else d / 2)
        away = circular.difference(np.full(n, psi), middles)
        offset = away[np.argmin(np.abs(away))]
        shape = np.cos(angle - psi) - math.cos(offset) * k
        active_mean = np.maximum(shape, 0).mean()
        # mean part of h: -B cos(psi') K = J_I B mean + c
        height = ring.feedforward / (-math.cos(offset) * k - ring.inhibition * active_mean)
        flow = ring.derivative((height * shape)[None], np.zeros(1), np.zeros((1, 2 * n)))
        assert (np.maximum(shape, 0) > 1e-9).sum() in (active - 1, active)
        np.testing.assert_allclose(flow, 0, atol=1e-10)


def test_a_mistuned_ring_has_as_many_stable_headings_as_neurons_and_unstable_ones_between() -> None:
    """By symmetry the 2 n fixed points are the neurons' angles and those half way; one kind is stable."""
    for mistuning, stable_at in ((0.05, 0.0), (-0.05, 22.5)):
        ring = CosineRing(mistuning=mistuning)
        cues = circular.evenly_spaced(32) + 0.02
        final = at_rest(ring, cues, 60.0)
        heading = np.rad2deg(ring.readout.heading(torch.from_numpy(final)).numpy())
        places = np.unique(np.round((heading - stable_at) / 45, 3) % 8)
        np.testing.assert_allclose(places, np.arange(8), atol=2e-3)
        between = np.deg2rad(45 * np.arange(8) + 22.5 - stable_at)  # exactly there, symmetry holds it
        held = at_rest(ring, between, 5.0)
        moved = circular.distance(ring.readout.heading(torch.from_numpy(held)).numpy(), between)
        np.testing.assert_allclose(moved, 0, atol=1e-6)


def test_the_tuned_ring_integrates_velocity_with_unit_gain() -> None:
    """v = tau J_E* omega gives gain 1 to first order in v; over whole turns, at walking speeds, to 1 %."""
    cues = circular.evenly_spaced(8) + 0.1
    for speed in (90.0, -180.0):
        run = settled(RING, cues, 1.0)
        initial = run.settle(cues)
        turn = 360 / abs(speed)
        velocity = torch.full((round(2 * turn / 0.01), len(cues)), math.radians(speed), dtype=torch.float64)
        trace = run.run("turn", initial, run.moving(velocity))
        half = round(turn / 0.01)
        moved = np.rad2deg(trace.heading[-1] - trace.heading[half])
        np.testing.assert_allclose(moved, math.copysign(360, speed), rtol=0.01)


def test_impossible_numbers_of_active_neurons_are_refused() -> None:
    with pytest.raises(ConfigError, match="active: got 7 of 8"):
        CosineRing(active=7)


@pytest.mark.parametrize("ring", [RING, EpgPenRing()], ids=["cosine", "epg_pen"])
def test_the_simulator_solves_the_equation(ring: ReferenceRing) -> None:
    """Against SciPy's LSODA on the same right-hand side, with a velocity that changes."""
    rng = np.random.default_rng(1)
    start = ring.state(ring.moving(rng.random((1, ring.n_neurons))))
    velocity = torch.tensor([[2.0], [-1.0], [0.5]], dtype=torch.float64).repeat_interleave(10, dim=0)
    drive = Drive(0.01, velocity)
    options = SolveOptions(method="rk4", step=1e-3)
    found = simulate_ring(ring, torch.from_numpy(start), drive, options, observe=lambda states: states)
    moving, nothing = ring.moving(start), np.zeros((1, ring.n_neurons))
    for k, omega in enumerate((2.0, -1.0, 0.5)):
        ended = solve_ivp(
            lambda t, x, omega=omega: ring.derivative(x[None], np.array([omega]), nothing)[0],
            (0, 0.1),
            moving[0],
            rtol=1e-10,
            atol=1e-12,
            method="LSODA",
        )
        moving = ended.y[:, -1][None]
        np.testing.assert_allclose(
            found.observed[10 * (k + 1)].numpy(), ring.state(moving), atol=1e-5
        )  # kinks cost an order


def test_the_epg_pen_model_sticks_and_saturates() -> None:
    """As published: it sticks at low speeds (below 15 deg/s) and saturates (near 190 deg/s); without PEN, no bump."""
    protocol = replace(QUICK, duration_s=1.0, error_times_s=(1.0,), constant_speeds_deg_per_s=(5.0, 90.0, 400.0, 500.0))
    found = measure(EpgPenRing(), protocol=protocol, seed=0).metrics
    assert found["bump_present_share"] == 1.0
    assert abs(found["gain_at_5_deg_per_s"]) < 0.5
    assert found["gain_at_90_deg_per_s"] == pytest.approx(1.0, abs=0.05)
    assert found["gain_at_90_deg_per_s"] == pytest.approx(found["gain_at_minus_90_deg_per_s"], abs=0.02)  # symmetric
    fastest = np.array([400 * found["gain_at_400_deg_per_s"], 500 * found["gain_at_500_deg_per_s"]])
    assert (fastest > 150).all() and (fastest < 260).all()
    silent = EpgPenRing(alpha=0.0)
    flat = at_rest(silent, np.array([1.0]), 3.0)[0, :54]
    np.testing.assert_allclose(flat, flat[0], atol=1e-9)


def test_weights_of_the_epg_pen_model_are_mirror_images() -> None:
    """Exchanging left and right PEN and reversing the EPG gives the same matrix."""
    weights = EpgPenRing().weights()
    mirror = np.concatenate([np.arange(54)[::-1], 63 + np.arange(9)[::-1], 54 + np.arange(9)[::-1]])
    np.testing.assert_allclose(weights[np.ix_(mirror, mirror)], weights, atol=1e-12)


def test_spread_is_what_the_gain_leaves() -> None:
    """Normal errors of 0.3 rad around a gain of 0.8: a circular SD of 0.3 rad."""
    random = np.random.default_rng(0)
    time = np.array([0.0, 1.0, 5.0])
    true = 10 * random.standard_normal((3, 20_000))
    true[0] = 0.0
    decoded = 0.8 * true + 0.3 * random.standard_normal(true.shape)
    found = spreads(time, decoded, true)
    assert found["walking_gain"] == pytest.approx(0.8, abs=0.002)
    assert found["walking_spread_1s_deg"] == pytest.approx(math.degrees(0.3), rel=0.02)
    assert "walking_spread_10s_deg" not in found
    assert spreads(time, np.full((3, 2), np.nan), true[:, :2]) == {}


def test_published_rows_speak_of_figures_that_the_table_shows() -> None:
    rows = published()
    assert [row.kind for row in rows] == ["animal", "published model", "published model"]
    shown = set(columns(replace(QUICK)))
    for row in rows:
        assert set(row.figures) <= shown | {f"walking_spread_{s}s_deg" for s in (1, 5, 10, 20)}
    with pytest.raises(DataError, match="field 'kind'"):
        Row(model="x", kind="rumour", source="")


def test_rings_and_network_are_measured_over_the_same_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gain of 1 for 20 s and of 0.5 after: the ring's 60 s on its own grid give what the recorded 20 s give."""
    random = np.random.default_rng(1)

    def walk(step: float, seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        time = step * np.arange(round(seconds / step) + 1)
        true = speed * time[:, None]
        late = np.maximum(time - 20, 0)[:, None]
        return time, true - 0.5 * speed * late + wander * np.sqrt(time)[:, None], true

    speed, wander = random.standard_normal(64), 0.2 * random.standard_normal(64)
    time, decoded, true = walk(0.02, 60.0)
    arrays = {"time_s": time, "decoded_heading_rad": decoded + 2.0, "true_heading_rad": true + 2.0}
    found = EvaluationResult({}, {f"walking/{name}": values for name, values in arrays.items()})
    monkeypatch.setattr(beside_others, "measure", lambda *args, **settings: found)
    ring = beside_others.simulated(FULL, seed=0)[0]
    frames = [x[:2000].reshape(200, 10, *x.shape[1:]).mean(axis=1) for x in walk(0.01, 20.0)]
    recorded = Recording(0.1 * (np.arange(200) + 0.5), frames[2], frames[2], frames[2], frames[1], {}, {})
    network = this_network("mine", {}, recorded, FULL, step=1e-3)
    assert ring.figures["walking_gain"] == pytest.approx(1.0, abs=0.05)
    assert set(ring.figures) == set(network.figures) and len(ring.figures) == 5
    for name, value in network.figures.items():
        assert ring.figures[name] == pytest.approx(value, rel=0.01), name


@pytest.mark.parametrize(
    "other", [{"evaluation_headings": 16}, {"evaluation_duration_s": 20.0}, {"evaluation_step_s": 2e-3}]
)
def test_metrics_of_another_evaluation_are_left_out(other: dict[str, float]) -> None:
    own = {"evaluation_headings": 64, "evaluation_duration_s": 60.0, "evaluation_step_s": 1e-3, "walking_x_deg": 3.0}
    assert this_network("mine", own, None, FULL, step=1e-3).figures["walking_x_deg"] == 3.0
    row = this_network("mine", own | other, None, FULL, step=1e-3)
    assert not row.figures and next(iter(other)).removeprefix("evaluation_") in row.note


def test_the_network_keeps_its_stored_metrics() -> None:
    metrics = {
        "gain_at_120_deg_per_s": 1.0,
        "gain_at_minus_120_deg_per_s": 0.5,
        "walking_error_1s_median_deg": math.nan,
    }
    protocol = replace(QUICK, constant_speeds_deg_per_s=(60.0, 120.0))
    row = this_network("mine", metrics, None, protocol, step=1e-3)
    assert row.figures[FASTEST] == pytest.approx(90.0) and "walking_error_1s_median_deg" not in row.figures
