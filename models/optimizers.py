"""Bring an optimizer back to a saved state, while it computes as this run does."""

from collections.abc import Mapping
from typing import Any

import torch

# How an optimizer computes: a run's own choice, whatever the run did that a checkpoint comes from.
HOW = ("fused", "foreach", "capturable", "differentiable")


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Take over an optimizer's state and settings, but compute as this optimizer does: see HOW."""
    groups = [{**saved, **{name: group[name] for name in HOW if name in group}}
              for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    lay_out_moments(optimizer)


def lay_out_moments(optimizer: torch.optim.Optimizer) -> None:
    """Give every moment the memory order of its parameter: fused kernels walk both side by side.

    A run may go on with another --channels_last than the one that it was saved with.
    """
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(moment)
