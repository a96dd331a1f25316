"""The comparison with float64: it finds planted defects, and the same random numbers come everywhere."""

import pytest
import torch

from models.contrastive import patch_nce
from scripts.gpu import agreement
from scripts.gpu.agreement import DrawnOnCPU, Step, agrees, compare, device_step, float64_step
from scripts.gpu.plan import TINY, TINY_CUT

CUT = f"{TINY_CUT} --crop_size 32 --load_size 32"
CYCLEGAN = f"--model cycle_gan {TINY} --crop_size 32 --load_size 32"


def step(losses, gradients, changes) -> Step:
    tensors = [{name: torch.tensor(value, dtype=torch.float64) for name, value in each.items()}
               for each in (gradients, changes)]
    return Step(losses, *tensors, scale=1.0)


def test_differences_by_hand():
    exact = step({"G": 2.0, "small": 0.001}, {"G": [3.0, 4.0], "D": [1.0, 0.0]},
                 {"G": [1.0, 0.0], "D": [0.0, 1.0]})
    other = step({"G": 2.2, "small": 0.003}, {"G": [3.0, 4.5], "D": [1.0, 0.2]},
                 {"G": [1.0, 0.0], "D": [0.0, -1.0]})
    found = compare(other, exact)
    # The small loss counts as 0.01: 0.2, more than G's 0.1. D's gradient: 0.2 of 1, G's 0.5 of 5.
    assert (found["of_loss"], found["of_network"]) == ("small", "D")
    assert found["loss"] == pytest.approx(0.2) and found["gradient"] == pytest.approx(0.2)
    assert found["changes"] == pytest.approx(0)         # one right, one the other way
    assert not agrees(found, "bf16") and agrees({"loss": 0.01, "gradient": 0.2}, "bf16")


def test_nan_is_the_largest_difference_and_never_agrees():
    exact = step({"D": 1.0, "G": 1.0}, {"G": [1.0]}, {"G": [1.0]})
    found = compare(step({"D": 1.5, "G": float("nan")}, {"G": [1.0]}, {"G": [1.0]}), exact)
    assert found["of_loss"] == "G" and not agrees(found, "bf16")


def test_a_planted_defect_is_found(monkeypatch):
    """A temperature that is off by a tenth in the device's step."""
    exact = float64_step(CUT)
    assert agrees(compare(device_step(CUT, "cpu", "fp32"), exact), "fp32")
    plain = patch_nce.patch_nce_loss
    monkeypatch.setattr(patch_nce, "patch_nce_loss", lambda query, key, temperature, **more: plain(
        query, key, temperature * 1.1, **more))
    found = compare(device_step(CUT, "cpu", "fp32"), exact)
    assert not agrees(found, "fp32") and found["of_loss"].startswith("NCE")


def test_fp16_finds_a_scale_at_which_nothing_overflows():
    step = device_step(CYCLEGAN, "cpu", "fp16")
    assert agreement.SCALE / 16 ** (agreement.TRIES - 1) <= step.scale <= agreement.SCALE
    assert agrees(compare(step, float64_step(CYCLEGAN)), "fp16")
    # Adam's means are of gradients without the scale.
    assert float(step.gradients["G_A"].norm()) < 100


def test_random_numbers_are_the_same_in_every_format():
    drawn = []
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        with DrawnOnCPU():
            like = torch.zeros(5, dtype=dtype)
            drawn.append([torch.randn_like(like), torch.rand(4, device="cpu"), torch.rand(2, 3, dtype=dtype)])
    for others in drawn[1:]:
        for one, other in zip(drawn[0], others, strict=True):
            assert torch.equal(one.to(other.dtype), other)
    assert drawn[2][0].dtype == torch.bfloat16 and drawn[0][1].dtype == torch.float32
    with DrawnOnCPU():
        assert torch.rand(2, device="meta").device.type == "meta"
