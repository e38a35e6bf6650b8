"""Gauss-Newton with conjugate gradients, matrix-free: J and J^T only ever meet a vector.

The solvers know of problems, not of trackers (DROL, section 3.3, after ATOM).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

Vectors = tuple[Tensor, ...]


def dot(a: Vectors, b: Vectors) -> Tensor:
    """Inner product over all tensors."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def conjugate_gradient(
    product: Callable[[Vectors], Vectors], right: Vectors, start: Vectors, iterations: int
) -> Vectors:
    """Approximate solution of A x = right, A symmetric and positive definite.

    Args:
        product: x -> A x.
    """
    x = start
    residual = tuple(b - a for b, a in zip(right, product(x), strict=True))
    direction, power = residual, dot(residual, residual)
    for _ in range(iterations):
        bent = product(direction)
        # A direction of no curvature is one of no residual: the solution is reached.
        length = power / dot(direction, bent).clamp_min(1e-20)
        x = tuple(a + length * d for a, d in zip(x, direction, strict=True))
        residual = tuple(r - length * q for r, q in zip(residual, bent, strict=True))
        following = dot(residual, residual)
        ratio = following / power.clamp_min(1e-20)
        direction = tuple(r + ratio * d for r, d in zip(residual, direction, strict=True))
        power = following
    return x


def gauss_newton(
    residual: Callable[..., Tensor], start: Vectors, steps: int, iterations: int
) -> Vectors:
    """Minimise |residual(*parameters)|^2.

    Each step linearises the residual and solves (J^T J) d = -J^T r by ``iterations`` conjugate
    gradients. Regularisation belongs into the residual.
    """
    parameters = start
    # There is no differentiation in inference mode.
    with torch.inference_mode(False), torch.enable_grad():
        parameters = tuple(p.clone() for p in parameters)
        for _ in range(steps):
            value, pull = _reverse(residual, parameters)
            # J^T u is linear in u, so its own reverse is J d, wherever it is taken.
            _, push = _reverse(lambda u, pull=pull: pull(u), (torch.zeros_like(value),))
            right = tuple(-g for g in pull(value))

            def product(
                d: Vectors,
                pull: Callable[[Tensor], Vectors] = pull,
                push: Callable[[Vectors], Vectors] = push,
            ) -> Vectors:
                return pull(push(d)[0])

            zero = tuple(torch.zeros_like(p) for p in parameters)
            step = conjugate_gradient(product, right, zero, iterations)
            parameters = tuple((p + d).detach() for p, d in zip(parameters, step, strict=True))
    return parameters


def _reverse(function: Callable[..., Any], at: Vectors) -> tuple[Any, Callable[..., Vectors]]:
    """Value of a function and its vector-Jacobian product."""
    found = vjp(function, *at)
    return found[0], found[1]
