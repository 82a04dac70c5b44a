"""Sharpness-aware minimisation around any optimizer.

Papers: Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
ICLR 2021, arXiv 2010.01412 (original code: github.com/google-research/sam); the adaptive variant: Kwon et al., ASAM,
ICML 2021, arXiv 2102.11600. What differs: on several ranks, the perturbation uses the averaged gradient and is the same
on all ranks, whereas the paper perturbs each worker by its own gradient ("m-sharpness").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mfer_lightning.errors import check_number


class SAM(Optimizer):
    r"""Step along the gradient at the worst point nearby, ``w + e`` with ``e = rho g / ||g||`` over all parameters.

    In the adaptive variant, the perturbation scales with the weights, ``e = rho w^2 g / || |w| g ||``, so it does not
    depend on the scale of a layer. Each step evaluates the closure twice, so training takes about twice as long.

    ``step`` needs a closure that clears the gradients, computes the loss and calls backward; Lightning's automatic
    optimisation passes one. During the second evaluation, :attr:`perturbed` is true, so that a module can skip logging
    and updates of batch statistics. Gradients must be complete at each call: gradient accumulation and loss scaling
    (float16) are not supported.

    Groups and state are shared with the base optimizer, so schedules and checkpoints work in the same way as without
    SAM.

    Args:
        base: the optimizer that performs the step.
        rho: radius > 0; 0.05 is usual, ten times as much for the adaptive variant.
        adaptive: use ASAM.

    Raises:
        ValueError: if ``rho`` is not > 0.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = SAM(torch.optim.SGD([w], lr=0.1), rho=0.5)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w**2).sum()
        ...     loss.backward()
        ...     return loss
        >>> _ = optimizer.step(closure)  # the step uses the gradient at 1 + rho, 2 * 1.5 = 3
        >>> w.data
        tensor([0.7000])
    """

    def __init__(self, base: Optimizer, rho: float = 0.05, adaptive: bool = False) -> None:
        self.rho = check_number("rho", rho, 0, excluded="low")
        super().__init__(base.param_groups, base.defaults)
        self.base = base
        self.adaptive = adaptive
        self.perturbed = False
        self._share()

    def _share(self) -> None:
        # Both optimizers share groups and state, so that a schedule changes the rates of both.
        self.param_groups = self.base.param_groups
        self.state = self.base.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate the closure at the current and at the perturbed point, then step from the current one.

        Args:
            closure: clears the gradients, computes the loss, calls backward and returns the loss.

        Returns:
            The result of the closure at the unperturbed point.

        Raises:
            ValueError: if there is no closure.
        """
        if closure is None:
            raise ValueError("Expected argument `closure` to be a function for SAM, which evaluates the loss twice.")
        with torch.enable_grad():
            loss = closure()
        origin = self._perturb()
        self.perturbed = True
        try:
            with torch.enable_grad():
                closure()
        finally:
            self.perturbed = False
            with torch.no_grad():
                for parameter, value in origin:
                    parameter.copy_(value)  # restore the saved value exactly instead of subtracting
        self.base.step()
        return loss

    @torch.no_grad()
    def _perturb(self) -> list[tuple[Tensor, Tensor]]:
        """Move to the perturbed point; return the parameters with their previous values."""
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not moved:
            return []
        device = moved[0].device
        scaled = [p.grad * p.abs() if self.adaptive else p.grad for p in moved]
        norm = torch.stack([g.float().norm().to(device) for g in scaled]).norm()
        scale = self.rho / (norm + 1e-12)
        origin = []
        for parameter, gradient in zip(moved, scaled, strict=True):
            origin.append((parameter, parameter.clone()))
            direction = gradient * parameter.abs() if self.adaptive else gradient
            parameter.add_(direction * scale.to(device=direction.device, dtype=direction.dtype))
        return origin

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        self.base.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the base optimizer."""
        # Optimizer.__init__ adds the base's groups here before the base is set; afterwards the lists are shared.
        if hasattr(self, "base"):
            self.base.add_param_group(param_group)
        else:
            super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base optimizer; SAM itself has none."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the base optimizer's state."""
        self.base.load_state_dict(state_dict)
        self._share()  # loading replaced the base's objects
