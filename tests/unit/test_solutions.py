"""The space of solutions on arrays whose geometry and spectrum are known."""

import numpy as np
import pytest

from connectome_sim.analysis import clusters, distances, principal_components, stiffness
from connectome_sim.analysis.solutions import PRIOR, silhouette
from connectome_sim.errors import ShapeError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_distances_are_rms_over_parameters() -> None:
    # by hand: differences (3, 4, 0, 0) have a mean square of 25 / 4
    x = np.array([[0.0, 0.0, 1.0, 1.0], [3.0, 4.0, 1.0, 1.0]])
    np.testing.assert_allclose(distances(x), [[0, 2.5], [2.5, 0]])


def test_components_of_members_on_a_line_and_on_a_sphere() -> None:
    direction = np.array([0.6, 0.0, 0.8])
    line = principal_components(np.array([-1.0, 0.0, 3.0])[:, None] * direction)
    np.testing.assert_allclose(line.share, [1, 0], atol=1e-12)
    np.testing.assert_allclose(abs(line.component[0]), direction)
    assert line.dimension == pytest.approx(1)
    corners = np.concatenate([np.eye(3), -np.eye(3)])  # equal variance along three axes
    assert principal_components(corners).dimension == pytest.approx(3)


def test_scores_and_components_give_the_members_back() -> None:
    x = rng().standard_normal((5, 7))
    parts = principal_components(x)
    np.testing.assert_allclose(parts.score @ parts.component + x.mean(axis=0), x)
    assert parts.share.sum() == pytest.approx(1)


def test_members_that_are_all_the_same_have_no_dimension() -> None:
    assert principal_components(np.ones((3, 4))).dimension == 0


def test_the_silhouette_by_hand() -> None:
    # at 0, 1, 10, 11: a = 1 for all; b = 10.5 for the outer ones and 9.5 for the inner ones
    place = np.array([[0.0], [1.0], [10.0], [11.0]])
    label = np.array([0, 0, 1, 1])
    assert silhouette(distances(place), label) == pytest.approx((9.5 / 10.5 + 8.5 / 9.5) / 2)
    assert silhouette(distances(place), np.zeros(4, dtype=int)) == 0
    alone = silhouette(distances(place), np.array([0, 1, 2, 2]))  # a member alone counts 0
    assert alone == pytest.approx((0 + 0 + 8 / 9 + 9 / 10) / 4)


def test_two_groups_are_two_clusters_and_the_rest_is_continuous() -> None:
    x = rng().standard_normal((12, 5))
    x[8:, 0] += 30
    found = clusters(x, rng(1))
    assert found.n == 2
    np.testing.assert_array_equal(found.label, [0] * 8 + [1] * 4)  # the larger one first
    assert found.p_value <= 0.05
    centres = np.where(found.label[:, None] == 0, x[:8].mean(axis=0), x[8:].mean(axis=0))
    within = ((x - centres) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
    assert found.between_share == pytest.approx(1 - within)


def test_one_cloud_is_one_cluster() -> None:
    # at a level of 5 % one in twenty clouds is split; of ten at most two are but once in a hundred times
    split = sum(clusters(rng(seed).standard_normal((8, 4)), rng(1), draws=40).n > 1 for seed in range(10))
    assert split <= 2


def test_an_elongated_cloud_is_one_cluster() -> None:
    x = rng(3).standard_normal((20, 6)) * np.array([10, 3, 1, 1, 0.3, 0.1])
    assert clusters(x, rng(1)).n == 1


def test_the_order_of_members_does_not_matter() -> None:
    x = rng().standard_normal((9, 3))
    x[:3] += 20
    order = rng(2).permutation(9)
    np.testing.assert_array_equal(clusters(x[order], rng(1)).label, clusters(x, rng(1)).label[order])


def batches(jacobian: np.ndarray, noise: float, n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = rng(5)
    return [noise * random.standard_normal(len(jacobian)) for _ in range(n)], [jacobian] * n


def test_the_spectrum_is_that_of_the_gauss_newton_matrix() -> None:
    jacobian = np.diag([3.0, 1.0, 2.0])
    found = stiffness(*batches(jacobian, 0.1, 4))
    np.testing.assert_allclose(found.eigenvalues, [9, 4, 1])
    np.testing.assert_allclose(abs(found.directions), np.eye(3)[[0, 2, 1]])
    assert found.resolved.all()


def test_standard_errors_are_those_of_linear_regression() -> None:
    # independent residuals of SD sigma: the covariance of the minimum of B batches is sigma^2 (J'J)^-1 / B
    jacobian = rng().standard_normal((40, 3)) * np.array([10.0, 5.0, 1.0])
    jacobian[:, 1] += jacobian[:, 0]
    sigma, n = 0.3, 2000
    wanted = sigma * np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)) / n)
    found = stiffness(*batches(jacobian, sigma, n))
    # errors along eigenvectors are independent here, so that their squares add up
    np.testing.assert_allclose(found.standard_error, wanted, rtol=0.06)
    alone = sigma / np.sqrt((jacobian**2).sum(axis=0) * n)
    np.testing.assert_allclose(found.standard_error_alone, alone, rtol=0.06)
    assert (found.standard_error_alone[:2] < 0.7 * found.standard_error[:2]).all()


def test_what_no_residual_depends_on_keeps_its_prior() -> None:
    jacobian = np.array([[1.0, 0.0], [2.0, 0.0]])
    found = stiffness(*batches(jacobian, 1e-3, 3))
    np.testing.assert_array_equal(found.resolved, [True, False])
    assert found.standard_error[0] < 1e-3
    assert found.standard_error[1] == PRIOR
    assert np.isinf(found.standard_error_alone[1])


def test_two_parameters_that_do_the_same_are_open_together_and_not_alone() -> None:
    jacobian = np.array([[1.0, 1.0], [2.0, 2.0]])
    found = stiffness(*batches(jacobian, 1e-3, 3))
    np.testing.assert_allclose(found.standard_error, PRIOR * np.sqrt(0.5), rtol=1e-3)
    assert (found.standard_error_alone < 1e-3).all()


def test_no_standard_error_exceeds_the_prior() -> None:
    assert stiffness(*batches(np.diag([1.0, 1e-4]), 1.0, 3)).standard_error.max() <= PRIOR


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: principal_components(np.zeros((1, 3))), "got 1 members, wanted at least 2"),
        (lambda: clusters(np.zeros((2, 3)), rng()), "got 2 members, wanted at least 3"),
        (lambda: stiffness([np.zeros(2)], [np.zeros((2, 2))]), "got 1 batches with 1 Jacobians, wanted 2 or more"),
    ],
)
def test_too_little_is_refused(call, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()
