"""What --precision changes and what it must not: losses, norms and unit lengths stay float32."""

import pytest
import torch
from torch import nn

from data.transforms import WORDS
from models import create_model
from models.contrastive.patch_nce import patch_nce_loss
from models.losses.gan import OBJECTIVES, gradient_penalty, r1_penalty
from models.networks.norm import InstanceNorm
from models.networks.patch_sampler import unit_length
from models.precision import Precision, gives_one_size
from options.devices import resolve_channels_last, resolve_precision
from options.train_options import TrainOptions
from util.errors import UsageError

CPU = torch.device("cpu")
SMALL = "--dataroot x --gpu_ids -1 --netG resnet_4blocks --ngf 8 --ndf 8 --crop_size 32 --load_size 32"


def model(flags: str = ""):
    torch.manual_seed(0)
    return create_model(TrainOptions().parse([*SMALL.split(), *flags.split()]))


def batch(size: int = 32, count: int = 1) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return {side: torch.rand(count, 3, size, size, generator=random) * 2 - 1 for side in "AB"}


def bf16():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_auto_is_fp32_on_a_cpu_and_tf32_needs_a_gpu():
    assert resolve_precision("auto", CPU) == "fp32"
    with pytest.raises(UsageError, match="--precision tf32"):
        resolve_precision("tf32", CPU)


@pytest.mark.parametrize(("flags", "expected"), [
    ("", False), ("--precision bf16", True), ("--precision bf16 --channels_last false", False),
    ("--channels_last", True), ("--channels_last true", True), ("--precision fp16", False)])
def test_order_of_feature_maps(flags, expected):
    opt = TrainOptions().parse(["--dataroot", "x", "--gpu_ids", "-1", *flags.split()])
    assert opt.channels_last is expected
    assert not resolve_channels_last(None, "bf16", torch.device("cuda"))


@pytest.mark.cuda
def test_auto_on_a_gpu():
    device = torch.device("cuda")
    ampere = torch.cuda.get_device_capability(device) >= (8, 0)
    assert resolve_precision("auto", device) == ("bf16" if ampere else "fp32")


def test_nce_logits_are_float32():
    query, key = (unit_length(torch.randn(1, 64, 32)) for _ in "qk")
    plain = patch_nce_loss(query, key, 0.07)
    with bf16():
        assert torch.equal(patch_nce_loss(query, key, 0.07), plain)
        assert patch_nce_loss(query.bfloat16(), key.bfloat16(), 0.07).dtype == torch.float32


def test_unit_length_is_float32():
    x = torch.randn(4, 256).bfloat16()
    with bf16():
        y = unit_length(x)
    assert y.dtype == torch.float32
    assert torch.allclose(y.norm(dim=1), torch.ones(4), atol=1e-6)
    assert unit_length(x.double()).dtype == torch.float64


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_are_means_in_float32(name):
    scores = torch.randn(1000).bfloat16()
    for formula in OBJECTIVES[name][:3]:
        with bf16():
            loss = formula(scores)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, formula(scores.float()))


def test_norm_adds_up_in_float32():
    x = (100 + torch.randn(1, 2, 64, 64)).bfloat16()    # a bfloat16 mean would be off by up to a half
    with bf16():
        y = InstanceNorm(2)(x)
    assert y.dtype == torch.bfloat16
    exact = nn.functional.instance_norm(x.double())
    assert (y.double() - exact).abs().max() < 0.02


@pytest.mark.parametrize("penalty", [lambda net, x: r1_penalty(net, x),
                                     lambda net, x: gradient_penalty(net, x, torch.zeros_like(x))])
def test_penalties_are_float32(penalty):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))
    x = torch.randn(2, 3, 8, 8)
    torch.manual_seed(0)
    plain = penalty(net, x)
    torch.manual_seed(0)
    with bf16():
        assert torch.equal(penalty(net, x), plain)


@pytest.mark.parametrize("flags", ["", "--CUT_mode FastCUT", "--model cycle_gan", "--gan_mode wgangp"])
def test_bf16_losses_follow_fp32(flags):
    first = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        net = model(f"{flags} --precision {precision}")
        losses = [net.train_step(batch()) for _ in range(4)]
        assert all(value.dtype == torch.float32 for value in losses[0].values())
        assert all(p.dtype == torch.float32 for n in net.networks.values() for p in n.parameters())
        first[precision] = losses[0]
    for name, value in first["fp32"].items():
        assert float(first["bf16"][name]) == pytest.approx(float(value), rel=0.05, abs=0.02), name


def test_weights_that_changed_within_a_step_are_used():
    """D steps before G looks at it: a cast of D's old weights must not be kept."""
    net = model("--precision bf16")
    with net.precision.autocast():
        linear, x = nn.Linear(4, 4, bias=False), torch.ones(1, 4)
        before = linear(x)
        with torch.no_grad():
            linear.weight.mul_(2)
        assert torch.allclose(linear(x), 2 * before)


def test_fp16_scale_is_kept_and_falls_after_an_overflow():
    net = model("--precision fp16")
    assert net.state_dict()["scaler"]["scale"] == 65536
    net.precision.scaler = torch.amp.GradScaler("cpu", init_scale=1e30, enabled=True)
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    net.precision.backward((weight * 1e30).sum(), [weight])
    net.precision.step(optimizer)
    net.precision.end_step()
    assert float(weight.detach()) == 1 and net.state_dict()["scaler"]["scale"] == pytest.approx(5e29)
    other = model("--precision fp16")
    other.load_state_dict(net.state_dict())
    assert other.precision.scaler.get_scale() == pytest.approx(5e29)


def test_a_state_without_scaler_loads():
    net = model("--precision fp16")
    state = model().state_dict()
    del state["scaler"]
    net.load_state_dict(state)


def test_tf32_and_fp32_set_the_switches_of_the_process():
    Precision("fp32", CPU)    # a CPU's has none to set
    assert torch.backends.cuda.matmul.allow_tf32 is False


@pytest.fixture
def switches():
    """torch.backends' own, which are put back afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    yield matmul, cudnn
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_switches_of_cuda(switches, precision, tf32):
    matmul, cudnn = switches
    matmul.allow_tf32 = cudnn.allow_tf32 = not tf32
    for fixed in (True, False):
        Precision(precision, torch.device("cuda"), fixed_sizes=fixed)
        assert cudnn.benchmark is fixed
    assert matmul.allow_tf32 is cudnn.allow_tf32 is tf32


@pytest.mark.parametrize(("preprocess", "one"), [
    ("resize_and_crop", True), ("scale_width_and_crop", True), ("zoom_and_patch", True), ("resize", True),
    ("none", False), ("scale_width", False), ("scale_shortside", False), ("zoom", False)])
def test_whether_images_have_one_size(preprocess, one):
    assert set(preprocess.split("_and_")) <= set(WORDS)
    assert gives_one_size(preprocess) is one


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_trains_on_a_gpu(precision):
    net = create_model(TrainOptions().parse([*SMALL.replace("-1", "0").split(), "--precision", precision]))
    for _ in range(3):
        losses = net.train_step(batch())
    assert all(torch.isfinite(value) for value in losses.values())


def test_checkpointing_gives_the_same_gradients():
    gradients = []
    for flags in ("", "--grad_checkpoint"):
        net = model(flags)
        features = net.netG.forward_with_features(batch()["A"], (0, 4, 8, 12))
        (features[0].square().mean() + sum(f.square().mean() for f in features[1])).backward()
        gradients.append([p.grad.clone() for p in net.netG.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert torch.allclose(plain, again, rtol=1e-6, atol=1e-9)


def test_checkpointing_keeps_less():
    kept = []
    for flags in ("", "--grad_checkpoint"):
        sizes = []
        keep = lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor    # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(flags).netG(batch(64)["A"])
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 3


def test_checkpointing_a_unet_is_refused():
    with pytest.raises(UsageError, match="--grad_checkpoint"):
        model("--netG unet_128 --grad_checkpoint --crop_size 128 --load_size 128")


def test_channels_last_gives_the_same_losses():
    plain, other = (model(flags).train_step(batch()) for flags in ("", "--channels_last"))
    for name, value in plain.items():
        assert float(other[name]) == pytest.approx(float(value), rel=1e-4), name


@pytest.mark.parametrize("flags", ["--precision fp32", "--precision bf16", "--precision fp32 --channels_last",
                                   "--precision bf16 --channels_last false",
                                   *(pytest.param(f"--gpu_ids 0 --precision {name}", marks=pytest.mark.cuda)
                                     for name in ("fp32", "bf16"))])
def test_images_of_a_single_colour_do_not_explode(flags):
    """A crop from within an emoji once ended a training in bf16."""
    trained = model(f"--netG resnet_9blocks --num_patches 64 {flags}")
    colours = torch.tensor([0.1, 0.7, -0.3])[:, None, None].expand(1, 3, 32, 32)
    for _ in range(2):
        losses = trained.train_step({"A": colours, "B": batch()["B"]})
        assert all(torch.isfinite(loss) for loss in losses.values())
    for parameter in trained.networks["G"].parameters():
        assert trained.optimizers["G"].state[parameter]["exp_avg"].abs().max() < 1e4
