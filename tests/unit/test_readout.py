"""Claims about the decoder on bumps whose heading, length, amplitude and width are known from a formula."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import i0, i1

from connectome_sim import circular
from connectome_sim.errors import ConfigError, ShapeError
from connectome_sim.readout import Readout, population_vector

N = 48
ANGLE = torch.arange(N, dtype=torch.float64) * (2 * math.pi / N)
HEADING = torch.linspace(-7, 7, 29, dtype=torch.float64)


@pytest.fixture
def readout() -> Readout:
    return Readout(ANGLE, torch.ones(N, dtype=torch.bool), wedges=48)


def von_mises(heading: torch.Tensor, kappa: float) -> torch.Tensor:
    return torch.exp(kappa * (torch.cos(ANGLE - heading[..., None]) - 1))


@pytest.mark.parametrize("kappa", [0.5, 2.0, 4.0])
def test_heading_of_a_symmetric_bump_is_its_centre(readout: Readout, kappa: float) -> None:
    error = circular.distance(readout.heading(von_mises(HEADING, kappa)), HEADING)
    assert error.max() < 1e-9  # analytic; the sampling error of 48 neurons is below that for these widths


@pytest.mark.parametrize("kappa", [0.5, 2.0, 4.0])
def test_vector_length_of_a_von_mises_bump_is_a_ratio_of_bessel_functions(readout: Readout, kappa: float) -> None:
    length = readout.vector_length(von_mises(HEADING, kappa))
    torch.testing.assert_close(length, torch.full_like(HEADING, i1(kappa) / i0(kappa)))


@pytest.mark.parametrize(("kappa", "tolerance"), [(1.0, 0.01), (3.0, 0.01), (10.0, 0.03)])
def test_width_of_a_von_mises_bump_is_the_analytic_one(readout: Readout, kappa: float, tolerance: float) -> None:
    # half height between maximum 1 and minimum exp(-2 kappa): cos(w / 2) = 1 + log((1 + exp(-2 kappa)) / 2) / kappa;
    # the rest is linear interpolation between wedges of 7.5 degrees, largest for the narrowest bump
    analytic = 2 * math.acos(1 + math.log((1 + math.exp(-2 * kappa)) / 2) / kappa)
    centred = readout.width(von_mises(ANGLE, kappa))
    assert ((centred - analytic).abs() / analytic).max() < tolerance


def test_width_of_a_raised_cosine_is_half_a_turn(readout: Readout) -> None:
    torch.testing.assert_close(readout.width((1 + torch.cos(ANGLE)) / 2), torch.tensor(math.pi, dtype=torch.float64))


def test_width_follows_the_side_that_falls_more_slowly(readout: Readout) -> None:
    rates = torch.zeros(N, dtype=torch.float64)
    rates[10], rates[11], rates[12], rates[13] = 1.0, 0.75, 0.5, 0.25  # falls to half after 0.5 and 2 wedges
    wanted = torch.tensor(2.5 * 2 * math.pi / N, dtype=torch.float64)
    torch.testing.assert_close(readout.width(rates), wanted)


def test_peaks_counts_separate_bumps(readout: Readout) -> None:
    for n in (1, 2, 3):
        assert readout.peaks(1 + torch.cos(n * (ANGLE - 0.1))) == n
    across_zero = torch.roll(von_mises(torch.tensor(0.0, dtype=torch.float64), 5.0), 0)
    assert readout.peaks(across_zero) == 1


def test_a_single_weak_wedge_does_not_split_a_bump_and_a_wide_gap_does() -> None:
    readout = Readout(ANGLE, torch.ones(N, dtype=torch.bool))  # 16 wedges of 3 neurons
    wedge = (torch.arange(N) + 1) // 3 % 16
    bump = torch.tensor([0.9, 0.8, 0.6, 0.4, 0.2, *[0.05] * 7, 0.2, 0.4, 0.6, 0.8], dtype=torch.float64)
    notched, parted = bump.clone(), bump.clone()
    notched[0] = 0.4  # smoothed to 0.6, between flanks of 0.65
    parted[:2] = parted[-1] = 0.05
    assert [int(readout.peaks(profile[wedge])) for profile in (bump, notched, parted)] == [1, 1, 2]


def test_amplitude_is_maximum_minus_minimum_of_the_wedges() -> None:
    readout = Readout(ANGLE, torch.ones(N, dtype=torch.bool))  # 16 wedges of 3 neurons
    profile = torch.full((16,), 0.2, dtype=torch.float64)
    profile[3], profile[9] = 0.9, 0.1
    wedge = (torch.arange(N) + 1) // 3 % 16  # neurons 47, 0, 1 are those of the wedge centred on 0
    torch.testing.assert_close(readout.profile(profile[wedge]), profile)
    torch.testing.assert_close(readout.amplitude(profile[wedge]), torch.tensor(0.8, dtype=torch.float64))


def test_a_flat_profile_has_no_bump(readout: Readout) -> None:
    flat = torch.full((2, N), 0.3, dtype=torch.float64)
    assert readout.width(flat).isnan().all()
    assert (readout.peaks(flat) == 0).all()
    assert (readout.amplitude(flat) == 0).all()


def test_neurons_outside_the_mask_do_not_count() -> None:
    angle = torch.cat([ANGLE, torch.full((5,), math.nan, dtype=torch.float64)])
    mask = torch.arange(N + 5) < N
    bump = von_mises(HEADING, 2.0)
    rates = torch.cat([bump, torch.full((len(HEADING), 5), 9.0, dtype=torch.float64)], dim=-1)
    whole, part = Readout(angle, mask), Readout(ANGLE, mask[:N])
    for got, wanted in zip(whole.read(rates), part.read(bump), strict=True):
        torch.testing.assert_close(got, wanted)


def test_population_vector_is_the_mean_of_rate_times_direction(readout: Readout) -> None:
    rates = von_mises(HEADING, 2.0)
    wanted = (rates * torch.exp(1j * ANGLE)).sum(dim=-1) / N
    torch.testing.assert_close(readout.population_vector(rates), wanted)
    torch.testing.assert_close(population_vector(rates, ANGLE, torch.ones(N, dtype=torch.bool)), wanted)
    torch.testing.assert_close(wanted.angle(), readout.heading(rates))


def test_leading_axes_are_kept(readout: Readout) -> None:
    rates = torch.rand(3, 4, 5, N, dtype=torch.float64)
    reading = readout.read(rates)
    for value in (*reading, readout.width(rates), readout.peaks(rates)):
        assert value.shape == (3, 4, 5)
    assert torch.equal(reading.heading[1, 2, 3], readout.heading(rates[1, 2, 3]))


@pytest.mark.parametrize("quantity", ["heading", "vector_length", "amplitude"])
def test_gradient_agrees_with_finite_differences(readout: Readout, quantity: str) -> None:
    rates = torch.rand(2, N, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(readout, quantity), (rates,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 1e-30, 1.0])
def test_gradient_is_finite_for_silent_and_uniform_rates(readout: Readout, dtype: torch.dtype, level: float) -> None:
    rates = torch.full((N,), level, dtype=dtype, requires_grad=True)
    reading = readout.to(dtype=dtype).read(rates)
    sum(reading).backward()
    assert all(torch.isfinite(value) for value in reading)
    assert torch.isfinite(rates.grad).all()


def test_float32_rates_are_read_in_float32(readout: Readout) -> None:
    heading = readout.to(dtype=torch.float32).heading(von_mises(HEADING, 2.0).float())
    assert heading.dtype == torch.float32
    assert circular.distance(heading.double(), HEADING).max() < 1e-5


@pytest.mark.parametrize(
    ("angle", "mask", "wedges", "error", "message"),
    [
        (ANGLE, torch.zeros(N, dtype=torch.bool), 16, ShapeError, "at least one"),
        (torch.full((N,), math.nan), torch.ones(N, dtype=torch.bool), 16, ShapeError, "without an angle"),
        (ANGLE, torch.ones(N, dtype=torch.bool), 64, ConfigError, "wedge around 11.25 deg"),
        (ANGLE, torch.ones(N, dtype=torch.bool), 2, ConfigError, "at least 3"),
    ],
)
def test_a_decoder_that_cannot_work_is_refused(
    angle: torch.Tensor, mask: torch.Tensor, wedges: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Readout(angle, mask, wedges)
