"""Kernels take subnormal numbers for zero, leave the mode of the thread as they found it, and lose nothing by it."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from llvmlite import binding, ir
from numba import njit
from torch import Tensor

from connectome_sim.errors import FitError
from connectome_sim.fit import Stage, fit
from connectome_sim.losses import Observation, WeightedLoss
from connectome_sim.model import Drive, Parameters, ParameterSpec, RateNetwork, build_network
from connectome_sim.model.activation import Activation
from connectome_sim.solve import fused, sparse_kernel, subnormals
from connectome_sim.solve.dense import DENSE
from connectome_sim.solve.options import FUSED_METHODS
from connectome_sim.solve.sensitivity import Directions, sensitivities
from connectome_sim.solve.sparse import SPARSE
from connectome_sim.solve.subnormals import flush_subnormals, restore, subnormals_flushed
from tests import typed_ring
from tests.numerics import small
from tests.unit import circuits

DTYPES = {"float64": torch.float64, "float32": torch.float32}
STEP = 0.01  # s
needs_a_register = pytest.mark.skipif(subnormals._REGISTER is None, reason="this processor has no known mode")


def flushing() -> bool:
    """Whether results that are subnormal become zero in this thread."""
    return sys.float_info.min / 2 == 0


@pytest.fixture(params=[False, True], ids=["computing", "flushing"])
def mode(request: pytest.FixtureRequest) -> Iterator[bool]:
    """What the caller has set."""
    torch.set_flush_denormal(request.param)
    yield request.param
    torch.set_flush_denormal(False)


def product() -> Callable[[np.ndarray, float], None]:
    """A kernel that multiplies, compiled anew."""

    @njit
    def multiply(numbers, factor):
        before = flush_subnormals()
        for i in range(len(numbers)):
            numbers[i] *= factor
        restore(before)

    return multiply


@needs_a_register
@pytest.mark.parametrize("dtype", DTYPES)
def test_within_a_kernel_subnormal_operands_and_results_are_zero_and_after_it_they_are_not(dtype: str) -> None:
    tiny = np.finfo(dtype).tiny
    operands, results, ordinary = (np.full(9, x, dtype) for x in (tiny / 4, tiny, 1))
    multiply = product()
    multiply(operands, np.dtype(dtype).type(1e6))
    multiply(results, np.dtype(dtype).type(0.25))
    multiply(ordinary, np.dtype(dtype).type(0.25))
    assert not operands.any() and not results.any() and (ordinary == 0.25).all()
    assert (np.full(9, tiny, dtype) * np.dtype(dtype).type(0.25) > 0).all()


def test_where_the_processor_is_not_known_numbers_are_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subnormals, "_REGISTER", None)
    numbers = np.full(9, np.finfo(float).tiny)
    product()(numbers, 0.25)
    assert (numbers == np.finfo(float).tiny / 4).all()


@pytest.mark.parametrize(("architecture", "written"), [("x86_64", "ldmxcsr"), ("aarch64", "msr\tFPCR")])
def test_the_mode_is_written_by_the_instruction_of_the_architecture(architecture: str, written: str) -> None:
    """Assembled for it, on whatever machine this runs."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple, module = f"{architecture}-unknown-linux-gnu", ir.Module()
    module.triple = triple
    word, register = ir.IntType(64), subnormals.REGISTERS[architecture]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), []), "mode")
    builder = ir.IRBuilder(function.append_basic_block())
    register.write(builder, builder.or_(register.read(builder), word(register.flush)))
    builder.ret_void()
    machine = binding.Target.from_triple(triple).create_target_machine()
    assert written in machine.emit_assembly(binding.parse_assembly(str(module)))


def fading(dtype: torch.dtype) -> tuple[RateNetwork, Tensor, Drive]:
    """Neurons that nothing drives, whose rates fall to a quarter in a step, from just above the smallest normal one."""
    wiring = circuits.wiring(dtype=dtype)
    network = build_network(wiring, Parameters(ParameterSpec(), wiring, dtype=dtype), Activation.named("relu"))
    n, nothing = network.n_neurons, torch.zeros_like
    assert network.typed is not None
    silent = replace(
        network,
        weights=nothing(network.weights),
        typed=replace(network.typed, gain=nothing(network.typed.gain)),
        bias=nothing(network.bias),
        time_constant=torch.full_like(network.bias, STEP / 0.75).detach(),
        velocity_input=nothing(network.velocity_input),
    )
    initial = torch.full((2, n), 1.5 * torch.finfo(dtype).tiny, dtype=dtype)
    return silent, initial, Drive(STEP, torch.zeros(1, 2, dtype=dtype))


@needs_a_register
@pytest.mark.parametrize("dtype", DTYPES)
def test_rates_and_gradients_that_fade_end_at_zero(dtype: str, mode: bool) -> None:
    """By the compiled kernels; matrix products show what they would have been. The caller's mode stays."""
    network, initial, drive = fading(DTYPES[dtype])
    ends, gradients = {}, {}
    for kernel in (SPARSE, DENSE):
        start = initial.clone().requires_grad_()
        _, final = fused.integrate(network, start, drive, method="euler", step=STEP, kernel=kernel)
        assert flushing() == mode
        ends[kernel.name] = final.detach()
        gradients[kernel.name] = torch.autograd.grad(final, start, grad_outputs=initial)[0]
        assert flushing() == mode
    assert not ends["numba"].any() and not gradients["numba"].any()
    assert ends["torch"].any() != mode and gradients["torch"].any() != mode


@needs_a_register
@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_that_fade_end_at_zero(dtype: str, mode: bool) -> None:
    network, initial, drive = fading(DTYPES[dtype])
    n, k = network.n_neurons, 3
    nothing = Directions(torch.zeros(k, k, 1), torch.zeros(n, 1), torch.zeros(n, 1), torch.zeros(n, 1))
    found = sensitivities(
        network, initial, drive, nothing, method="euler", step=STEP, observed=torch.arange(n),
        initial_tangents=initial[..., None],
    )  # fmt: skip
    assert flushing() == mode
    assert found.tangents[0].all() and not found.final_tangents.any() and not found.final.any()


def test_every_thread_that_helps_keeps_its_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    network, initial, drive = fading(torch.float32)
    stepping, modes, threads = sparse_kernel.forward, itertools.cycle([False, True]), set()
    kept: list[bool] = []

    def watched(*arguments: object) -> None:
        threads.add(threading.get_ident())
        with subnormals_flushed():
            torch.set_flush_denormal(mode := next(modes))
            stepping(*arguments)
            kept.append(flushing() == mode)

    watched.signatures = stepping.signatures  # type: ignore[attr-defined]
    monkeypatch.setattr(sparse_kernel, "forward", watched)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    many, long = initial.repeat(200, 1), Drive(STEP, torch.zeros(500, 400))
    fused.integrate(network, many, long, method="rk4", step=STEP)
    assert len(kept) == 25 and all(kept) and len(threads) == 2


@pytest.mark.parametrize("method", FUSED_METHODS)
def test_gradients_below_the_smallest_normal_number_are_lost_and_no_others_change(method: str) -> None:
    """The truth is matrix products in float64, where these numbers are normal; float32 keeps the rounding it has."""
    found = {}
    for dtype, kernel in ((torch.float32, SPARSE), (torch.float64, DENSE)):
        wiring = circuits.wiring(dtype=dtype)
        parameters = Parameters(ParameterSpec(), wiring, dtype=torch.float64)
        network = build_network(wiring, parameters)
        bias = network.bias.detach() - 85 * torch.tensor([0, 0, 0, 0, 1], dtype=dtype)  # Delta7, silent
        bias.requires_grad_()
        start = small.initial(n=5, dtype=dtype)
        drive = small.drive(n=5, steps=40, dtype=dtype)
        rates, _ = fused.integrate(
            replace(network, bias=bias), start, drive, method=method, step=small.DT, kernel=kernel
        )
        found[dtype] = torch.autograd.grad((1e-3 * rates.square()).sum(), bias)[0].double()
    single, exact = found[torch.float32], found[torch.float64]
    assert 0 < abs(exact[4]) < torch.finfo(torch.float32).tiny
    torch.testing.assert_close(single[:4], exact[:4], rtol=1e-5, atol=0)
    assert abs(single[4]) < torch.finfo(torch.float32).tiny


def test_pytorch_computes_as_before_after_an_exception(mode: bool) -> None:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    with pytest.raises(ZeroDivisionError), subnormals_flushed():
        assert flushing() and not smallest / 4
        raise ZeroDivisionError
    assert flushing() == mode and bool(smallest / 4) != mode


@dataclass(frozen=True)
class Looking:
    """A loss that notes in what mode it is computed and, after eight looks, ends the fit."""

    modes: list[bool] = field(default_factory=list)

    def __call__(self, observation: Observation) -> Tensor:
        self.modes.append(flushing())
        value = math.nan if len(self.modes) > 8 else 1.0
        return value * observation.log_gains[:1]

    def where(self, observation: Observation) -> Tensor:
        return torch.ones(1, dtype=torch.bool)


@pytest.mark.parametrize("starts", [1, 2])
def test_a_fit_flushes_inside_its_iterations_and_nowhere_else(starts: int, mode: bool) -> None:
    """Neither where it calls back, nor once it has failed."""
    loss, called = Looking(), []
    options = typed_ring.options(
        Stage(horizon_s=0.05, iterations=9, n_trials=10, optimizer="adam"),
        candidates=2,
        starts=starts,
        start_iterations=5 * (starts - 1),
    )
    with pytest.raises(FitError, match="diverged|no validation"):
        fit(
            typed_ring.wiring(),
            terms={"looking": WeightedLoss(1.0, loss)},
            spec=typed_ring.spec(),
            options=options,
            on_iteration=lambda row, state: called.append(flushing()),
        )
    assert len(loss.modes) > 8 and all(loss.modes)
    assert called and set(called) == {mode}
    assert flushing() == mode
