"""Every generator builds, keeps sizes, learns, can be tapped; those of the reference match it in numbers."""

import hashlib
import json
import math
from argparse import Namespace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.adversarial import build_generator
from models.base_model import translate
from models.networks import GENERATORS
from models.networks.norm import NORMS
from options.train_options import TrainOptions
from tests.formula import fill_, picture, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "generators.json").read_text())
CASES = [name for name in GOLDEN if name != "provenance"]

# What changes the modules of each family; the rest of the constructors' arguments leave them as they are.
SWITCHES = [dict(norm=norm, dropout=dropout, antialias=down, antialias_up=up)
            for norm, dropout, down, up in product(NORMS, (False, True), (False, True), (False, True))]
VARIANTS = [(name, switches) for name in GENERATORS for switches in SWITCHES
            if name.startswith("resnet") or switches["antialias"] and switches["antialias_up"]
            and (name.startswith("unet") or switches == dict(norm="instance", dropout=False, antialias=True,
                                                             antialias_up=True))]


def make(name: str, **changes):
    """A narrow generator with weights by formula."""
    sizes = dict(in_channels=3, out_channels=3, width=2, norm="instance", dropout=False, antialias=True,
                 antialias_up=True, crop_size=16, num_downsampling=1)
    net = GENERATORS[name](**sizes | changes)
    fill_(net, equalized="stylegan2" in name)
    return net


def small_side(net) -> int:
    """The smallest image, 16 pixels or more a side, that the generator takes."""
    return max(16, net.size_multiple)


def options(flags: str) -> Namespace:
    return TrainOptions().parse([*flags.split(), "--gpu_ids", "-1"])


def is_summary(tensor: Tensor, expected: dict) -> None:
    found = summary(tensor, len(expected["values"]))
    assert found["shape"] == expected["shape"]
    for field in ("mean", "std", "values"):
        assert found[field] == pytest.approx(expected[field], rel=1e-6, abs=1e-8), field


@pytest.mark.parametrize("case", CASES)
def test_matches_the_reference(case):
    golden = GOLDEN[case]
    opt = options(f"{golden['flags']} --ngf 8")
    net = build_generator(opt).double().train(golden["mode"] == "train")
    fill_(net)

    shapes = {key: list(value.shape) for key, value in sorted(net.state_dict().items())}
    assert sum(p.numel() for p in net.parameters()) == golden["state_dict"]["parameters"]
    text = json.dumps(shapes, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == golden["state_dict"]["sha256"]

    layers = [int(number) for number in golden.get("features", ())]
    x = picture(golden["batch"], opt.input_nc, golden["size"], golden["size"])
    with torch.no_grad():
        output, features = net.forward_with_features(x, layers)
    is_summary(output, golden["output"])
    for feature, expected in zip(features, golden.get("features", {}).values(), strict=True):
        is_summary(feature, expected)


@pytest.mark.parametrize("name, switches", VARIANTS,
                         ids=[f"{name}-{'-'.join(map(str, s.values()))}" for name, s in VARIANTS])
def test_builds_keeps_the_size_and_learns(name, switches):
    net = make(name, **switches)
    side = small_side(net)
    x = picture(2, 3, side, 2 * side).float()
    output, features = net.forward_with_features(x, (0,))
    assert output.shape == x.shape and len(features) == 1
    (output * picture(2, 3, side, 2 * side, 3.0)).sum().backward()
    for key, parameter in net.named_parameters():
        if name == "smallstylegan2" and key.endswith("noise.weight"):
            continue        # it adds no noise, but keeps the published layout
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0 or key.endswith("bias"), key     # a norm may cancel a bias


@pytest.mark.parametrize("name", ["resnet_4blocks", "unet_128"])
def test_dropout_is_chance_in_training_alone(name):
    for dropout in (True, False):
        net = make(name, dropout=dropout)
        x = picture(1, 3, small_side(net), small_side(net)).float()
        assert torch.equal(net(x), net(x)) != dropout
        net.eval()
        assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("name", GENERATORS)
def test_every_layer_can_be_tapped(name):
    net = make(name, in_channels=1, norm="batch")
    x = picture(2, 1, small_side(net), small_side(net)).float()
    layers = net.resolve_layers(range(net.layer_count()))
    with torch.no_grad():
        output, features = net.forward_with_features(x, layers)
        encoded = net.encode(x, layers)
        assert torch.equal(output, net(x))
        some = net.encode(x, layers[1:3])
    assert len(features) == len(encoded) == len(layers) >= 5
    for a, b in zip(features, encoded, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(features[1:3], some, strict=True):
        assert torch.equal(a, b)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert net.feature_channels(layers, 1) == [f.shape[1] for f in features]
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", GENERATORS)
def test_encoding_stops_at_the_last_layer(name):
    net = make(name)
    ran = []
    for module in net.modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(lambda *_: ran.append(1))
    x = picture(1, 3, small_side(net), small_side(net)).float()
    net.encode(x, (0,))     # the image, perhaps padded: no weights are needed
    assert len(ran) == 0
    net.encode(x, net.resolve_layers([int(n) for n in GENERATORS[name].nce_layers.split(",")]))
    used = len(ran)
    net(x)
    assert 0 < used < len(ran) - used


@pytest.mark.parametrize("name", GENERATORS)
def test_tapping_changes_no_activation(name):
    """An in-place ReLU behind a tapped layer would."""
    net = make(name)
    x = picture(1, 3, small_side(net), small_side(net)).float()
    for number in range(net.layer_count()):
        _, (feature,) = net.forward_with_features(x, (number,))
        assert torch.equal(feature, net.encode(x, (number,))[0]), number


@pytest.mark.parametrize("name", GENERATORS)
def test_layer_numbers_are_sorted_and_checked(name):
    net = make(name)
    last = net.layer_count() - 1
    assert net.resolve_layers([last, 0, 2]) == (0, 2, last)
    with pytest.raises(ValueError, match=f"--nce_layers names layer {last + 1}; .* 0 to {last}"):
        net.resolve_layers([0, last + 1])
    with pytest.raises(ValueError, match="--nce_layers names layer -1"):
        net.resolve_layers([-1])
    with pytest.raises(ValueError, match="--nce_layers 2,2,4 names a layer twice"):
        net.resolve_layers([2, 4, 2])


@pytest.mark.parametrize("width, height", [(51, 37), (32, 41), (5, 7)])
@pytest.mark.parametrize("name", GENERATORS)
def test_any_image_can_be_translated(name, width, height):
    net = make(name)
    x = picture(1, 3, height, width).float()
    with torch.no_grad():
        output = translate(net, x)
        multiple = net.size_multiple
        down, right = math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple
        mode = "reflect" if down - height < height and right - width < width else "edge"
        padded = np.pad(x.numpy(), ((0, 0), (0, 0), (0, down - height), (0, right - width)), mode=mode)
        expected = net(torch.from_numpy(padded))[:, :, :height, :width]
    assert output.shape == x.shape
    torch.testing.assert_close(output, expected)


def test_norms_and_biases_of_the_published_layouts():
    """Instance norm keeps the bias before it, batch norm and none do without (see layouts.json too)."""
    for norm in NORMS:
        net = make("resnet_4blocks", norm=norm)
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
        assert all((conv.bias is not None) == (norm == "instance") for conv in convs[:-1])
        assert convs[-1].bias is not None
