"""Checkpoint keys and shapes at full width, as in published files."""

import json
from pathlib import Path

import pytest
import torch

from models.adversarial import build_discriminator, build_generator
from models.networks import PROJECTORS
from options.train_options import TrainOptions

CASES = json.loads((Path(__file__).parents[1] / "golden" / "layouts.json").read_text())["cases"]


@pytest.mark.parametrize("flags", CASES, ids=lambda flags: flags or "default")
def test_keys_and_shapes_are_the_published_ones(flags):
    opt = TrainOptions().parse([*flags.split(), "--gpu_ids", "-1"])
    expected = {**CASES[""], **CASES[flags]}
    with torch.device("meta"):      # shapes without 100 MB of weights
        nets = {"G": build_generator(opt), "D": build_discriminator(opt)}
    channels = {0: 3, 4: 128, 8: 256, 12: 256, 16: 256}     # the layers' widths that the paper gives
    nets["F"] = PROJECTORS[opt.netF](channels=[channels[int(n)] for n in opt.nce_layers.split(",")],
                                     width=opt.netF_nc)
    for name, net in nets.items():
        found = {key: "x".join(map(str, value.shape)) for key, value in net.state_dict().items()
                 if not key.endswith("num_batches_tracked")}
        scalars = {key for key in expected[name] if key.endswith("num_batches_tracked")}
        assert scalars == {key for key in net.state_dict() if key.endswith("num_batches_tracked")}
        assert found == {key: shape for key, shape in expected[name].items() if key not in scalars}
        assert sum(p.numel() for p in net.parameters()) == expected["parameters"][name]
