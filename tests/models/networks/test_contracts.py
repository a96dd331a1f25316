"""What the networks tell about themselves is true, and each gets the sizes that its class takes."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from models.adversarial import build_discriminator, build_generator
from models.base_model import translate
from models.networks import DISCRIMINATORS, GENERATORS, PROJECTORS, Choice, GeneratorChoice
from models.networks.base import Discriminator, Generator, Network, NetworkError, SequentialGenerator
from models.networks.init import init_weights
from tests.adversarial import batch_of, build, parse
from tests.formula import picture
from util.errors import UsageError

# Every size that the builders give, at small values.
SIZES_G = dict(in_channels=3, out_channels=3, width=2, norm="instance", dropout=False, antialias=True,
               antialias_up=True, crop_size=32, num_downsampling=1)
SIZES_D = dict(in_channels=3, width=2, norm="instance", antialias=True, layers=2, crop_size=32, tile=16)
NETWORKS = ([(name, choice, SIZES_G) for name, choice in GENERATORS.items()]
            + [(name, choice, SIZES_D) for name, choice in DISCRIMINATORS.items()])


def least_side(net: Network) -> int:
    """The smallest side that the contract allows, in pixels."""
    return net.input_size or -(-net.smallest_side // net.size_multiple) * net.size_multiple


@pytest.mark.parametrize("name, choice, sizes", NETWORKS, ids=[name for name, *_ in NETWORKS])
class TestContracts:
    def test_the_smallest_image_passes(self, name, choice, sizes):
        net = choice(**sizes).eval()
        side = max(2, least_side(net))
        with torch.no_grad():
            output = net(picture(1, 3, side, side).float())
        assert torch.isfinite(output).all() and output.numel() > 0
        if isinstance(net, Generator):
            assert output.shape == (1, 3, side, side)

    def test_other_sides_do_not_pass_unchanged(self, name, choice, sizes):
        """Sides that are no multiple, or not `input_size`, end in an error or in another size."""
        net = choice(**sizes).eval()
        if net.size_multiple == 1 and net.input_size is None:
            return      # takes every side
        side = 2 * least_side(net) + (1 if net.input_size is None else 0)
        try:
            with torch.no_grad():
                output = net(picture(1, 3, side, side).float())
        except RuntimeError:
            return
        assert output.shape[-1] != side

    def test_own_init_is_what_init_weights_obeys(self, name, choice, sizes):
        torch.manual_seed(0)
        net = choice(**sizes)
        before = {key: value.clone() for key, value in net.state_dict().items()}
        init_weights(net, "normal", 3.0)
        same = all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
        assert same == net.own_init == ("stylegan2" in name)

    def test_base_class(self, name, choice, sizes):
        assert isinstance(choice(**sizes), Generator if sizes is SIZES_G else Discriminator)


@pytest.mark.parametrize("builder, table, sizes", [(build_generator, GENERATORS, SIZES_G),
                                                   (build_discriminator, DISCRIMINATORS, SIZES_D)])
def test_no_size_is_ignored_by_all_or_left_to_a_default(builder, table, sizes, monkeypatch):
    given: set[str] = set()
    monkeypatch.setattr(Choice, "__call__", lambda self, **sizes: given.update(sizes) or Network())
    builder(parse())
    assert given == set(sizes)
    taken: set[str] = set()
    for name, choice in table.items():
        parameters = set(inspect.signature(choice.network).parameters)
        assert parameters == choice.takes | choice.decided.keys(), name
        assert choice.takes <= given, name
        taken |= choice.takes
    assert taken == given


def test_heads_take_what_they_are_given():
    for choice in PROJECTORS.values():
        assert choice.takes <= {"channels", "width"}


def test_what_a_name_decides_is_not_overruled():
    assert len(DISCRIMINATORS["basic"](**SIZES_D | {"layers": 1}).state_dict()) == \
        len(DISCRIMINATORS["n_layers"](**SIZES_D | {"layers": 3}).state_dict())
    assert DISCRIMINATORS["patch"](**SIZES_D | {"tile": 8}).tile == 16


# ---- another generator

class Cross(SequentialGenerator):
    """Three convolutions; a class and a table line are all that a generator needs."""

    size_multiple = 2

    def __init__(self, *, in_channels: int, out_channels: int, width: int):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(in_channels, width, 3, 2, 1), nn.ReLU(),
                                   nn.ConvTranspose2d(width, out_channels, 4, 2, 1))

    def stages(self) -> list[nn.Module]:
        return list(self.model)


def test_a_generator_is_one_class_and_one_table_line(monkeypatch):
    monkeypatch.setitem(GENERATORS, "cross", GeneratorChoice(Cross, nce_layers="0,1"))
    model = build("--netG", "cross", "--model", "cut", "--grad_checkpoint")
    assert isinstance(model.networks["G"], Cross) and model.opt.nce_layers == "0,1"
    before = {key: value.clone() for key, value in model.networks["G"].state_dict().items()}
    losses = model.train_step(batch_of(1))
    assert all(torch.isfinite(loss) for loss in losses.values()) and losses["NCE"] > 0
    assert all(not torch.equal(value, before[key]) for key, value in model.networks["G"].state_dict().items())
    x = picture(1, 3, 15, 17).float()
    assert translate(model.translator(), x).shape == x.shape
    with pytest.raises(UsageError, match="--nce_layers names layer 3; this --netG has layers 0 to 2"):
        build("--netG", "cross", "--model", "cut", "--nce_layers", "0,3")


class Untapped(Generator):
    """A generator that is no sequence, and implements what is asked of it by itself."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def layer_count(self) -> int:
        return 1

    def forward_with_features(self, x: Tensor, layers) -> tuple[Tensor, list[Tensor]]:
        return self.conv(x), [x for _ in layers]

    def encode(self, x: Tensor, layers) -> list[Tensor]:
        return [x for _ in layers]


def test_a_generator_may_do_without_stages():
    net = Untapped()
    assert net(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 5, 7)
    assert net.resolve_layers([0]) == (0,) and net.feature_channels([0], 3) == [3]
    with pytest.raises(NetworkError, match=r"--grad_checkpoint does not work with this --netG \(Untapped\)"):
        net.use_checkpointing()


def test_a_generator_without_its_methods_cannot_be_built():
    class Empty(Generator):
        pass

    with pytest.raises(TypeError, match="encode"):
        Empty()


# ---- modules that are no Network

def test_a_plain_module_is_initialised_and_translates_as_it_is():
    model = build("--model", "cut", "--init_type", "normal", "--init_gain", "0.5")
    net = model.add_network("extra", nn.Conv2d(3, 5, 3, padding=1))
    assert torch.equal(net.bias, torch.zeros(5)) and net.weight.std() > 0.3
    x = picture(1, 3, 5, 7).float()
    assert torch.equal(translate(net, x), net(x))


# ---- crops

@pytest.mark.parametrize("flags, words", [
    ("--netG resnet_4blocks --crop_size 4", "--crop_size 4 is too small for --netG resnet_4blocks, .* 8"),
    ("--netG unet_128 --crop_size 64 --load_size 64",
     "--crop_size 64 does not suit --netG unet_128, .* multiple of 128"),
    ("--netD basic --crop_size 16", "--crop_size 16 is too small for --netD basic, which needs 24")])
def test_crops_that_a_network_cannot_take_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())


def test_translation_asks_for_no_crop():
    build_generator(parse("--crop_size", "4", train=False))


def test_a_choice_passes_on_what_is_taken_alone():
    choice = Choice(nn.Linear, bias=False)
    net = choice(in_features=2, out_features=3, bias=True, width=4)
    assert net.weight.shape == (3, 2) and net.bias is None
