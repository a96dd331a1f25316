"""Published MUNIT checkpoints, made here in their layout, become files with which test.py translates."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor

from models.base_model import BaseModel
from models.networks.multimodal.discriminator import MultiScaleDiscriminator
from models.networks.multimodal.munit import MUNITGenerator
from scripts.convert_munit import main
from tests import adversarial
from tests.formula import fill_, picture
from util.errors import UsageError


def generator(phase: float) -> MUNITGenerator:
    net = MUNITGenerator(channels=3, width=2, style_dim=5)
    fill_(net)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1 + phase)
    return net


def build(*flags: str, train: bool = True) -> BaseModel:
    return adversarial.build("--model", "munit", "--style_dim", "5", *flags, train=train)


def published(net: torch.nn.Module) -> OrderedDict[str, Tensor]:
    """Its weights with what AdaIN, and the encoder's norms in old files, store beside them."""
    weights = OrderedDict(net.state_dict())
    for part in ("dec.model.0", "enc_content.model.3"):
        for i, j in ((i, j) for i in range(4) for j in range(2)):
            for name in ("running_mean", "running_var"):
                weights[f"{part}.model.{i}.model.{j}.norm.{name}"] = torch.ones(8)
    weights["enc_content.model.0.norm.running_mean"] = torch.ones(2)
    return weights


@pytest.fixture
def files(tmp_path):
    nets = {"a": generator(0.0), "b": generator(0.1)}
    torch.save({key: published(net) for key, net in nets.items()}, tmp_path / "gen_00000007.pt")
    D = MultiScaleDiscriminator(in_channels=3, width=2)
    torch.save({key: D.state_dict() for key in "ab"}, tmp_path / "dis_00000007.pt")
    return tmp_path, nets


def convert(folder, *flags: str) -> None:
    main([str(folder / "gen_00000007.pt"), "--name", "run", "--checkpoints_dir", str(folder), *flags])


def test_generators_translate_as_those_in_the_file(files, capsys):
    folder, nets = files
    convert(folder)
    said = capsys.readouterr().out
    assert f"wrote G_A, G_B to {folder}/run" in said
    assert said.strip().endswith("use: --model munit --ngf 2 --style_dim 5")
    assert len(list((folder / "run").iterdir())) == 2
    x = picture(1, 3, 64, 64).float()
    for direction, source, target in (("AtoB", "a", "b"), ("BtoA", "b", "a")):
        model = build("--direction", direction, train=False)
        model.load_weights(folder / "run", "latest")
        batch = {direction[0]: x}
        with torch.no_grad():
            expected = nets[target].decode(nets[source].encode_content(x), model.styles(batch)[0])
        assert torch.equal(model.test_step(batch)["fake_B"], expected)


def test_discriminators_and_going_on(files):
    folder, _ = files
    convert(folder, "--dis", str(folder / "dis_00000007.pt"), "--epoch", "7")
    names = {f"7_net_{kind}_{domain}.pth" for kind in "GD" for domain in "AB"}
    assert {path.name for path in (folder / "run").iterdir()} == names
    model = build("--crop_size", "64", "--load_size", "64")
    model.load_weights(folder / "run", "7")


def test_nothing_is_overwritten(files):
    folder, _ = files
    convert(folder)
    with pytest.raises(UsageError, match="latest_net_G_A.pth is there already; choose another --name"):
        convert(folder)


def without(net: torch.nn.Module, key: str) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if name != key}


@pytest.mark.parametrize("content, words", [
    (lambda nets: {"a": nets["a"].state_dict()}, "holds the weights of two domains, a and b"),
    (lambda nets: {"a": 3, "b": 4}, "holds the weights of two domains, a and b"),
    (lambda nets: {key: {"x": torch.ones(1)} for key in "ab"}, "has no enc_content.model.0.conv.weight"),
    (lambda nets: {key: without(net, "dec.model.5.conv.bias") for key, net in nets.items()},
     "does not fit a network G_A of MUNIT: it lacks dec.model.5.conv.bias$"),
    (lambda nets: {"a": nets["a"].state_dict(), "b": MUNITGenerator(channels=3, width=3).state_dict()},
     "a and b have other sizes")])
def test_other_files_are_refused(files, content, words):
    folder, nets = files
    torch.save(content(nets), folder / "gen_00000007.pt")
    with pytest.raises(UsageError, match=words):
        convert(folder)
    assert not (folder / "run").exists()
