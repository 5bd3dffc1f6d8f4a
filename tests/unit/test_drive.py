"""Claims about the drive and the cue: the grid, broadcasting, slices, and where the cue falls."""

from __future__ import annotations

import math

import pytest
import torch

from connectome_sim.errors import ShapeError, StepError
from connectome_sim.model import Drive
from connectome_sim.model.drive import cue_current


def test_grid_has_one_more_time_than_steps() -> None:
    drive = Drive(0.25, torch.zeros(4, 2))
    assert drive.times.tolist() == [0, 0.25, 0.5, 0.75, 1.0]
    assert (drive.n_steps, drive.n_trials, drive.duration) == (4, 2, 1.0)


def test_one_current_serves_all_steps_and_trials_without_memory() -> None:
    drive = Drive(0.1, torch.zeros(1000, 50), torch.ones(1, 1, 7))
    assert drive.current is not None
    assert drive.current.shape == (1000, 50, 7)
    assert drive.current.stride()[:2] == (0, 0)


def test_slices_of_steps_and_trials_take_velocity_and_current_alike() -> None:
    omega = torch.arange(12.0).view(4, 3)
    drive = Drive(0.1, omega, omega[..., None].expand(4, 3, 2))
    part = drive[1:3].trials(torch.tensor([2, 0]))
    assert part.angular_velocity.tolist() == [[5, 3], [8, 6]]
    assert part.current is not None
    assert part.current[..., 1].tolist() == [[5, 3], [8, 6]]


@pytest.mark.parametrize("time_step", [0.0, -0.1, math.nan, math.inf])
def test_a_time_step_that_is_not_positive_is_refused(time_step: float) -> None:
    with pytest.raises(StepError, match="time_step"):
        Drive(time_step, torch.zeros(3, 2))


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_a_drive_without_steps_or_trials_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="both at least 1"):
        Drive(0.1, torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 2, 5), (3, 3, 5)])
def test_a_current_of_another_shape_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ShapeError, match="'current'"):
        Drive(0.1, torch.zeros(3, 2), torch.zeros(shape))


def test_a_current_of_another_precision_is_refused() -> None:
    with pytest.raises(ShapeError, match="float64"):
        Drive(0.1, torch.zeros(3, 2), torch.zeros(3, 2, 5, dtype=torch.float64))


def test_cue_is_strongest_at_its_heading_and_leaves_other_neurons_alone() -> None:
    """By hand: A at the cue, A e^-kappa a quarter turn away, A e^(-2 kappa) opposite, 0 off the mask (angle NaN)."""
    angle = torch.tensor([0.0, math.pi / 2, math.pi, math.nan], dtype=torch.float64)
    mask = torch.tensor([True, True, True, False])
    heading = torch.tensor([0.0, math.pi / 2], dtype=torch.float64)
    current = cue_current(angle, mask, heading, amplitude=2.0, concentration=3.0)
    near, side, far = 2.0, 2 * math.exp(-3), 2 * math.exp(-6)
    wanted = torch.tensor([[near, side, far, 0.0], [side, near, side, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(current, wanted, rtol=1e-12, atol=0)
