"""Random styles, a style image and many translations, on networks so simple that the answer is known."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from models.multimodal import MultimodalModel, random_styles
from models.networks.base import Network
from options.test_options import TestOptions
from tests.formula import picture
from util.errors import UsageError


class Brightness(Network):
    size_multiple = 4


class Plain(MultimodalModel):
    """Content: the image; style: its mean, repeated; decoding adds the style's mean."""

    def __init__(self, opt):
        super().__init__(opt)
        self.networks["G"] = Brightness()

    def translator(self) -> nn.Module:
        return self.networks["G"]

    def encode_content(self, x: Tensor) -> Tensor:
        assert x.shape[2] % 4 == x.shape[3] % 4 == 0
        return x

    def encode_style(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None].expand(-1, self.opt.style_dim)

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        return content + style.mean(1)[:, None, None, None]

    def optimize_parameters(self) -> None: ...
    def visuals(self) -> dict[str, Tensor]: ...


def build(monkeypatch, *flags: str) -> Plain:
    monkeypatch.setattr("options.base_options.find_model", lambda name: Flags)
    return Plain(TestOptions().parse([*flags, "--gpu_ids", "-1"]))


class Flags:
    @staticmethod
    def modify_commandline_options(parser, is_train):
        MultimodalModel.add_style_flags(parser, is_train)
        return parser


def batch_of(*names: str, size: tuple[int, int] = (8, 8)) -> dict:
    images = {name: picture(1, 3, *size, phase=len(name)).float() for name in names}
    return {"A": torch.cat(list(images.values())), "A_paths": [f"/some/folder/{name}.png" for name in names]}


def fakes(images: dict[str, Tensor]) -> list[str]:
    return [label for label in images if label.startswith("fake")]


def test_styles_are_normal_and_differ():
    styles = random_styles(0, [f"image{i}" for i in range(300)], 4, 8)
    assert styles.shape == (4, 300, 8)
    # 9,600 numbers: the mean's deviation is 0.01, the std's 0.007
    assert abs(styles.mean()) < 0.05 and abs(styles.std() - 1) < 0.04
    assert len(styles.reshape(-1, 8).unique(dim=0)) == 1200
    # no number follows from the one beside it, whether of the image, the style or the vector
    for one, other in ((styles[1:], styles[:-1]), (styles[:, 1:], styles[:, :-1]),
                       (styles[..., 1:], styles[..., :-1])):
        assert abs((one * other).mean()) < 0.05


@pytest.mark.parametrize("size", [8, 40])      # torch draws 16 numbers and more in another way
def test_more_styles_and_other_images_change_none(size):
    three = random_styles(5, ["a", "b", "c"], 3, size)
    assert torch.equal(random_styles(5, ["b"], 1, size)[0, 0], three[0, 1])
    assert torch.equal(random_styles(5, ["c", "a"], 2, size), three[:2, [2, 0]])
    assert not torch.equal(random_styles(6, ["b"], 1, size)[0, 0], three[0, 1])


def test_an_image_is_translated_alike_in_every_order_and_batch(monkeypatch):
    model = build(monkeypatch, "--num_styles", "3")
    together = model.test_step(batch_of("a", "bb", "ccc"))
    assert fakes(together) == ["fake_B", "fake_B_2", "fake_B_3"]
    torch.manual_seed(77)
    backwards = model.test_step(batch_of("ccc", "bb", "a"))
    alone = build(monkeypatch).test_step(batch_of("bb"))
    assert fakes(alone) == ["fake_B"] and torch.equal(alone["fake_B"][0], together["fake_B"][1])
    for label in fakes(together):
        assert torch.equal(together[label], backwards[label].flip(0))
    moved = {**batch_of("bb"), "A_paths": ["elsewhere/bb.jpg"]}
    assert torch.equal(model.test_step(moved)["fake_B_2"][0], together["fake_B_2"][1])


def test_same_styles_are_those_of_every_image(monkeypatch):
    shown = build(monkeypatch, "--same_styles", "--num_styles", "2").test_step(batch_of("a", "bb"))
    for label in fakes(shown):
        added = (shown[label] - shown["real_A"]).mean((1, 2, 3))
        assert added[0] == pytest.approx(added[1].item(), abs=1e-6)
    assert not torch.allclose(shown["fake_B"], shown["fake_B_2"])
    own = build(monkeypatch).test_step(batch_of("a", "bb"))
    added = (own["fake_B"] - own["real_A"]).mean((1, 2, 3))
    assert abs(added[0] - added[1]) > 1e-3


def test_seed_decides(monkeypatch):
    one, other = (build(monkeypatch, "--seed", seed).test_step(batch_of("a"))["fake_B"] for seed in "01")
    assert not torch.allclose(one, other)


def test_style_image(monkeypatch, tmp_path):
    """A grey of level 191 is 191 / 127.5 - 1 in [-1, 1]; that mean is what decoding adds."""
    Image.fromarray(np.full((50, 40, 3), 191, np.uint8)).save(tmp_path / "grey.png")
    shown = build(monkeypatch, "--style_image", str(tmp_path / "grey.png")).test_step(batch_of("a", "bb"))
    assert fakes(shown) == ["fake_B"]
    added = shown["fake_B"] - shown["real_A"]
    assert torch.allclose(added, torch.full_like(added, 191 / 127.5 - 1), atol=1e-5)


def test_style_image_goes_through_preprocess(monkeypatch, tmp_path):
    Image.fromarray(np.zeros((50, 40, 3), np.uint8)).save(tmp_path / "black.png")
    model = build(monkeypatch, "--style_image", str(tmp_path / "black.png"), "--crop_size", "32",
                  "--load_size", "36")
    assert model.style_image.shape == (1, 3, 32, 32) and model.style_image.unique().tolist() == [-1]


def test_other_sides_are_padded_and_cut_back(monkeypatch):
    shown = build(monkeypatch).test_step(batch_of("a", size=(9, 6)))
    assert shown["fake_B"].shape == (1, 3, 9, 6)


@pytest.mark.parametrize("flags, words", [
    ("--style_image {missing}", "--style_image cannot be read: .*nothing.png"),
    ("--style_image {missing} --num_styles 2", "gives one style: leave out --num_styles 2"),
    ("--num_styles 0", "--num_styles is 0"), ("--style_dim 0", "--style_dim is 0")])
def test_wrong_flags_are_refused(monkeypatch, tmp_path, flags, words):
    with pytest.raises(UsageError, match=words):
        build(monkeypatch, *flags.format(missing=tmp_path / "nothing.png").split())
