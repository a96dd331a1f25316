"""Tiles of large images: how they cover them and blend, when they are used, and what is refused."""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image

from models import create_model
from models.networks import GENERATORS
from models.networks.base import NetworkError, translate
from models.networks.norm import InstanceNorm
from models.tiling import STATISTICS, Tiling
from models.tiling.blending import in_tiles, spans, weights
from models.tiling.quick import small_copy, statistics_of
from models.translator import Translator
from tests import adversarial
from tests.models.test_tiling_exact import image, make
from tests.models.test_translator import by_test_py, make_run
from util.errors import UsageError
from util.runtime import memory

SIDES = [(8, 8, 0, 4), (100, 32, 8, 4), (100, 32, 16, 4), (68, 32, 1, 4), (64, 30, 15, 4), (1008, 64, 31, 16),
         (33, 20, 7, 1)]


@pytest.mark.parametrize("length, tile, overlap, multiple", SIDES)
def test_tiles_cover_a_side(length, tile, overlap, multiple):
    tiles = spans(length, tile, overlap, multiple)
    assert tiles[0].top == 0 and tiles[-1].bottom == length
    assert all(place % multiple == 0 for rows in tiles for place in rows)
    assert all(one.bottom - other.top >= overlap for one, other in zip(tiles, tiles[1:], strict=False))
    assert len({bottom - top for top, bottom in tiles}) == 1
    total = np.zeros(length)
    for (top, bottom), weight in zip(tiles, weights(tiles, overlap), strict=True):
        assert weight.min() >= 0
        total[top:bottom] += weight.numpy()
    assert np.allclose(total, 1, atol=1e-6)


def test_weights_by_hand():
    """Two tiles of 16 that share 8: 2 pixels of no weight, 4 on the way, 2 of full weight."""
    first, second = weights(spans(24, 16, 8, 4), 8)
    assert np.allclose(first[8:], [1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0])
    assert np.allclose(second[:8], 1 - first[8:]) and np.allclose(first[:8], 1)


def test_blended_tiles_of_an_image_are_the_image():
    x = image(52, 40, batch=2)
    made = in_tiles(lambda tile: tile[:, :1], x, tile=16, overlap=6, multiple=4)
    assert torch.allclose(made, x[:, :1], atol=1e-6)


# ---- statistics of a small copy

@torch.no_grad()
def test_statistics_of_the_image_itself_change_nothing():
    net, x = make("unet_128"), image(128, 128)
    expected, norms = net(x), [layer for layer in net.modules() if isinstance(layer, InstanceNorm)]
    with statistics_of(net, x):
        assert not any(layer in list(net.children()) for layer in norms)
        assert torch.allclose(net(x), expected, atol=1e-5)
        assert not torch.allclose(net(0.1 * x), net(3 * x), atol=0.1)      # an instance norm would undo it
    assert [layer for layer in net.modules() if isinstance(layer, InstanceNorm)] == norms
    assert torch.equal(net(x), expected)


@torch.no_grad()
def test_norms_are_put_back_after_an_error():
    net = make("resnet_4blocks")
    before = [type(layer) for layer in net.modules()]
    with contextlib.suppress(KeyError), statistics_of(net, image(16, 16)):
        raise KeyError
    assert [type(layer) for layer in net.modules()] == before


def test_a_small_copy_keeps_the_mean_and_the_shape():
    x = image(90, 60)
    copy = small_copy(x, 600)
    assert copy.shape == (1, 3, 30, 20) and abs(copy.mean() - x.mean()) < 0.01
    assert small_copy(x, 5400) is x


@torch.no_grad()
def test_quick_is_exact_where_the_copy_is_the_image_and_the_overlap_wide():
    """resnet_4blocks looks 51 pixels far: a quarter of the overlap has as many."""
    net, x = make("resnet_4blocks"), image(600, 420)
    made = Tiling(tile=432, overlap=208, statistics="quick", number_bytes=4)(net, x)
    assert (made - net(x)).abs().max() < 1e-4


@torch.no_grad()
def test_own_statistics_are_what_makes_seams():
    """An image whose halves differ in contrast: with statistics of their own, tiles differ from the whole."""
    net, x = make("resnet_4blocks"), image(64, 256)
    x[..., :128] *= 0.1
    made = {name: Tiling(104, 32, name, number_bytes=4)(net, x) for name in STATISTICS}
    error = {name: (one - net(x)).abs().mean() for name, one in made.items()}
    assert error["exact"] < 1e-5 < error["quick"] < error["tile"] / 3


# ---- when

@torch.no_grad()
def test_automatic_only_where_the_image_does_not_fit(monkeypatch, capsys):
    """80 x 600 pixels, width 2: a hand count of 16 numbers a pixel, 4 bytes each, is 3 MB."""
    net, x = make("resnet_4blocks"), image(80, 600)
    tiling = Tiling(tile=None, overlap=8, statistics="exact", number_bytes=4)
    expected, needed = net(x), 80 * 600 * 16 * 4
    for free in (None, int(needed * 1.2)):
        monkeypatch.setattr("models.tiling.tiling.free_bytes", lambda device, free=free: free)
        assert torch.equal(tiling(net, x), expected) and capsys.readouterr().out == ""
    monkeypatch.setattr("models.tiling.tiling.free_bytes", lambda device: needed // 2)
    made = tiling(net, x)
    line, = capsys.readouterr().out.splitlines()
    assert "600x80 pixels" in line and "--tile 384 --tile_statistics exact" in line
    assert not torch.equal(made, expected) and torch.allclose(made, expected, atol=1e-3)
    never = Tiling(tile=0, overlap=8, statistics="exact", number_bytes=4)
    assert torch.equal(never(net, x), expected) and capsys.readouterr().out == ""


def test_free_memory_is_that_of_linux_or_of_the_control_group(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemFree: 2 kB\nMemAvailable:  40 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes(torch.device("cpu")) == 40 * 1024
    (tmp_path / "memory.stat").write_text("anon 1000\nfile 70000\n")
    for limit, free in (("max", 40 * 1024), ("9000", 8000), ("9999999", 40 * 1024)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert memory.free_bytes(torch.device("cpu")) == free
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    assert memory.free_bytes(torch.device("cpu")) is None


# ---- what is refused

@pytest.mark.parametrize("flags, says", [
    ("--tile 102", "--tile is 102, .* 103 x 103 pixels; give --tile 103 or more"),
    ("--tile 120 --tile_overlap 61 --tile_statistics quick", "--tile_overlap is 61, .* give 60 or less"),
    ("--tile 120 --model munit", "--tile 120 does not work with --model munit"),
])
def test_one_line_before_the_work(flags, says):
    with pytest.raises(UsageError, match=says):
        adversarial.build(*flags.split(), train=False)


def test_an_unknown_generator_is_refused_by_exact_alone():
    class Other(type(make("resnet_4blocks"))):
        """A subclass may have other layers."""

    net = Other(in_channels=3, out_channels=3, width=2, blocks=1)
    with pytest.raises(NetworkError, match="this generator .Other.; use --tile_statistics quick"):
        Tiling(tile=200, overlap=8, statistics="exact", number_bytes=4).check(net)
    Tiling(tile=200, overlap=8, statistics="quick", number_bytes=4).check(net)


@pytest.mark.parametrize("statistics", ["exact", "quick"])
def test_what_is_no_generator_of_ours_is_refused_by_all(statistics):
    """Such as the network of an exported file."""
    with pytest.raises(NetworkError, match=f"{statistics} does not know .* .Conv2d.; leave --tile out"):
        Tiling(tile=200, overlap=8, statistics=statistics, number_bytes=4).check(torch.nn.Conv2d(3, 3, 1))


@pytest.mark.parametrize("name", GENERATORS)
def test_the_field_itself_is_enough(name):
    Tiling(tile=1278, overlap=64, statistics="exact", number_bytes=4).check(make(name))


# ---- the programs

def test_test_py_and_translator_take_the_flags(tmp_path):
    """An image of 150 x 140 in parts, as at once: not a level differs by more than 1."""
    run, photo = make_run(tmp_path / "checkpoints" / "h2z"), tmp_path / "photos" / "photo.png"
    photo.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (140, 150, 3), dtype=np.uint8)).save(photo)
    at_once = by_test_py(run, photo.parent, tmp_path / "whole").astype(int)
    made = by_test_py(run, photo.parent, tmp_path / "tiles", "--tile", "110").astype(int)
    assert np.abs(made - at_once).max() <= 1 and at_once.std() > 5
    assert np.array_equal(Translator.load(run, device="cpu", tile=110)(np.asarray(Image.open(photo))), made)
    quick = Translator.load(run, device="cpu", tile=110, tile_overlap=20, tile_statistics="quick")
    assert 0 < np.abs(quick(np.asarray(Image.open(photo))).astype(int) - at_once).mean() < 40


def test_sincut_and_cycle_gan_in_tiles():
    """SinCUT cuts tiles by itself; CycleGAN's way back goes through tiles as well."""
    batch = {"A": image(140, 120), "A_paths": [""]}
    sincut = "--model sincut --ngf 2 --crop_size 16 --no_noise".split()
    for flags in (sincut, ["--model", "cycle_gan"]):
        whole = create_model(adversarial.parse(*flags, train=False))
        tiled = create_model(adversarial.parse(*flags, "--tile", "110", train=False))
        for name, net in whole.networks.items():
            tiled.networks[name].load_state_dict(net.state_dict())
        found, expected = tiled.test_step(batch), whole.test_step(batch)
        assert found.keys() == expected.keys()
        for label, one in expected.items():
            assert torch.allclose(found[label], one, atol=1e-4), label


@torch.no_grad()
def test_plain_translation_is_left_alone():
    """Without --tile, an image that fits: bit for bit."""
    net, x = GENERATORS["resnet_4blocks"](in_channels=3, out_channels=3, width=2), image(23, 18)
    tiling = Tiling(tile=None, overlap=64, statistics="exact", number_bytes=4)
    assert torch.equal(tiling(net, x), translate(net, x))
