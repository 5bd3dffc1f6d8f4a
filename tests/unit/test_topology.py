"""Loops of clouds whose loops are known, and landmarks that are spread; what walks visit on a ring."""

from __future__ import annotations

import numpy as np
import pytest

from connectome_sim import circular
from connectome_sim.analysis import topology
from connectome_sim.analysis.topology import farthest_points, loops
from connectome_sim.analysis.visited import visit
from tests.rings import ring


def circle(n: int, centre: float = 0.0) -> np.ndarray:
    angle = circular.evenly_spaced(n)
    return np.stack([centre + np.cos(angle), np.sin(angle)], axis=1)


def test_a_circle_is_one_loop_from_its_spacing_to_its_largest_triangle() -> None:
    # analytic: neighbours meet at 2 sin(pi / n); the loop fills when an equilateral triangle fits, side sqrt(3)
    found = loops(circle(60))
    assert found is not None and found.number == 1
    assert found.birth[0] == pytest.approx(2 * np.sin(np.pi / 60), rel=1e-6)
    assert found.death[0] == pytest.approx(np.sqrt(3), rel=1e-6)
    assert found.metrics()["visited_loop_persistence"] == pytest.approx(np.sqrt(3) - 2 * np.sin(np.pi / 60), rel=1e-6)


def test_two_circles_are_two_loops_and_a_cloud_is_none() -> None:
    eight = loops(np.concatenate([circle(48, -1.5), circle(48, 1.5)]))
    assert eight is not None and eight.number == 2
    cloud = loops(np.random.default_rng(0).normal(size=(150, 3)))
    assert cloud is not None and cloud.number == 0
    for few in (np.zeros((0, 2)), np.zeros((5, 2)), circle(3)):
        nothing = loops(few)
        assert nothing is not None and nothing.number == 0


def test_landmarks_are_further_apart_than_any_point_is_from_them() -> None:
    # Gonzalez 1985: the last landmark was the farthest point, so no distance between landmarks is smaller
    x = np.random.default_rng(1).normal(size=(400, 5))
    landmarks = x[farthest_points(x, 30)]
    apart = np.linalg.norm(landmarks[:, None] - landmarks, axis=2)
    cover = np.linalg.norm(x[:, None] - landmarks, axis=2).min(axis=1).max()
    assert apart[~np.eye(30, dtype=bool)].min() >= cover > 0
    assert len(farthest_points(np.repeat(circle(7), 3, axis=0), 30)) == 7  # each place once


def test_without_ripser_loops_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "can_find_loops", lambda: False)
    assert loops(circle(12)) is None


def test_walks_on_a_ring_visit_one_loop_and_follow_the_velocity() -> None:
    network, readout = ring(n=48)
    found = visit(network, readout, seed=0, step=5e-3, duration=10.0)
    assert found.metrics()["visited_loops"] == 1 and found.failed == 0
    # a ring of unit gain at 60 deg/s (tests/rings.py), a little off at other velocities
    assert np.rad2deg(np.abs(found.decoded - found.true)).max() < 10
    displacement = np.append(0.0, np.cumsum(found.velocity[1:] * np.diff(found.time)))
    np.testing.assert_allclose(found.true, found.decoded[0] + displacement, atol=1e-9)
    assert found.rates.shape == (len(found.time), network.n_neurons)
    assert np.isin(found.arrays()["visited/rates"].shape[0], range(100, 301))


def test_another_seed_walks_another_way() -> None:
    network, readout = ring(n=16)
    first, second = (visit(network, readout, seed=seed, step=5e-3, duration=1.0) for seed in (0, 1))
    assert not np.allclose(first.velocity, second.velocity)
