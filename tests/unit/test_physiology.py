"""Regions, indicator, decoders and scores of the physiology scorecard, against analytic values and independent code."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.signal import lfilter

from connectome_sim.analysis import physiology
from connectome_sim.analysis.calcium import GCAMP6F, GCAMP6F_TEN_SPIKES, Indicator
from connectome_sim.analysis.imaging import Recording, Session, convolved, heading_of, record
from connectome_sim.analysis.measures import MEASURES
from connectome_sim.analysis.observations import Observation, shipped_observations
from connectome_sim.analysis.physiology import NOT_APPLICABLE, OFF, PASS, scorecard
from connectome_sim.analysis.regions import (
    DELTA7_BRIDGE,
    EPG_BRIDGE,
    EPG_RING,
    PEN_BRIDGE,
    PEN_NODULI,
    PEN_RING,
    regions_of,
)
from connectome_sim.connectome import statistics
from connectome_sim.errors import ConfigError, DataError
from connectome_sim.evaluate import QUICK, restore
from connectome_sim.evaluate.trace import Runner
from connectome_sim.readout import Readout, profile_width
from connectome_sim.records import FittedNetwork
from connectome_sim.solve import SolveOptions
from tests.rings import stored_ring

WEDGE = 2 * math.pi / 16
ALL = (EPG_RING, PEN_RING, EPG_BRIDGE, PEN_BRIDGE, DELTA7_BRIDGE, PEN_NODULI)


def independent_heading(rates: np.ndarray, angles: np.ndarray) -> float:
    """Population vector written as sums of sines and cosines."""
    return math.atan2(
        sum(r * math.sin(a) for r, a in zip(rates, angles, strict=True)),
        sum(r * math.cos(a) for r, a in zip(rates, angles, strict=True)),
    )


def independent_width(profile: np.ndarray) -> float:
    """Full width at half height, rad: the profile drawn finely by linear interpolation and walked from its peak."""
    n, fine = len(profile), 400
    half = (min(profile) + max(profile)) / 2
    drawn = np.interp(np.arange(n * fine) / fine, np.arange(n + 1), np.append(profile, profile[0]))
    peak = int(np.argmax(profile)) * fine
    right = next(k for k in range(n * fine) if drawn[(peak + k) % (n * fine)] <= half)
    left = next(k for k in range(n * fine) if drawn[(peak - k) % (n * fine)] <= half)
    return (left + right) / fine * 2 * math.pi / n


def noisy_bumps(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rates [n, 46] of von Mises bumps with noise, the angles of 46 EPG in 16 wedges, and the true headings."""
    random = np.random.default_rng(3)
    angles = WEDGE * (np.arange(46) % 16)
    heading, concentration = random.uniform(-math.pi, math.pi, n), random.uniform(1.0, 4.0, n)
    clean = np.exp(concentration[:, None] * (np.cos(angles - heading[:, None]) - 1))
    return np.maximum(clean + 0.05 * random.standard_normal(clean.shape), 0.0), angles, heading


def test_decoders_and_width_agree_with_independent_code() -> None:
    """To 0.5 deg, the project's bound, on bumps of every width with noise; the decoder also finds the heading."""
    rates, angles, heading = noisy_bumps(200)
    readout = Readout(torch.from_numpy(angles), torch.ones(46, dtype=torch.bool))
    tensor = torch.from_numpy(rates)
    decoded, width = readout.heading(tensor).numpy(), readout.width(tensor).numpy()
    profile = readout.profile(tensor).numpy()
    of_regions = heading_of(profile)
    tolerance = math.radians(0.5)
    for k in range(len(rates)):
        own = np.array([rates[k][np.isclose(angles, w * WEDGE)].mean() for w in range(16)])
        np.testing.assert_allclose(profile[k], own, rtol=1e-6)
        assert abs(decoded[k] - independent_heading(rates[k], angles)) < tolerance
        assert abs(of_regions[k] - independent_heading(own, WEDGE * np.arange(16))) < tolerance
        assert abs(width[k] - independent_width(own)) < tolerance
    error = np.rad2deg(np.abs(np.angle(np.exp(1j * (of_regions - heading)))))
    assert np.median(error) < 3


def test_the_width_of_a_cosine_is_half_the_circle() -> None:
    profile = torch.from_numpy(1 + np.cos(WEDGE * np.arange(16)))
    assert profile_width(profile).item() == pytest.approx(math.pi, abs=1e-9)


def test_the_indicator_has_its_published_times() -> None:
    """Rise, half decay and unit area of the kernel k(t) of its docstring, by quadrature."""
    rise, decay = GCAMP6F.time_constants

    def kernel(t: float) -> float:
        return (math.exp(-t / decay) - math.exp(-t / rise)) / (decay - rise)

    time = np.linspace(0, 1, 1_000_001)
    values = (np.exp(-time / decay) - np.exp(-time / rise)) / (decay - rise)
    assert time[values.argmax()] == pytest.approx(0.045, abs=1e-5)
    assert kernel(0.045 + 0.142) == pytest.approx(kernel(0.045) / 2, rel=1e-9)
    assert quad(kernel, 0, 5)[0] == pytest.approx(1, rel=1e-6)


def test_fluorescence_of_a_held_step_is_the_integral_of_the_kernel() -> None:
    """Exact for rates held from sample to sample: no error of the step."""
    rise, decay = GCAMP6F.time_constants
    rates = np.ones((60, 2))
    rates[0] = 0.0  # then 1 from the second sample on
    seen = GCAMP6F.fluorescence(rates, 0.01)
    since = 0.01 * np.maximum(np.arange(60) - 1, 0)
    exact = 1 - (decay * np.exp(-since / decay) - rise * np.exp(-since / rise)) / (decay - rise)
    np.testing.assert_allclose(seen[:, 1], exact, atol=1e-12)


def test_the_slow_kernel_has_the_time_constants_of_the_publication() -> None:
    np.testing.assert_allclose(GCAMP6F_TEN_SPIKES.time_constants, (0.13, 0.63), rtol=1e-3)


def test_an_indicator_at_rest_shows_the_rate() -> None:
    np.testing.assert_allclose(GCAMP6F.fluorescence(np.full((50, 3), 0.7), 0.01), 0.7, rtol=1e-9)


def test_times_that_no_indicator_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="time_to_peak"):
        Indicator(name="square", time_to_peak=0.1, half_decay=0.1, source="")


@pytest.fixture(scope="module")
def circuit() -> FittedNetwork:
    """The neurons of a drawn core circuit, with the weights of none."""
    neurons = statistics.draw(statistics.load("hemibrain_core"), seed=0).neurons
    n = len(neurons)
    return FittedNetwork(
        weights=np.zeros((n, n)),
        bias=np.zeros(n),
        time_constant=np.full(n, 0.02),
        velocity_input=np.zeros(n),
        activation="relu",
        ring_angle=neurons.ring_angle,
        id=tuple(neurons.id),
        type=tuple(neurons.type),
        instance=tuple(neurons.instance),
        side=tuple(neurons.side),
        initial_states=np.zeros((16, n)),
        initial_headings=np.zeros(16),
    )


def test_every_region_is_an_average(circuit: FittedNetwork) -> None:
    regions = regions_of(circuit)
    assert tuple(regions.means) == ALL and not regions.missing
    for name, mean in regions.means.items():
        assert mean.shape == (len(circuit.bias), 2 if name == PEN_NODULI else 16)
        np.testing.assert_allclose(mean.sum(axis=0), 1)
    values = np.random.default_rng(0).random((3, 82))
    np.testing.assert_array_equal(np.concatenate(list(regions.split(values).values()), axis=-1), values)


def test_pen_tiles_lie_where_their_synapses_are(circuit: FittedNetwork) -> None:
    """A PEN of L_g excites EPG L_(g-1) and R_(11-g), one of R_g the mirror images; wedges by the order of the ring."""
    order = "L1 R8 L2 R7 L3 R6 L4 R5 L5 R4 L6 R3 L7 R2 L8 R1".split()
    mean = regions_of(circuit).means[PEN_RING]
    for i, (name, instance) in enumerate(zip(circuit.type, circuit.instance, strict=True)):
        if name == "PEN_a":
            side, glomerulus = instance[-2], int(instance[-1])
            other = "R" if side == "L" else "L"
            first = order.index(f"{side}{glomerulus - 1}")
            # of glomerulus 2 the second would be that of the ninth, which falls on the neighbour of the first
            second = order.index(f"{other}{11 - glomerulus}") if glomerulus > 2 else first + (1 if side == "R" else -1)
            tile = {first, second}
            assert set(np.flatnonzero(mean[i])) == {wedge % 16 for wedge in tile}, instance


def test_a_nodulus_holds_all_pen_of_one_side_of_the_bridge(circuit: FittedNetwork) -> None:
    mean = regions_of(circuit).means[PEN_NODULI]
    for column, side in enumerate("LR"):
        driven = {circuit.instance[i] for i in np.flatnonzero(mean[:, column])}
        assert driven == {name for name in circuit.instance if name.startswith("PEN_a") and name[-2] == side}


def test_a_network_of_strangers_has_only_its_wedges() -> None:
    regions = regions_of(stored_ring())
    assert tuple(regions.means)[0] == EPG_RING and DELTA7_BRIDGE in regions.missing
    assert "no Delta7" in regions.missing[DELTA7_BRIDGE]


LAG = 1.5  # glomeruli, in the made-up recording
KERNEL_S = 1.0  # a slow one, so that what was not convolved shows


def session(**changes: object) -> Session:
    """A made-up recording: bumps of known width that turn with gain 0.8.

    The red PEN_a are 20 deg ahead of the green EPG, the green ones 30 deg ahead of the red EPG. In the bridge Delta7
    are opposite, and PEN_a lag by 1.5 glomeruli. The noduli differ by the turning that a slow kernel shows.
    """
    frames, trials = 200, 4
    velocity = np.deg2rad(np.linspace(-170, 170, frames))[:, None] * np.ones(trials)
    true = np.cumsum(velocity, axis=0) * 0.1
    heading = 0.8 * true
    wedges, glomeruli = WEDGE * np.arange(16), 2 * np.pi / 8 * np.arange(8)

    def bump(centre: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return 1 + np.cos(angles - centre[..., None])

    def bridge(centre: np.ndarray) -> np.ndarray:
        """Glomeruli rise with the heading on the left and fall on the right."""
        return np.concatenate([bump(centre, glomeruli), bump(-centre, glomeruli)], axis=-1)

    way = np.sign(velocity)
    one = 2 * math.pi / 8
    behind = heading - way * LAG * one
    pen = np.concatenate([bump(behind - one, glomeruli), bump(-behind - one, glomeruli)], axis=-1)  # from glomerulus 2
    turning = lfilter([0.1 / KERNEL_S], [1, 0.1 / KERNEL_S - 1], velocity, axis=0)
    calcium = {
        EPG_RING: bump(heading, wedges),
        PEN_RING: bump(heading + way * math.radians(30), wedges),
        EPG_BRIDGE: bridge(heading),
        PEN_BRIDGE: pen,
        DELTA7_BRIDGE: bridge(heading + math.pi),
        PEN_NODULI: np.stack([2 - turning / 4, 2 + turning / 4], axis=-1),
    }
    red = {EPG_RING: calcium[EPG_RING], PEN_RING: bump(heading + way * math.radians(20), wedges)}
    walk = Recording(0.1 * np.arange(frames), velocity, turning, true, heading, calcium, red)
    drift = np.linspace(0, 1, 50)[:, None] * np.array([-4.0, -4.0, 4.0, 4.0])  # rad, in both directions
    standing = bump(drift, wedges)
    whole = Session(
        walk=walk,
        standing=standing,
        jumped=standing[0],
        bump_share=1.0,
        bump_min_vector_length=0.2,
        bump_min_amplitude=0.05,
        missing={},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measure", "value", "tolerance"),
    [
        ("epg_width_deg", 180.0, 1.0),  # of a cosine; up to 1 deg less where the peak lies between two wedges
        ("epg_width_slope", 0.0, 0.02),
        ("epg_amplitude_slope", 0.0, 0.02),
        *((f"pen_a_lead_{low}_{low + 30}_deg", 30.0, 1e-6) for low in range(0, 180, 30)),
        ("pen_a_lead_swapped_150_180_deg", 20.0, 1e-6),
        ("pen_a_bridge_lag_ipsilateral_glomeruli", LAG, 1e-6),
        ("pen_a_bridge_lag_contralateral_glomeruli", LAG, 1e-6),
        ("pen_a_turning_correlation", 1.0, 1e-9),
        ("delta7_epg_distance_glomeruli", 4.0, 1e-6),
        ("integration_gain", 0.8, 1e-9),
        ("standing_drift_sd_rad", 4 * math.sqrt(4 / 3), 1e-9),  # not 0, the mean, nor wrapped; SD with n - 1
        ("single_bump_share", 1.0, 0.0),
        ("single_bump_after_jump_share", 1.0, 0.0),
    ],
)
def test_measures_find_what_was_put_in(measure: str, value: float, tolerance: float) -> None:
    assert np.mean(MEASURES[measure](session())) == pytest.approx(value, abs=tolerance)


def test_velocity_that_was_not_convolved_shows() -> None:
    """The same noduli against the velocity itself, whose kernel here is 1 s: far from 1. Sides exchanged: -1."""
    whole = session()
    unfiltered = replace(whole, walk=replace(whole.walk, turning=whole.walk.velocity))
    assert np.mean(MEASURES["pen_a_turning_correlation"](unfiltered)) < 0.97
    calcium = {**whole.walk.calcium, PEN_NODULI: whole.walk.calcium[PEN_NODULI][..., ::-1]}
    exchanged = replace(whole, walk=replace(whole.walk, calcium=calcium))
    np.testing.assert_allclose(MEASURES["pen_a_turning_correlation"](exchanged), -1.0)


def test_turning_is_the_integral_of_velocity_over_the_kernel() -> None:
    """For a sine the steady response is that of 1 / ((1 + i w rise) (1 + i w decay)); before the walk there is 0."""
    step, omega = 1e-3, 2 * math.pi
    rise, decay = GCAMP6F.time_constants
    time = step * np.arange(8000)
    seen = convolved(np.sin(omega * time)[:, None], GCAMP6F, step)[:, 0]
    response = 1 / ((1 + 1j * omega * rise) * (1 + 1j * omega * decay))
    late = time > 4
    exact = np.imag(response * np.exp(1j * omega * (time - step / 2)))  # held: half a step late
    np.testing.assert_allclose(seen[late], exact[late], atol=1e-4)
    assert seen[0] == 0
    started = convolved(np.ones((3, 1)), GCAMP6F, step)
    np.testing.assert_allclose(started[0], 0, atol=1e-12)  # and not 1, as if it had always turned


def test_a_nodulus_that_shows_what_the_fly_did_correlates_perfectly_only_with_the_same_kernel() -> None:
    """Rates that are the velocity itself, seen through an indicator ten times slower than GCaMP6f."""
    velocity = np.random.default_rng(1).standard_normal((4000, 1)).cumsum(axis=0) * 0.02
    velocity -= velocity.mean(axis=0)
    slow = Indicator(name="slow", time_to_peak=0.45, half_decay=1.42, source="made up")
    rates = np.concatenate([np.zeros((1, 1)), velocity])  # as sampled: at rest before the walk
    shown = slow.fluorescence(rates, 0.01)[1:, 0]
    same, other = (np.corrcoef(shown, convolved(velocity, x, 0.01)[:, 0])[0, 1] for x in (slow, GCAMP6F))
    assert same == pytest.approx(1.0) and other < 0.9 and np.corrcoef(shown, velocity[:, 0])[0, 1] < 0.9


def test_frames_are_aligned_before_they_are_averaged() -> None:
    """Bumps all over the ring, of which a plain mean would be flat; the lead is that of every frame."""
    whole = session()
    heading = np.random.default_rng(0).uniform(-math.pi, math.pi, whole.walk.velocity.shape)
    ahead = heading + np.sign(whole.walk.velocity) * WEDGE * 2
    ring = {
        EPG_RING: 1 + np.cos(WEDGE * np.arange(16) - heading[..., None]),
        PEN_RING: 1 + np.cos(WEDGE * np.arange(16) - ahead[..., None]),
    }
    seen = replace(whole, walk=replace(whole.walk, calcium={**whole.walk.calcium, **ring}, red=ring))
    assert np.mean(MEASURES["pen_a_lead_90_120_deg"](seen)) == pytest.approx(45.0)


def test_slopes_are_relative_to_the_slowest_bin() -> None:
    """A bump whose amplitude is 2 + v / 100 deg/s: slope 1 / (2 + 0.15) per 100 deg/s."""
    whole = session()
    speed = np.rad2deg(np.abs(whole.walk.velocity))
    at = np.where(np.eye(16, dtype=bool)[0], (2 + speed / 100)[..., None], 0.0)
    base = np.concatenate([np.zeros_like(at[:40]), at])  # more than a tenth of the frames are the baseline, 0
    walk = replace(
        whole.walk,
        velocity=np.concatenate([np.full((40, 4), 10.0), whole.walk.velocity]),  # rad/s, in no bin
        calcium={EPG_RING: base},
    )
    (slope,) = MEASURES["epg_amplitude_slope"](replace(whole, walk=walk))
    assert slope == pytest.approx(1 / 2.15, abs=0.02)


@pytest.mark.parametrize(("frames", "measured"), [(29, False), (30, True)])
def test_bumps_are_not_compared_over_few_frames(frames: int, measured: bool) -> None:
    whole = session()
    fast = np.flatnonzero(np.rad2deg(np.abs(whole.walk.velocity)).ravel() >= 150)
    pen = whole.walk.calcium[PEN_RING].copy()
    pen.reshape(-1, 16)[fast[frames:]] = np.nan
    seen = replace(whole, walk=replace(whole.walk, calcium={**whole.walk.calcium, PEN_RING: pen}))
    (score,) = scorecard([observation(measure="pen_a_lead_150_180_deg")], seen)
    assert (score.verdict != NOT_APPLICABLE) == measured
    assert measured or "too few frames" in score.reason


def observation(**changes: object) -> Observation:
    return replace(shipped_observations()[0], **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "number", "spread", "verdict", "off_by"),
    [
        ("sd", 0.81, 0.01, PASS, -1.0),
        ("sd", 0.83, 0.01, OFF, -3.0),
        ("sem", 0.83, 0.01, PASS, -1.0),  # of 9 flies, an SD of 0.03
        ("iqr", 0.81, (0.80, 0.81349), PASS, -1.0),  # an SD of 0.01
        ("range", 0.5, (0.79, 0.83), PASS, -0.5),  # counts from its middle, whatever the number
        ("range", 0.5, (0.81, 0.83), OFF, -2.0),
        ("chosen", 0.82, 0.01, OFF, -2.0),
    ],
)
def test_verdicts_count_what_the_kind_of_spread_says(
    kind: str, number: float, spread: float | tuple[float, float], verdict: str, off_by: float
) -> None:
    """The network has 0.8."""
    row = observation(measure="integration_gain", number=number, spread=spread, spread_kind=kind, flies=9)
    (score,) = scorecard([row], session())
    assert score.verdict == verdict and score.off_by == pytest.approx(off_by)
    assert score.words.startswith("pass" if verdict == PASS else "off by -")


def test_words_say_where_in_an_iqr_and_what_nobody_checked() -> None:
    (gain,) = (row for row in shipped_observations() if row.id == "integration_gain")
    words = [scorecard([replace(gain, spread=ends)], session())[0].words for ends in ((0.67, 0.9), (0.81, 0.9))]
    assert words[0].endswith("SD from the IQR, inside it)") and "outside it" in words[1]
    (score,) = scorecard([replace(gain, checked="summary")], session())
    assert score.words.endswith("the animal's number is a summary, not checked")


def test_a_measure_that_there_is_not_is_refused() -> None:
    with pytest.raises(DataError, match="field 'measure': got 'smell'"):
        scorecard([observation(measure="smell")], session())


def test_what_cannot_be_measured_is_not_applicable_and_says_why() -> None:
    lead = observation(measure="pen_a_lead_0_30_deg")
    walk = session().walk
    without_pen = replace(walk, calcium={EPG_RING: walk.calcium[EPG_RING]})
    (score,) = scorecard([lead], session(walk=without_pen, missing={PEN_RING: "the network has no PEN_a"}))
    assert score.verdict == NOT_APPLICABLE and "no PEN_a" in score.words and math.isnan(score.value)
    (lost,) = scorecard([lead], session(bump_share=0.25))
    assert lost.verdict == NOT_APPLICABLE and "25% of the trials have a bump" in lost.reason
    (asked,) = scorecard([observation(measure="single_bump_share")], session(bump_share=0.25))
    assert asked.verdict != NOT_APPLICABLE  # whether there is one bump is what it asks


def test_drifts_in_both_directions_do_not_pass_as_none() -> None:
    """Mean 0 whatever their size: the SD decides, from none to more than the fly's 0.76 rad."""
    (row,) = (row for row in shipped_observations() if row.id == "standing_drift")
    angles, where = WEDGE * np.arange(16), np.linspace(0, 1, 50)[:, None] * np.array([-1.0, -1.0, 1.0, 1.0])
    for size, verdict in ((0.0, OFF), (0.76 * math.sqrt(3 / 4), PASS), (1.2, OFF), (3.0, OFF)):
        (score,) = scorecard([row], session(standing=1 + np.cos(angles - size * where[..., None])))
        assert score.verdict == verdict, size


@pytest.mark.parametrize(
    ("amplitude", "offset"), [(1e-6, 0.0), (0.5, 10.0), (0.0, 1.0)], ids=["too low", "short vector", "flat"]
)
def test_a_profile_without_a_bump_is_not_one_bump(amplitude: float, offset: float) -> None:
    """Each but the flat one has a single peak relative to its own amplitude."""
    whole = session()
    profile = offset + amplitude * (1 + np.cos(WEDGE * np.arange(16)))
    calcium = {**whole.walk.calcium, EPG_RING: np.broadcast_to(profile, whole.walk.calcium[EPG_RING].shape)}
    seen = replace(whole, walk=replace(whole.walk, calcium=calcium), jumped=np.broadcast_to(profile, (4, 16)))
    assert np.mean(MEASURES["single_bump_share"](seen)) == 0
    assert np.mean(MEASURES["single_bump_after_jump_share"](seen)) == 0


def with_failed(trials: int, of: int) -> Session:
    """The made-up recording ``of`` / 4 times over, the first trials failed."""
    whole = session()
    again = of // 4
    calcium, red = (
        {name: np.tile(values, (1, again, 1)) for name, values in seen.items()}
        for seen in (whole.walk.calcium, whole.walk.red)
    )
    standing, jumped = np.tile(whole.standing, (1, again, 1)), np.tile(whole.jumped, (again, 1))
    for values in (*calcium.values(), *red.values(), standing):
        values[:, :trials] = np.nan
    jumped[:trials] = np.nan
    walk = whole.walk
    traces = {name: np.tile(getattr(walk, name), (1, again)) for name in ("velocity", "turning", "true", "decoded")}
    walk = replace(walk, **traces, calcium=calcium, red=red)
    return replace(whole, walk=walk, standing=standing, jumped=jumped)


def test_survivors_do_not_score_alone() -> None:
    """1 of 12 failed: the rest speaks for the network; 2 of 12, more than a tenth: it does not. Shares count them."""
    rows = [observation(measure=name) for name in ("integration_gain", "standing_drift_sd_rad")]
    shares = [observation(measure=name) for name in ("single_bump_share", "single_bump_after_jump_share")]
    few, many = (scorecard(rows, with_failed(failed, of=12)) for failed in (1, 2))
    assert few[0].value == pytest.approx(0.8) and few[1].verdict != NOT_APPLICABLE
    assert all(score.verdict == NOT_APPLICABLE and "17% of the trials failed" in score.words for score in many)
    assert [score.value for score in scorecard(shares, with_failed(2, of=12))] == pytest.approx([10 / 12] * 2)


def test_an_ideal_ring_is_recorded_as_it_is() -> None:
    """The hand-built ring turns at unit gain and stays where it is; its neurons are not a fly's."""
    stored = stored_ring()
    network, readout = restore(stored)
    protocol = replace(QUICK, n_headings=4, duration_s=6.0, error_times_s=(1.0, 5.0), jump_headings=2)
    found = record(
        Runner(network, readout, protocol, SolveOptions(method="heun", step=2e-3)), regions_of(stored), seed=5
    )
    assert found.bump_share == 1.0
    scores = {score.observation.id: score for score in scorecard(shipped_observations(), found)}
    moved, true = found.walk.decoded, found.walk.true
    assert (moved * true).sum() / (true**2).sum() == pytest.approx(1.0, abs=0.05)
    assert 0.7 < scores["integration_gain"].value < 1.0  # of short walks the indicator's lag loses some
    assert scores["standing_drift"].value == pytest.approx(0.0, abs=0.05)
    assert scores["standing_drift"].verdict == OFF  # less than the fly's: no noise
    assert scores["single_bump"].value == 1.0
    assert scores["delta7_opposite"].verdict == NOT_APPLICABLE
    curves = physiology.curves(found)
    assert np.isnan(curves["pen_a_lead_deg"]).all() == (PEN_RING in found.missing)
    assert (curves["failed_trials_share"] == 0).all()
    lost = [values[:, 1] for values in (found.walk.decoded, *found.walk.calcium.values(), *found.walk.red.values())]
    for values in lost:
        values[:] = np.nan
    rest = physiology.curves(found)
    assert (rest["failed_trials_share"] == 1 / 4).all()
    assert 0 < rest["frames"].sum() < curves["frames"].sum()


def test_single_precision_is_enough_for_an_image() -> None:
    """What `analyze` records in float32 is what float64 gives."""
    stored = stored_ring()
    protocol = replace(QUICK, n_headings=4, duration_s=6.0, error_times_s=(1.0, 5.0), jump_headings=2)
    options = SolveOptions(method="heun", step=2e-3)
    single, double = (
        record(Runner(*restore(stored, dtype=dtype), protocol, options), regions_of(stored), seed=5)
        for dtype in (torch.float32, torch.float64)
    )
    np.testing.assert_allclose(single.walk.decoded, double.walk.decoded, atol=math.radians(0.05))
    np.testing.assert_allclose(single.walk.calcium[EPG_RING], double.walk.calcium[EPG_RING], atol=1e-3)
    np.testing.assert_allclose(single.jumped, double.jumped, atol=1e-3)
