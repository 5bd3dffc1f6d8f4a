"""How cases are measured: windows against SciPy, transplants, clamps and cues, sweeps of real rings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import expit

from connectome_sim import circular
from connectome_sim.ablation.members import Member, intact, synapse_strength, transplanted
from connectome_sim.ablation.perturbations import Clamp, Output, Perturbation, Pulses, Stimulate, Window
from connectome_sim.ablation.probes import SWEEP, HeldOut
from connectome_sim.ablation.targets import Target
from connectome_sim.ablation.timed import TimedTrial
from connectome_sim.connectome.deviations import Merge, Missed
from connectome_sim.connectome.nulls import ShuffleSigns, ShuffleWeights
from connectome_sim.errors import ConfigError, DataError
from tests.fitted import member

SHORT = replace(
    SWEEP,
    n_headings=4,
    duration_s=0.5,
    error_times_s=(0.5,),
    constant_speeds_deg_per_s=(60.0,),
    constant_headings=2,
    constant_duration_s=0.3,
    constant_transient_s=0.1,
    jump_offsets_deg=(90.0,),
    jump_headings=2,
    jump_duration_s=0.2,
    noise_headings=2,
    noise_repeats=2,
    noise_duration_s=1.0,
    noise_times_s=(1.0,),
    cue_duration_s=0.2,
    settle_duration_s=0.2,
)
TRIAL = TimedTrial(duration=0.5, start=0.1, end=0.3, protocol=SHORT, step=1e-3, method="rk4", precision="float64")
EPG, PEN, LEFT, DELTA7 = (
    Target(type=("EPG",)),
    Target(type=("PEN_a",)),
    Target(type=("PEN_a",), side="L"),
    Target(type=("Delta7",)),
)


@pytest.fixture(scope="module")
def one() -> Member:
    return member(0)


def by_scipy(one: Member, perturbation: Perturbation) -> np.ndarray:
    """Rates at the end of the trial, from the cue at heading 0 on, every part of it written out."""
    f, neurons = one.fitted, one.connectome.neurons
    aimed, epg = perturbation.target.mask(neurons), neurons.type == "EPG"
    cue = np.where(epg, 5.0 * np.exp(4.0 * (np.cos(f.ring_angle) - 1)), 0.0)

    def part(r: np.ndarray, duration: float, current: np.ndarray, off: bool = False) -> np.ndarray:
        sent = np.where(aimed & off, 0.0, 1.0)
        return solve_ivp(
            lambda _, r: (-r + expit(f.weights @ (sent * r) + f.bias + current)) / f.time_constant,
            (0, duration),
            r,
            "DOP853",
            rtol=1e-10,
            atol=1e-12,
        ).y[:, -1]

    none, extra = np.zeros(len(f.bias)), np.zeros(len(f.bias))
    r = part(part(none, 0.2, cue), 0.2, none)
    r = part(r, 0.1, none)
    if isinstance(perturbation, Output):
        r = part(r, 0.2, none, off=True)
    elif isinstance(perturbation, Stimulate):
        extra[aimed] = perturbation.current
        for _ in range(2):  # 0.05 s on, 0.05 s off
            r = part(part(r, 0.05, extra), 0.05, none)
    return part(r, 0.2, none)


@pytest.mark.parametrize(
    "perturbation",
    [
        Output(target=DELTA7, window=Window(0.1, 0.3)),
        Stimulate(target=LEFT, current=2.0, window=Window(0.1, 0.3), pulses=Pulses(0.1, 0.05)),
    ],
    ids=lambda p: p.name,
)
def test_a_window_is_the_other_equation_between_its_ends(one: Member, perturbation: Perturbation) -> None:
    found = TRIAL.score(intact(one), [perturbation])
    rates = by_scipy(one, perturbation)
    epg = one.connectome.neurons.type == "EPG"
    heading = np.angle(rates[epg] @ np.exp(1j * one.fitted.ring_angle[epg]))
    ours = float(found.arrays["rest/decoded_heading_rad"][-1, 0])
    assert circular.distance(np.array([ours]), np.array([heading]))[0] < 1e-6
    without = float(TRIAL.score(intact(one), []).arrays["rest/decoded_heading_rad"][-1, 0])
    if isinstance(perturbation, Stimulate):
        assert abs(ours - without) > 0.01  # a drive on one side turns the bump


def test_left_and_right_drive_turn_the_bump_of_a_mirror_symmetric_ring_opposite_ways(one: Member) -> None:
    turned = [
        TRIAL.score(
            intact(one),
            [Stimulate(target=Target(type=("PEN_a",), side=side), current=2.0, window=Window(0.1, 0.3))],
        ).measures["rotation_during_deg"]
        for side in ("L", "R")
    ]
    assert abs(turned[0]) > 1
    assert turned[1] == pytest.approx(-turned[0], rel=1e-6)


def test_nothing_in_the_window_is_no_window(one: Member) -> None:
    whole = replace(TRIAL, start=0.2, end=0.4).score(intact(one), [])
    parts = TRIAL.score(intact(one), [])
    np.testing.assert_array_equal(whole.arrays["rest/decoded_heading_rad"], parts.arrays["rest/decoded_heading_rad"])


def test_every_measure_that_is_promised_is_there(one: Member) -> None:
    for probes in (HeldOut(protocol=SHORT), TRIAL):
        assert tuple(probes.score(intact(one), []).measures) == probes.measures


def test_silencing_the_ring_takes_the_bump_away_and_no_drift_is_claimed(one: Member) -> None:
    probes = HeldOut(protocol=SHORT)
    before, after = (probes.score(intact(one), p).measures for p in ([], [Output(target=EPG)]))
    assert before["bump_present_share"] == 1 and after["bump_present_share"] == 0
    assert math.isnan(after["rest_drift_deg"]) and not math.isnan(before["rest_drift_deg"])


def test_a_cue_does_not_move_a_clamped_neuron(one: Member) -> None:
    found = HeldOut(protocol=SHORT).score(intact(one), [Clamp(target=EPG, rate=0.2)]).measures
    assert found["bump_present_share"] == 0 and math.isnan(found["jump_arrived_share"])
    assert found["bump_amplitude"] < 1e-3  # all at the same rate
    subject = intact(one)
    clamped = Clamp(target=EPG, rate=0.2, window=Window(0.0, 0.5))
    rates = TRIAL.score(subject, [clamped]).arrays["rest/kymograph"]
    np.testing.assert_allclose(rates[-1], 0.2, atol=1e-3)  # exp(-0.5 s / 50 ms) of the way is left


def test_windows_outside_of_the_trial_or_off_its_grid_are_refused() -> None:
    for window in (Window(0.1, 0.6), Window(0.105, 0.3)):
        with pytest.raises(ConfigError, match="trial of 0.5 s|whole number of input steps"):
            TRIAL.check([Output(target=PEN, window=window)])
    with pytest.raises(ConfigError, match="wanted none"):
        HeldOut().check([Output(target=PEN, window=Window(0.1, 0.2))])
    with pytest.raises(ConfigError, match="0 < start < end < duration"):
        TimedTrial(duration=2.0, start=1.0, end=3.0)


# --- the same parameters on another connectome ---


def test_a_transplant_to_the_own_connectome_changes_nothing(one: Member) -> None:
    subject = transplanted(one, one.connectome)
    np.testing.assert_allclose(subject.network.weights.numpy(), one.fitted.weights, rtol=1e-12, atol=1e-15)
    assert torch.equal(subject.network.bias, intact(one).network.bias)


def test_a_transplant_keeps_the_weight_of_a_synapse(one: Member) -> None:
    thinned = Missed(0.5)(one.connectome, np.random.default_rng(0))
    weights = transplanted(one, thinned).network.weights.numpy()
    index = one.connectome.type_index
    signs = one.connectome.signs.table(one.connectome.types)
    wanted = (synapse_strength(one) * signs)[np.ix_(index, index)] * thinned.dense()
    np.testing.assert_allclose(weights, wanted)
    kept = thinned.dense() == one.connectome.dense()
    np.testing.assert_allclose(weights[kept], one.fitted.weights[kept], rtol=1e-12, atol=1e-15)


def test_a_transplant_takes_other_signs_and_fewer_neurons(one: Member) -> None:
    signs = transplanted(one, ShuffleSigns()(one.connectome, np.random.default_rng(1))).network.weights.numpy()
    np.testing.assert_allclose(np.abs(signs), np.abs(one.fitted.weights), rtol=1e-12, atol=1e-15)
    assert (signs != one.fitted.weights).any()
    draws = (Merge(0.1)(one.connectome, np.random.default_rng(seed)) for seed in range(100))
    merged = next(draw for draw in draws if (draw.neurons.type == "EPG").sum() == 16)  # one EPG for each wedge
    assert transplanted(one, merged).network.n_neurons == merged.n_neurons == one.connectome.n_neurons - 4


def test_a_network_that_does_not_come_from_the_counts_is_not_transplanted(one: Member) -> None:
    shuffled = ShuffleWeights()(one.connectome, np.random.default_rng(0))
    with pytest.raises(DataError, match="not the connectome's counts"):
        synapse_strength(replace(one, connectome=shuffled))
