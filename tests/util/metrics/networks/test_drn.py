"""DRN-D-22 against the paper's table, the names of the published weights and PyTorch's interpolation."""

import torch
import torch.nn.functional as F

from tests.formula import fill_
from util.metrics.networks.drn import (
    CITYSCAPES_MEAN,
    CITYSCAPES_STD,
    DRND22,
    published_weights,
    upsampling_filter,
)

# Names and shapes as published for Cityscapes, one of each kind of layer.
PUBLISHED = {
    "base.0.0.weight": [16, 3, 7, 7], "base.0.1.running_mean": [16], "base.1.0.weight": [16, 16, 3, 3],
    "base.2.0.weight": [32, 16, 3, 3], "base.3.0.conv1.weight": [64, 32, 3, 3],
    "base.3.0.downsample.0.weight": [64, 32, 1, 1], "base.3.0.downsample.1.weight": [64],
    "base.3.1.conv2.weight": [64, 64, 3, 3], "base.3.1.bn2.bias": [64],
    "base.4.0.conv1.weight": [128, 64, 3, 3], "base.5.0.downsample.0.weight": [256, 128, 1, 1],
    "base.6.1.bn1.running_var": [512], "base.7.0.weight": [512, 512, 3, 3], "base.8.1.weight": [512],
    "seg.weight": [19, 512, 1, 1], "seg.bias": [19], "up.weight": [19, 1, 16, 16]}


def test_keys_are_the_published_ones():
    found = {name: list(value.shape) for name, value in DRND22().state_dict().items()}
    assert {name: found.get(name) for name in PUBLISHED} == PUBLISHED
    # 22 layers: 21 convolutions on the way and the classifier; the four projections are beside it.
    convolutions = [name for name, shape in found.items() if len(shape) == 4 and name.startswith("base")]
    assert len([name for name in convolutions if "downsample" not in name]) == 21
    assert len([name for name in convolutions if "downsample" in name]) == 4
    assert not any(name.startswith(("mean", "std")) for name in found)
    assert not any("3.1.downsample" in name for name in found)


def test_sees_an_eighth_of_the_size_through_dilated_levels():
    net = DRND22(classes=11).eval()
    with torch.no_grad():
        assert net.base(torch.zeros(1, 3, 64, 128)).shape == (1, 512, 8, 16)
        assert net(torch.zeros(1, 3, 64, 128)).shape == (1, 11, 64, 128)
    dilations = [level[0].conv1.dilation[0] for level in net.base[3:7]]
    dilations += [level[0].dilation[0] for level in net.base[7:]]
    assert dilations == [1, 1, 2, 4, 2, 1]                              # the paper's


def test_normalises_as_the_weights_were_trained():
    net = DRND22().eval()
    seen = []
    net.base.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (CITYSCAPES_MEAN, CITYSCAPES_STD))
    with torch.no_grad():
        net((mean + 2 * std).expand(1, 3, 8, 8))
    assert torch.allclose(seen[0], torch.full((1, 3, 8, 8), 2.0), atol=1e-6)


def test_upsampling_is_bilinear():
    scores = torch.rand(1, 1, 5, 6)
    found = F.conv_transpose2d(scores, upsampling_filter(16)[None, None], stride=8, padding=4)
    expected = F.interpolate(scores, scale_factor=8, mode="bilinear", align_corners=False)
    assert torch.allclose(found[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=1e-6)    # borders fade to 0


def test_published_files_of_every_wrapping_load_and_give_the_same():
    source = DRND22(classes=3).eval()
    fill_(source)
    weights = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    wrapped = {"epoch": 250, "arch": "drn_d_22", "state_dict": {"module." + k: v for k, v in weights.items()}}
    for found in (weights, wrapped, dict(source.state_dict())):
        assert published_weights(found).keys() == weights.keys()
        net = DRND22(classes=3).eval()
        missing = net.load_state_dict(published_weights(found), strict=False)
        assert all("num_batches" in name for name in missing.missing_keys) and not missing.unexpected_keys
        photo = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(net(photo), source(photo))
