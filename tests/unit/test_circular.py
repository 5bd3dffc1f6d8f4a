"""Claims about angle arithmetic: invariances for all angles, and that NumPy and torch agree."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from connectome_sim import circular

ANGLE = st.floats(-50, 50)  # rad, eight turns either way
SHORT = st.floats(-3.1, 3.1)  # rad, less than half a turn
TOLERANCE = 1e-12


@given(ANGLE)
def test_wrap_keeps_the_direction_and_lies_in_the_half_open_turn(angle: float) -> None:
    wrapped = circular.wrap(np.array([angle]))
    assert -math.pi <= wrapped < math.pi
    assert abs(np.exp(1j * wrapped) - np.exp(1j * angle)) < TOLERANCE


@given(st.floats(-3.14, 3.14), st.integers(-8, 8))
def test_wrap_ignores_whole_turns(angle: float, turns: int) -> None:
    assert circular.wrap(np.array([angle + 2 * math.pi * turns])) == pytest.approx(angle, abs=TOLERANCE * 100)


def test_half_a_turn_wraps_to_minus_pi() -> None:
    assert circular.wrap(np.array([math.pi])) == -math.pi


@given(ANGLE, SHORT)
def test_difference_recovers_a_short_rotation(angle: float, rotation: float) -> None:
    assert circular.difference(np.array([angle + rotation]), np.array([angle])) == pytest.approx(rotation, abs=1e-11)


@given(ANGLE, ANGLE)
def test_distance_is_symmetric_and_at_most_half_a_turn(a: float, b: float) -> None:
    forth, back = circular.distance(np.array([a]), np.array([b])), circular.distance(np.array([b]), np.array([a]))
    assert forth == pytest.approx(back, abs=1e-11)
    assert 0 <= forth <= math.pi


@given(ANGLE, st.lists(SHORT, min_size=1, max_size=20))
def test_unwrap_inverts_wrap_for_steps_below_half_a_turn(start: float, steps: list[float]) -> None:
    path = start + np.concatenate([[0.0], np.cumsum(steps)])
    unwrapped = circular.unwrap(circular.wrap(path))
    np.testing.assert_allclose(unwrapped - unwrapped[0], path - path[0], atol=1e-10)


@given(st.lists(ANGLE, min_size=2, max_size=20))
def test_numpy_and_torch_agree(angles: list[float]) -> None:
    array, tensor = np.array(angles), torch.tensor(angles, dtype=torch.float64)
    for function in (circular.wrap, lambda x: circular.difference(x, x[:1]), lambda x: circular.distance(x, x[:1])):
        np.testing.assert_allclose(function(tensor).numpy(), function(array), atol=TOLERANCE)
    if np.all(np.abs(circular.wrap(np.diff(array))) < 3.1415):  # at exactly half a turn both directions are right
        np.testing.assert_allclose(circular.unwrap(tensor).numpy(), circular.unwrap(array), atol=1e-10)


@given(st.floats(-3.0, 3.0), st.floats(0.0, 1.5))
def test_mean_of_two_angles_is_the_middle_of_the_short_arc(centre: float, spread: float) -> None:
    turned = np.array([[centre - spread], [centre + spread + 6 * math.pi]])
    assert circular.distance(circular.mean(turned), np.array([centre])) < 1e-10


def test_evenly_spaced_headings_sum_to_no_direction() -> None:
    headings = circular.evenly_spaced(7)
    np.testing.assert_allclose(np.diff(headings), 2 * math.pi / 7)
    assert abs(np.exp(1j * headings).sum()) < TOLERANCE


def test_gradient_of_a_wrapped_difference_is_one() -> None:
    a = torch.tensor([0.5, 3.5, -9.0], dtype=torch.float64, requires_grad=True)
    circular.difference(a, torch.zeros(3, dtype=torch.float64)).sum().backward()
    assert torch.equal(a.grad, torch.ones(3, dtype=torch.float64))
