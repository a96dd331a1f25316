"""Memory of a step: bytes of tensors counted by hand, the limits that follow, and a real model's growth."""

import pytest
import torch

from models import cut_model
from scripts.benchmarks.memory import LiveBytes, limits, peak_bytes

SMALL = "--netG resnet_4blocks --ngf 8 --ndf 8 --netF_nc 8 --num_patches 16 --nce_layers 0,4,8"


def test_bytes_are_those_of_living_tensors():
    weight = torch.zeros(100)                       # 400 bytes
    with LiveBytes([weight]) as live:
        a = weight + 1                              # 800
        b = a.view(10, 10)                          # a view takes none
        c = b * 2                                   # 1,200
        del a, b, c                                 # 400 again
        d = torch.zeros(150, dtype=torch.float64)   # 1,600
        e = d[:10] + 1                              # 1,680
    assert live.peak == 1680 and len(e) == 10


def test_limits_leave_a_tenth_and_600_MiB():
    # Of 10 GiB 9,216 MiB stay, less 600 and 216: 8,400 MiB, 21 images of 400 MiB; 1,173 squared is that.
    base, slope = 216 * 2**20, 400 * 2**20 / 256**2
    assert limits(base, slope, 10) == (21, 1152)


def test_the_peak_grows_with_the_pixels(monkeypatch):
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0)
    one, two, four = (peak_bytes(SMALL, 64, batch) for batch in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)
    assert peak_bytes(f"{SMALL} --grad_checkpoint", 64, 4) < 0.7 * four
    # The identity loss first: half of the activations.
    assert peak_bytes(SMALL, 64, 4, identity_first=True) < 0.6 * four
