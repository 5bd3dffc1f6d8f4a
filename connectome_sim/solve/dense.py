"""Dense stepping kernel: forward steps and their exact reverse, in torch matrix products. Knows nothing of autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from connectome_sim.solve.problem import Gradients, Problem, Tape

BLOCK = 32  # drive steps whose weight gradient is one matrix product (chosen: large enough for speed, small in memory)


class DenseKernel:
    """Stepping with dense weights on any device."""

    name = "torch"

    def forward(self, problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor, Tape | None]:
        """As in ``Kernel``.

        The tape is stage states s and activations phi, both [steps, substeps, stages, batch, neuron].
        """
        p, scheme = problem, problem.scheme
        n_steps, shape = p.angular_velocity.shape[0], p.initial.shape
        total = n_steps * p.substeps
        kept = total if keep else 2
        states = p.initial.new_empty(kept, scheme.stages, *shape)
        values = p.initial.new_empty(kept if keep else 1, scheme.stages, *shape)
        rates = p.initial.new_empty(n_steps + 1, *shape)
        external, slope = torch.empty_like(p.initial), torch.empty_like(p.initial)
        transposed = p.weights.T
        rates[0] = p.initial
        states[0, 0] = p.initial
        for m in range(total):
            k, sub = divmod(m, p.substeps)
            if sub == 0:
                torch.addcmul(p.bias, p.angular_velocity[k, :, None], p.velocity_input, out=external)
                if p.current is not None:
                    external += p.current[k]
            stage, value = states[m % kept], values[m % values.shape[0]]
            after = rates[k + 1] if sub == p.substeps - 1 else states[(m + 1) % kept, 0]
            for i in range(scheme.stages):
                torch.addmm(external, stage[i], transposed, out=value[i])
                p.activation.value_(value[i])
                torch.sub(value[i], stage[i], out=slope)
                slope *= p.blend
                if i + 1 < scheme.stages:
                    torch.add(stage[0], slope, alpha=scheme.couplings[i], out=stage[i + 1])
                torch.add(stage[0] if i == 0 else after, slope, alpha=scheme.weights[i], out=after)
            if sub == p.substeps - 1 and m + 1 < total:
                states[(m + 1) % kept, 0] = rates[k + 1]
        tape_shape = (n_steps, p.substeps, scheme.stages, *shape)
        tape = (states.view(tape_shape), values.view(tape_shape)) if keep else None
        samples = rates[:: p.sample_every]
        return samples if p.observed is None else samples[..., p.observed], rates[-1].clone(), tape

    def backward(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor, *, need_weights: bool
    ) -> Gradients:
        """As in ``Kernel``.

        With bars for gradients, one step backwards from rbar' (the schemes' equations in reverse)::

            kbar_i = b_i rbar' + c_i sbar_(i+1)        delta_i = a phi'(x_i) kbar_i  (gradient of x_i)
            sbar_i = delta_i W - a kbar_i              rbar = rbar' + sum_i sbar_i
            Wbar += delta_i^T s_i                      abar += kbar_i (phi_i - s_i)
        """
        p, scheme = problem, problem.scheme
        states, values = tape
        n_steps = states.shape[0]
        need_current = p.current is not None
        grad_weights = torch.zeros_like(p.weights) if need_weights else None
        grad_bias, grad_blend, grad_velocity = (torch.zeros_like(p.bias) for _ in range(3))
        grad_omega = torch.empty_like(p.angular_velocity)
        grad_current = states.new_empty(n_steps, *p.initial.shape) if need_current else None
        adjoint, total, sbar = grad_final.clone(), torch.zeros_like(p.initial), torch.zeros_like(p.initial)
        negative_blend = -p.blend
        block_shape = (min(BLOCK, n_steps), *states.shape[1:])
        kbars, deltas = states.new_empty(block_shape), states.new_empty(block_shape)
        for high in range(n_steps, 0, -BLOCK):
            low = max(0, high - BLOCK)
            state, value, kbar, delta = states[low:high], values[low:high], kbars[: high - low], deltas[: high - low]
            gate = p.activation.slope_from_value(value).mul_(p.blend)
            for k in range(high - low - 1, -1, -1):
                if (low + k + 1) % p.sample_every == 0:
                    self._add_sample(adjoint, grad_rates[(low + k + 1) // p.sample_every], p.observed)
                for sub in range(p.substeps - 1, -1, -1):
                    total.copy_(adjoint)
                    for i in range(scheme.stages - 1, -1, -1):
                        torch.mul(adjoint, scheme.weights[i], out=kbar[k, sub, i])
                        if i + 1 < scheme.stages:
                            kbar[k, sub, i].add_(sbar, alpha=scheme.couplings[i])
                        torch.mul(kbar[k, sub, i], gate[k, sub, i], out=delta[k, sub, i])
                        torch.mul(kbar[k, sub, i], negative_blend, out=sbar)
                        sbar.addmm_(delta[k, sub, i], p.weights)
                        total += sbar
                    adjoint, total = total, adjoint
            if grad_weights is not None:
                n = p.bias.shape[0]
                grad_weights.addmm_(delta.reshape(-1, n).T, state.reshape(-1, n))
            grad_blend += kbar.mul_(value - state).sum(dim=(0, 1, 2, 3))
            per_step = delta.sum(dim=(1, 2))
            grad_bias += per_step.sum(dim=(0, 1))
            grad_velocity += torch.einsum("tb,tbn->n", p.angular_velocity[low:high], per_step)
            grad_omega[low:high] = per_step @ p.velocity_input
            if grad_current is not None:
                grad_current[low:high] = per_step
        self._add_sample(adjoint, grad_rates[0], p.observed)
        return Gradients(grad_weights, None, grad_bias, grad_blend, grad_velocity, adjoint, grad_omega, grad_current)

    @staticmethod
    def _add_sample(adjoint: Tensor, gradient: Tensor, observed: Tensor | None) -> None:
        if observed is None:
            adjoint += gradient
        else:
            adjoint[:, observed] += gradient


DENSE = DenseKernel()
