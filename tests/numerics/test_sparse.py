"""The compiled sparse kernel gives what the dense one gives, trial by trial, whatever else is in the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from connectome_sim.connectome.anatomy import CIRCUITS, head_direction_circuit
from connectome_sim.connectome.io import hemibrain
from connectome_sim.errors import ShapeError
from connectome_sim.model import Drive, RateNetwork
from connectome_sim.model.activation import ACTIVATIONS
from connectome_sim.model.wiring import Wiring
from connectome_sim.solve import SolveOptions, Status, compiled, fused, solve, sparse_kernel
from connectome_sim.solve.dense import DENSE, DenseKernel
from connectome_sim.solve.options import FUSED_METHODS
from connectome_sim.solve.sparse import SPARSE
from connectome_sim.solve.threads import share
from tests.numerics import small

N = 37  # not a multiple of any vector length
LANES = 16  # the most trials in a group
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def network(activation: str = "sigmoid", *, n: int = N, share: float = 0.3, dtype: torch.dtype = torch.float64):
    rng = np.random.default_rng(n)
    weights = rng.normal(size=(n, n)) * (rng.random((n, n)) < share) * 2 / np.sqrt(n * share)
    weights[n // 2] = 0  # a neuron without input
    return RateNetwork.from_arrays(
        weights,
        rng.normal(size=n),
        rng.uniform(0.02, 0.2, size=n),
        rng.normal(size=n),
        activation=activation,
        dtype=dtype,
    )


def watch(monkeypatch: pytest.MonkeyPatch, look: Callable[..., None]) -> None:
    """Have ``look`` see the arguments of every call of the compiled steps."""
    stepping = sparse_kernel.forward

    def watched(*arguments: object) -> None:
        look(*arguments)
        stepping(*arguments)

    watched.signatures = stepping.signatures  # type: ignore[attr-defined]
    monkeypatch.setattr(sparse_kernel, "forward", watched)


def both(net: RateNetwork, start: torch.Tensor, drive: Drive, method: str, step: float) -> list[torch.Tensor]:
    """Rates by either kernel, whose last ones are the final state."""
    results = [fused.integrate(net, start, drive, method=method, step=step, kernel=k) for k in (SPARSE, DENSE)]
    assert all(torch.equal(rates[-1], final) for rates, final in results)
    return [rates for rates, _ in results]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_accurate_to_rounding_relative_to_their_value(activation: str, dtype: str) -> None:
    """Truth in extended precision. For very negative x sigmoid and softplus are e^x, so e^x is checked as well."""
    numpy_dtype = np.dtype(dtype)
    limit = 80 if dtype == "float32" else 700
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-limit, limit, 20_000), rng.uniform(-3, 3, 20_000), 10.0 ** -np.arange(30)])
    x = x.astype(numpy_dtype)
    wide = x.astype(np.longdouble)
    truth = {
        "sigmoid": lambda: 1 / (1 + np.exp(-wide)),
        "softplus": lambda: np.maximum(wide, 0) + np.log1p(np.exp(-abs(wide))),
        "relu": lambda: np.maximum(wide, 0),
        "tanh": lambda: np.tanh(wide),
    }[activation]()
    value = x.copy()
    compiled.activate(value, compiled.ACTIVATION_CODES[activation])
    assert value.dtype == numpy_dtype
    np.testing.assert_allclose(value.astype(np.longdouble), truth, rtol=4 * np.finfo(numpy_dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_saturate_and_pass_on_what_is_not_a_number(activation: str, dtype: str) -> None:
    x = torch.tensor([float("nan"), float("inf"), float("-inf"), 1e4, -1e4, 0.0], dtype=DTYPES[dtype])
    value = x.numpy().copy()
    compiled.activate(value, compiled.ACTIVATION_CODES[activation])
    wanted = torch.nn.functional.softplus(x) if activation == "softplus" else getattr(torch, activation)(x)
    tiny = 2 * np.finfo(dtype).tiny  # where torch underflows to 0
    np.testing.assert_allclose(value, wanted.numpy(), rtol=4 * np.finfo(dtype).eps, atol=tiny)


@pytest.mark.parametrize("current", ["none", "full", "broadcast in time", "broadcast over trials"])
@pytest.mark.parametrize("method", FUSED_METHODS)
def test_rates_are_those_of_the_dense_kernel_for_every_method_and_current(method: str, current: str) -> None:
    drive = small.drive(n=N, b=5, steps=50, current=True)  # 1 s
    assert drive.current is not None
    which = {
        "none": None,
        "full": drive.current,
        "broadcast in time": drive.current[:1],
        "broadcast over trials": drive.current[:, :1],
    }
    drive = Drive(drive.time_step, drive.angular_velocity, which[current])
    one, other = both(network(), small.initial(n=N, b=5), drive, method, small.DT / 3)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rates_are_those_of_the_dense_kernel_for_every_activation(activation: str, dtype: str) -> None:
    net, start = network(activation, dtype=DTYPES[dtype]), small.initial(n=N, dtype=DTYPES[dtype])
    one, other = both(net, start, small.drive(n=N, steps=20, dtype=DTYPES[dtype]), "heun", small.DT / 2)
    scale = float(other.abs().max())  # without an upper bound, relu and softplus grow
    torch.testing.assert_close(one, other, rtol=0, atol=scale * (1e-11 if dtype == "float64" else 1e-4))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, LANES - 1, LANES, LANES + 1, 2 * LANES + 3])
def test_a_trial_is_the_same_to_the_last_bit_whatever_its_group(
    batch: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch, "get_num_threads", lambda: 1
    )  # with as many threads as there are groups, these are smaller
    net, kind = network(dtype=DTYPES[dtype]), DTYPES[dtype]
    start = small.initial(n=N, b=batch, dtype=kind)
    drive = small.drive(n=N, b=batch, current=True, dtype=kind)
    together, _ = fused.integrate(net, start, drive, method="heun", step=small.DT)
    for trial in {0, batch // 2, batch - 1}:
        one = slice(trial, trial + 1)
        alone, _ = fused.integrate(net, start[one], drive.trials(one), method="heun", step=small.DT)
        assert torch.equal(together[:, one], alone)


@pytest.mark.parametrize("start_of_bad", [float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_trial_that_diverges_is_marked_and_leaves_its_group_alone(activation: str, start_of_bad: float) -> None:
    net, drive = network(activation), small.drive(n=N, b=4)
    good = small.initial(n=N, b=4)
    bad = good.clone()
    bad[2, 0] = start_of_bad
    options = SolveOptions(method="rk4", step=small.DT / 2)
    with_bad, without = solve(net, bad, drive, options), solve(net, good, drive, options)
    assert with_bad.status.tolist() == [Status.OK, Status.OK, Status.DIVERGED, Status.OK]
    assert with_bad.rates[:, 2].isnan().all()
    others = [0, 1, 3]
    assert torch.equal(with_bad.rates[:, others], without.rates[:, others])


def test_a_trial_that_grows_without_bound_is_lost_at_the_same_time_as_in_the_dense_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = replace(network("relu"), weights=network("relu").weights * 5)
    arguments = (net, small.initial(n=N), small.drive(n=N, steps=60), SolveOptions(method="heun", step=small.DT / 2))
    one = solve(*arguments)
    monkeypatch.setattr(type(SPARSE), "forward", DenseKernel.forward)
    other = solve(*arguments)
    assert (one.status == Status.DIVERGED).all()
    assert torch.equal(one.rates.isnan(), other.rates.isnan())


def test_a_network_of_real_size_stays_with_the_dense_kernel_for_a_second() -> None:
    """409 neurons, 19 % of pairs connected, as EPG to ER of the hemibrain."""
    net = network(n=409, share=0.19)
    drive = Drive(0.01, small.drive(n=409, b=2, steps=100).angular_velocity)
    one, other = both(net, small.initial(n=409, b=2), drive, "heun", 2e-3)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.real_data
def test_the_hemibrain_stays_with_the_dense_kernel_for_a_second(hemibrain_dir: Path) -> None:
    circuit = head_direction_circuit(hemibrain.read(hemibrain_dir), classes=CIRCUITS["core"])
    net = network(n=circuit.n_neurons)
    net = replace(net, weights=4 * Wiring.from_connectome(circuit, dtype=torch.float64).connections)
    drive = Drive(0.01, small.drive(n=net.n_neurons, steps=100).angular_velocity)
    one, other = both(net, small.initial(n=net.n_neurons), drive, "heun", 1e-3)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_a_broadcast_current_is_not_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    watch(monkeypatch, lambda *arguments: shapes.append(arguments[3].current.shape))
    current = small.drive(n=N, current=True).current
    assert current is not None
    for extra in (None, current[:1], current[:, :1], current):
        drive = Drive(small.DT, small.drive().angular_velocity, extra)
        fused.integrate(network(), small.initial(n=N), drive, method="heun", step=small.DT)
    assert shapes == [(1, 1, N), (1, small.B, N), (small.T, 1, N), (small.T, small.B, N)]


@pytest.mark.parametrize(
    ("n", "share", "grad", "wanted"),
    [(37, 1.0, False, True), (200, 0.4, False, True), (200, 1.0, False, False)] + [(37, 0.3, True, False)],
)
def test_compiled_steps_are_taken_where_they_are_faster(
    monkeypatch: pytest.MonkeyPatch, n: int, share: float, grad: bool, wanted: bool
) -> None:
    """Up to 25,000 connections or 45 % of all pairs, and no gradient of single weights."""
    calls = []
    watch(monkeypatch, lambda *arguments: calls.append(1))
    net = network(n=n, share=share)
    if grad:
        net = small.requiring_grad(net)
    fused.integrate(net, small.initial(n=n), small.drive(n=n), method="euler", step=small.DT)
    assert bool(calls) == wanted


def test_shared_work_is_all_done_and_errors_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    done = []
    share(done.append, 50)
    assert sorted(done) == list(range(50))

    def fails(k: int) -> None:
        if k == 7:
            raise ValueError("piece 7")

    with pytest.raises(ValueError, match="piece 7"):
        share(fails, 20)
    share(done.append, 0)


def test_a_compilation_is_announced_once_on_a_machine(tmp_path: Path) -> None:
    """In processes of their own, with a cache of their own."""
    code = (
        "import torch\nfrom connectome_sim.model import Drive, RateNetwork\nfrom connectome_sim.solve import fused\n"
        "net = RateNetwork.from_arrays([[0.0, 1.0], [1.0, 0.0]], [0, 0], [0.1, 0.1], [0, 0])\n"
        "drive = Drive(0.01, torch.zeros(3, 1, dtype=torch.float64))\n"
        "fused.integrate(net, torch.zeros(1, 2, dtype=torch.float64), drive, method='euler', step=0.01)\n"
    )
    said = []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(run.stderr)
    assert said == ["compiling forward for this machine, once (some ten seconds)\n", ""]


def test_another_precision_is_refused() -> None:
    """Compiled code would read and write beyond what there is."""
    start, drive = small.initial(n=N), small.drive(n=N)
    for other, inputs, named in ((start.float(), drive, "initial"), (start, drive.to(dtype=torch.float32), "angular")):
        with pytest.raises(ShapeError, match=f"{named}.*: got torch.float32, wanted torch.float64"):
            fused.integrate(network(), other, inputs, method="euler", step=small.DT)
