"""Published checkpoints, made here in their layout, become files with which test.py translates."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor

from models.base_model import BaseModel
from models.networks.multimodal.discriminator import MultiScaleDiscriminator
from models.networks.multimodal.munit import MUNITGenerator
from scripts.convert_weights import main
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
     "does not fit a network G_A of this program: it lacks dec.model.5.conv.bias$"),
    (lambda nets: {"a": nets["a"].state_dict(), "b": MUNITGenerator(channels=3, width=3).state_dict()},
     "a and b have other sizes")])
def test_other_files_are_refused(files, content, words):
    folder, nets = files
    torch.save(content(nets), folder / "gen_00000007.pt")
    with pytest.raises(UsageError, match=words):
        convert(folder)
    assert not (folder / "run").exists()


# ---- DRIT

def drit(*flags: str, train: bool = True) -> BaseModel:
    return adversarial.build("--model", "drit", "--style_dim", "5", "--crop_size", "64", "--load_size", "64",
                             "--batch_size", "2", *flags, train=train)


THEIRS = {"G_enc_c": "enc_c", "G_enc_a": "enc_a", "G_gen": "gen", "D_A": "disA", "D_A2": "disA2",
          "D_B": "disB", "D_B2": "disB2", "D_content": "disContent"}


def drit_file(folder, *flags: str) -> tuple[BaseModel, dict]:
    """A model, and what the published code would save of it."""
    model = drit(*flags)
    content = {THEIRS[name]: net.state_dict() for name, net in model.networks.items()}
    content |= {f"{THEIRS[name]}_opt": optimizer.state_dict() for name, optimizer in model.optimizers.items()}
    content |= {"ep": 1199, "total_it": 500_000}
    torch.save(content, folder / "gen_00000007.pt")
    return model, content


@pytest.mark.parametrize("flags", ["", "--no_concat --dis_scale 1 --content_D_layers 0"])
def test_drit(flags, tmp_path, capsys):
    made, _ = drit_file(tmp_path, *flags.split())
    convert(tmp_path)
    said = capsys.readouterr().out.strip()
    sizes = ("--no_concat --ngf 2 --style_dim 5 --ndf 2 --dis_scale 1 --content_D_layers 0" if flags else
             "--ngf 2 --style_dim 5 --ndf 2 --dis_scale 3 --content_D_layers 1")
    assert said.endswith(f"use: --model drit {sizes}")
    again = drit(*said.split("use: ")[1].split())
    with torch.no_grad():
        for p in (p for net in again.networks.values() for p in net.parameters()):
            p.zero_()
    again.load_weights(tmp_path / "run", "latest")
    for name, net in made.networks.items():
        for key, value in net.state_dict().items():
            assert torch.equal(value, again.networks[name].state_dict()[key]), f"{name} {key}"


def test_drit_without_discriminators_translates(tmp_path, capsys):
    made, content = drit_file(tmp_path)
    torch.save({key: content[key] for key in ("enc_c", "enc_a", "gen")}, tmp_path / "gen_00000007.pt")
    convert(tmp_path)
    assert "use: --model drit --ngf 2 --style_dim 5\n" in capsys.readouterr().out
    x = picture(1, 3, 64, 64).float()
    model = drit("--direction", "BtoA", train=False)
    model.load_weights(tmp_path / "run", "latest")
    style = model.styles({"B": x})[0]
    with torch.no_grad():
        expected = made.networks["G_gen"](made.networks["G_enc_c"](x, "B", False), style, "A")
    assert torch.equal(model.test_step({"B": x})["fake_B"], expected)


def test_drit_with_spectral_norm_keeps_what_translates(tmp_path, capsys):
    _, content = drit_file(tmp_path)
    content["disA"] = {key.replace("weight", "weight_orig"): value for key, value in content["disA"].items()}
    torch.save(content, tmp_path / "gen_00000007.pt")
    convert(tmp_path)
    assert capsys.readouterr().out.startswith("wrote G_enc_c, G_enc_a, G_gen to ")


def test_other_files_than_those_of_drit_are_refused(tmp_path):
    _, content = drit_file(tmp_path)
    bias = "dec_share.0.model.1.bias"
    less = {key: value for key, value in content["gen"].items() if key != bias}
    for changed, words in (({"gen": less}, f"does not fit a network G_gen of this program: it lacks {bias}$"),
                           ({"enc_a": {}}, "has no fc_A.0.weight"), ({"gen": 3}, "its gen holds no")):
        torch.save(content | changed, tmp_path / "gen_00000007.pt")
        with pytest.raises(UsageError, match=words):
            convert(tmp_path)
    with pytest.raises(UsageError, match="is a file of DRIT: leave it out"):
        drit_file(tmp_path)
        convert(tmp_path, "--dis", str(tmp_path / "gen_00000007.pt"))
    assert not (tmp_path / "run").exists()
