"""Checkpoints: written whole or not at all, no code in them is run, and what does not fit is named."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from models.networks import DISCRIMINATORS, GENERATORS, PROJECTORS
from util.checkpoints.weights import load_file, load_weights, save_file, unwrapped, weights_path
from util.errors import UsageError


def generator(name: str = "resnet_4blocks", **changes) -> nn.Module:
    sizes = dict(in_channels=3, out_channels=3, width=2, norm="instance", dropout=False, antialias=True,
                 antialias_up=True, crop_size=16, num_downsampling=1)
    return GENERATORS[name](**sizes | changes)


def discriminator(name: str = "basic", **changes) -> nn.Module:
    sizes = dict(in_channels=3, width=2, norm="instance", antialias=True, layers=3)
    return DISCRIMINATORS[name](**sizes | changes)


def same(net: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[key]) for key, value in net.state_dict().items())


# ---- files

def test_what_is_written_comes_back(tmp_path):
    content = {"weights": {"a": torch.rand(3, 2), "n": torch.tensor(7)}, "epoch": 3, "list": [1, "x", None]}
    save_file(tmp_path / "new" / "folder" / "file.pth", content)
    found = load_file(tmp_path / "new" / "folder" / "file.pth")
    assert torch.equal(found["weights"]["a"], content["weights"]["a"]) and found["weights"]["n"] == 7
    assert found["epoch"] == 3 and found["list"] == [1, "x", None]


class Unwritable:
    def __reduce__(self):
        raise RuntimeError("cannot be pickled")


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "latest_net_G.pth"
    save_file(path, {"a": torch.ones(2)})
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        save_file(path, {"a": torch.zeros(1000), "b": Unwritable()})
    assert torch.equal(load_file(path)["a"], torch.ones(2))
    assert list(tmp_path.iterdir()) == [path]


def test_the_names_are_the_published_ones(tmp_path):
    assert weights_path(tmp_path, "latest", "G") == tmp_path / "latest_net_G.pth"
    assert weights_path(tmp_path, "iter_500", "D_A") == tmp_path / "iter_500_net_D_A.pth"


class Malicious:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [lambda content, path: torch.save(content, path),
                                   lambda content, path: path.write_bytes(pickle.dumps(content, 2))],
                         ids=["torch", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path, write):
    path, trace = tmp_path / "latest_net_G.pth", tmp_path / "trace"
    write({"model.1.weight": Malicious(trace)}, path)
    with pytest.raises(UsageError) as error:
        load_weights(generator(), path)
    assert not trace.exists()
    assert str(path) in str(error.value) and "\n" not in str(error.value)


DAMAGES = {"cut off": lambda b: b[:len(b) // 2], "empty": lambda b: b"", "text": lambda b: b"no checkpoint",
           "one bit": lambda b: b[:1500] + bytes([b[1500] ^ 1]) + b[1501:]}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "latest_net_G.pth"
    save_file(path, {"a": torch.rand(1000)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError) as error:
        load_file(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_list_is_no_checkpoint(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "x.pth")
    with pytest.raises(UsageError, match="x.pth holds a list"):
        load_file(tmp_path / "x.pth")


# ---- what exists

def test_a_missing_label_lists_those_that_exist(tmp_path):
    for name in ("latest_net_G", "latest_net_D", "5_net_G", "iter_200_net_G", "latest_state"):
        save_file(tmp_path / f"{name}.pth", {})
    with pytest.raises(UsageError, match="holds --epoch 5, iter_200, latest: choose one with --epoch"):
        load_file(tmp_path / "10_net_G.pth")


def test_a_missing_experiment_lists_those_that_exist(tmp_path):
    for name in ("cats", "horses"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="does not exist; .* holds cats, horses: check --name"):
        load_file(tmp_path / "dogs" / "latest_net_G.pth")
    with pytest.raises(UsageError, match="train first, or check --name and --checkpoints_dir"):
        load_file(tmp_path / "nowhere" / "dogs" / "latest_net_G.pth")
    with pytest.raises(UsageError, match=r"cats holds no \*_net_\*\.pth at all"):
        load_file(tmp_path / "cats" / "latest_net_G.pth")


# ---- weights

class Compiled(nn.Module):
    """Names its keys as torch.compile does."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self._orig_mod = net


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: nn.DataParallel(nn.DataParallel(net)),
                                  Compiled, lambda net: Compiled(nn.DataParallel(net))],
                         ids=["module.", "module.module.", "_orig_mod.", "_orig_mod.module."])
def test_names_that_wrappers_leave_are_taken_off(tmp_path, wrap):
    net, other = generator(), generator()
    save_file(tmp_path / "latest_net_G.pth", wrap(net).state_dict())
    assert not any(key in other.state_dict() for key in load_file(tmp_path / "latest_net_G.pth"))
    load_weights(other, tmp_path / "latest_net_G.pth")
    assert same(net, other)


def test_a_layer_that_is_called_module_keeps_its_name():
    assert unwrapped({"module.weight": 1, "bias": 2}) == {"module.weight": 1, "bias": 2}


@pytest.mark.parametrize("saved, built, words", [
    (generator("resnet_4blocks"), generator("resnet_6blocks"),
     ["it lacks model.16.conv_block.1.weight", "; look at --netG, --ngf"]),
    (generator("resnet_6blocks"), generator("resnet_4blocks"),
     ["it has besides model.16.conv_block.1.weight", "; look at --netG, --ngf"]),
    (generator(width=4), generator(width=2),
     ["model.1.weight is [4, 3, 7, 7], not [2, 3, 7, 7]", "--ngf"]),
    (generator(antialias=False), generator(),
     ["it lacks model.7.filt", "; look at --no_antialias, --no_antialias_up"]),
    (generator(norm="batch"), generator(), ["it lacks model.1.bias", "; look at --normG, --netG"]),
    (generator(in_channels=1), generator(),
     ["model.1.weight is [2, 1, 7, 7], not [2, 3, 7, 7]", "--input_nc"]),
], ids=["fewer blocks", "more blocks", "width", "antialias", "norm", "channels"])
def test_another_generator_is_named(tmp_path, saved, built, words):
    check_refused(tmp_path / "latest_net_G.pth", saved, built, words)


def test_another_discriminator_and_projection_are_named(tmp_path):
    check_refused(tmp_path / "latest_net_D.pth", discriminator(width=4), discriminator(),
                  ["model.0.weight is [4, 3, 4, 4]", "; look at --netD, --ndf"])
    heads = [PROJECTORS["mlp_sample"](channels=channels, width=4) for channels in ((3, 8), (3, 8, 8))]
    check_refused(tmp_path / "latest_net_F.pth", heads[0], heads[1],
                  ["it lacks mlp_2.0.weight", "--nce_layers, --netF, --netF_nc, --netG and --ngf"])


def check_refused(path: Path, saved: nn.Module, built: nn.Module, words: list[str]) -> None:
    save_file(path, saved.state_dict())
    before = {key: value.clone() for key, value in built.state_dict().items()}
    with pytest.raises(UsageError) as error:
        load_weights(built, path)
    message = str(error.value)
    assert message.startswith(f"{path} does not fit the network built here: ")
    assert [word for word in words if word not in message] == []
    assert "\n" not in message and len(message) < 600
    assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())


def test_a_state_file_is_no_weights_file(tmp_path):
    save_file(tmp_path / "latest_net_G.pth", {"format": 1, "model": {}})
    with pytest.raises(UsageError, match="holds no network's weights: 'format' is a int"):
        load_weights(generator(), tmp_path / "latest_net_G.pth")
