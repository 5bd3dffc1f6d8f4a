"""Sparse stepping kernel: steps and their exact reverse on the CPU, in compiled code that visits connections only.

Trials are the lanes of vectors: a group of them is stepped together, its state laid out [neuron, lane], and groups are
shared among threads. Forwards, one evaluation of the equation walks the rows of W in compressed form.
Backwards it walks the columns of S, the signed counts, type by type: with U_jA the sum over the neurons i of type A of
S_ij delta_i, both what goes on to neuron j, sum_A g_AB U_jA, and the gradient of every gain, sum_j U_jA s_j, come from
one walk, so neither dense weights nor their gradient are formed. No operation mixes lanes until the end: a trial that
diverges, or a lane without a trial, leaves the others as they are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from connectome_sim.model.connectivity import by_first
from connectome_sim.solve import sparse_kernel as kernel
from connectome_sim.solve.buffers import buffer
from connectome_sim.solve.compiled import ACTIVATION_CODES, announce
from connectome_sim.solve.problem import Gradients, Problem, Tape
from connectome_sim.solve.rows import width
from connectome_sim.solve.scheme import Steps
from connectome_sim.solve.threads import share

_DTYPES = (torch.float32, torch.float64)
# Where matrix products win: more connections than both (measured with benchmarks/simulate.py; below the number, the
# state of a group stays in the fastest cache whatever the share)
_NUMBER = 25_000
_SHARE = 0.45  # of all pairs


def is_worthwhile(weights: Tensor) -> bool:
    """Whether a network is stepped faster along its connections: on the CPU, with few of them.

    Few means up to 25,000, or up to 45 % of all pairs of neurons.
    """
    if weights.device.type != "cpu" or weights.dtype not in _DTYPES:
        return False
    return int(torch.count_nonzero(weights)) <= max(_NUMBER, _SHARE * weights.numel())


class SparseKernel:
    """Compiled steps on the CPU, with gradients of the gains of type pairs instead of those of single weights."""

    name = "numba"

    def forward(self, problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor, Tape | None]:
        """As in ``Kernel``. The tape is marks and activations, [groups, marks or stages in all, neuron, lane].

        A mark is the state every ``STRIDE`` steps and at the end. With the activations, the states between follow at
        little cost, to the last bit, which is cheaper than to write them to memory and read them.
        """
        p = problem
        n_steps, batch = p.angular_velocity.shape
        lanes = _lanes(batch, p.bias.dtype)
        n, groups = len(p.bias), -(-batch // lanes)
        steps, stages = n_steps * p.substeps, n_steps * p.substeps * p.scheme.stages
        observed = _observed(p)
        rates = buffer((n_steps // p.sample_every + 1, batch, len(observed)), p.bias.dtype)
        final = torch.empty_like(p.initial)
        marks = buffer((groups, -(-steps // kernel.STRIDE) + 1 if keep else 0, n, lanes), p.bias.dtype)
        values = buffer((groups, stages if keep else 1, n, lanes), p.bias.dtype)
        tapes = [kernel.Tape(*parts) for parts in zip(marks.numpy(), values.numpy(), strict=True)]
        inputs = (
            kernel.Trials(_array(p.initial), _array(p.angular_velocity), _current(p), observed),
            _network(p),
            _steps(p),
            width(lanes),
        )
        results = kernel.Results(rates.numpy(), final.numpy())
        announce(kernel.forward)
        share(lambda g: kernel.forward(g * lanes, results, tapes[g], *inputs), groups)
        return rates, final, (marks, values) if keep else None

    def backward(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor, *, need_weights: bool
    ) -> Gradients:
        """As in ``Kernel``; the equations are those of the dense kernel. ``need_weights`` asks for the gains' gradient.

        Trials that diverged have no gradient.
        """
        p = problem
        gain, by_neuron, initial = self.by_trial(p, tape, grad_rates, grad_final)
        assert p.gain is not None
        bias, blend, velocity = by_neuron.sum(dim=-1).to(p.bias.dtype)
        return Gradients(
            weights=None,
            gain=gain.sum(dim=-1).to(p.gain.dtype) if need_weights else None,
            bias=bias,
            blend=blend,
            velocity_input=velocity,
            initial=initial,
            angular_velocity=None,
            current=None,
        )

    def by_trial(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the gradients are sums of over trials.

        Returns:
            By gain [post type, pre type, batch] and by bias, blend and velocity input [3, neuron, batch], float64; by
            initial state [batch, neuron].
        """
        p = problem
        assert p.connectivity is not None and p.gain is not None  # what those who call look at first
        marks, values = tape
        groups, _, n, lanes = marks.shape
        k, batch = len(p.gain), len(p.initial)
        c = p.connectivity
        gain = np.zeros((groups, k, k, lanes))
        by_neuron = np.zeros((groups, 3, n, lanes), _array(p.bias).dtype)
        initial = torch.empty_like(p.initial)
        tapes = [kernel.Tape(*parts) for parts in zip(marks.numpy(), values.numpy(), strict=True)]
        sums = [
            kernel.Sums(gain[g], bias, blend, velocity, initial.numpy())
            for g, (bias, blend, velocity) in enumerate(by_neuron)
        ]
        inputs = (
            kernel.Wanted(_array(grad_rates), _array(grad_final), _array(p.angular_velocity), _observed(p)),
            kernel.Columns(
                c.column_pointer,
                c.column_post,
                c.column_value,
                c.type_index,
                _array(p.gain),
                _array(p.blend),
                ACTIVATION_CODES[p.activation.name],
            ),
            _steps(p),
            width(lanes),
        )
        announce(kernel.reverse)
        share(lambda g: kernel.reverse(g * lanes, sums[g], tapes[g], *inputs), groups)
        return _in_a_row(gain, batch), _in_a_row(by_neuron, batch), initial


SPARSE = SparseKernel()


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _lanes(batch: int, dtype: torch.dtype) -> int:
    """Trials per group: a cache line of them, or half as many single-precision ones where threads would be idle.

    Results do not depend on it: no operation mixes lanes but the sum over trials.
    """
    few = -(-batch // 8) <= torch.get_num_threads()
    return 8 if few or dtype == torch.float64 else 16


def _in_a_row(sums: np.ndarray, batch: int) -> Tensor:
    """[group, ..., lane] -> [..., batch], float64: the same whatever the number of lanes."""
    by_trial = np.moveaxis(sums, 0, -2).reshape(*sums.shape[1:-1], -1)[..., :batch]
    return torch.from_numpy(np.ascontiguousarray(by_trial, dtype=np.float64))


def _observed(problem: Problem) -> np.ndarray:
    return np.arange(len(problem.bias)) if problem.observed is None else _array(problem.observed)


def _rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connections by postsynaptic neuron: pointers [N + 1], presynaptic neurons, weights."""
    c = problem.connectivity
    if c is None or problem.gain is None:
        weights = _array(problem.weights)
        return by_first(weights, np.zeros(len(weights), np.int64), 1)
    gain = _array(problem.gain)
    return np.ascontiguousarray(c.row_pointer[:: len(gain)]), c.row_pre, c.row_value * gain.ravel()[c.row_pair]


def _network(problem: Problem) -> kernel.Network:
    p = problem
    return kernel.Network(
        *_rows(p), _array(p.bias), _array(p.velocity_input), _array(p.blend), ACTIVATION_CODES[p.activation.name]
    )


def _steps(problem: Problem) -> Steps:
    p = problem
    return Steps.of(p.scheme, _array(p.bias).dtype, substeps=p.substeps, sample_every=p.sample_every)


def _current(problem: Problem) -> np.ndarray:
    """The current [steps or 1, batch or 1, neuron]: an axis along which it was broadcast has length 1."""
    current = problem.current
    if current is None:
        return _array(torch.zeros_like(problem.bias)[None, None])
    for axis in (0, 1):
        if current.stride(axis) == 0:
            current = current.narrow(axis, 0, 1)
    return _array(current)
