"""--on_nan skip beside what else leaves out updates: the scaler of fp16, networks without gradients."""

import pytest
import torch

from tests.adversarial import batch_of, build
from util.runtime.health import skip_broken_updates


@pytest.mark.parametrize("flags", ["--precision fp16", "--precision bf16", "--lambda_NCE 0",
                                   "--precision fp16 --lambda_NCE 0", "--model cycle_gan --precision fp16"])
def test_steps_go_on_with_skipping(flags):
    """fp16's GradScaler has a flag of its own on the optimizer; F has no gradients without an NCE loss."""
    model = build(*flags.split())
    for optimizer in model.optimizers.values():
        skip_broken_updates(optimizer)
    for step in range(3):
        losses = model.train_step(batch_of(1, step))
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert not any(hasattr(optimizer, "found_inf") for optimizer in model.optimizers.values())


@pytest.mark.parametrize("flags", ["--precision fp16", "--precision fp32"])
def test_a_broken_gradient_is_left_out_in_every_precision(flags):
    model = build(*flags.split())
    for optimizer in model.optimizers.values():
        skip_broken_updates(optimizer)
    model.train_step(batch_of())
    before = model.netG.state_dict()["model.1.weight"].clone()
    batch = batch_of(1, 1)
    batch["A"][0, 0, 0, 0] = float("nan")
    model.train_step(batch)
    assert torch.equal(model.netG.state_dict()["model.1.weight"], before)
    for step in range(20):      # fp16 first finds a scale at which nothing overflows
        model.train_step(batch_of(1, step))
    assert not torch.equal(model.netG.state_dict()["model.1.weight"], before)
