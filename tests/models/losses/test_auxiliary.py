"""Auxiliary losses against their formulas in NumPy, in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.losses.auxiliary import FEATURES, LOSSES, with_channels
from tests.formula import picture


def images(channels: int = 3) -> dict[str, Tensor]:
    """real_A, fake_B and real_B, [2, C, 20, 24], with a mask in which a rectangle is inside."""
    mask = torch.zeros(2, 1, 20, 24)
    mask[:, :, 4:9, 5:17] = 255
    mask[1, :, :4] = 1
    return {"real_A": picture(2, channels, 20, 24, 0.3), "fake_B": picture(2, 3, 20, 24, 1.1).flip(3),
            "real_B": picture(2, 3, 20, 24, 2.5).flip(2), "mask": mask}


def evaluate(name: str, given: dict[str, Tensor]) -> Tensor:
    batch = {"mask": given["mask"], FEATURES: lambda x: x.square().mean((2, 3))}
    return LOSSES[name].loss(given["real_A"], given["fake_B"], given["real_B"], batch)


# ---- the formulas: real_A, fake_B, real_B, mask are float64 arrays


def absolute(a, fake, b, mask):
    return np.abs(fake - b).mean()


def next_level(x):
    """Burt and Adelson's REDUCE: weights 1 4 6 4 1 on a mirrored border, every second pixel."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    result = np.zeros((*x.shape[:2], -(-x.shape[2] // 2), -(-x.shape[3] // 2)))
    for i in range(result.shape[2]):
        for j in range(result.shape[3]):
            window = padded[:, :, 2 * i:2 * i + 5, 2 * j:2 * j + 5]
            result[:, :, i, j] = (window * np.outer(taps, taps)).sum((2, 3))
    return result


def pyramid(a, fake, b, mask):
    levels = []
    for _ in range(4):
        levels.append(np.abs(fake - b).mean())
        fake, b = next_level(fake), next_level(b)
    return np.mean(levels)


def structure(a, fake, b, mask):
    return 1 - np.mean([wang(x, y) for x, y in zip(a, fake, strict=True)])


def wang(x, y):
    """Mean SSIM of [C, H, W] in [-1, 1], window by window (Wang et al. 2004, eq. 13; K 0.01 and 0.03)."""
    places = np.arange(11) - 5
    window = np.exp(-(places[:, None] ** 2 + places ** 2) / (2 * 1.5 ** 2))
    window /= window.sum()
    c1, c2, values = 0.02 ** 2, 0.06 ** 2, []
    for u, v in zip(x, y, strict=True):
        for i in range(u.shape[0] - 10):
            for j in range(u.shape[1] - 10):
                p, q = u[i:i + 11, j:j + 11], v[i:i + 11, j:j + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / (mp ** 2 + mq ** 2 + c1) / (vp + vq + c2))
    return np.mean(values)


def luminance(x):
    return np.einsum("bchw,c->bhw", x, [0.299, 0.587, 0.114]) if x.shape[1] == 3 else x[:, 0]


def sobel(a, fake, b, mask):
    kernel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 8
    x, y = luminance(a), luminance(fake)
    total = 0
    for k in (kernel, kernel.T):
        gradients = []
        for image in (x, y):
            height, width = image.shape[1] - 2, image.shape[2] - 2
            gradients.append(sum(k[i, j] * image[:, i:i + height, j:j + width]
                                 for i in range(3) for j in range(3)))
        total += np.abs(gradients[0] - gradients[1]).mean()
    return total / 2


def colours(a, fake, b, mask):
    moments = []
    for x in (fake, b):
        pixels = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
        moments.append((pixels.mean(1), np.cov(pixels, bias=True)))
    return sum(np.mean((p - q) ** 2) for p, q in zip(*moments, strict=True))


def variation(a, fake, b, mask):
    return np.abs(fake[:, :, 1:] - fake[:, :, :-1]).mean() + np.abs(fake[..., 1:] - fake[..., :-1]).mean()


def masked(a, fake, b, mask):
    outside = np.broadcast_to(mask == 0, fake.shape)
    return np.abs(fake - a)[outside].mean()


def squares(a, fake, b, mask):
    return np.abs((fake ** 2).mean((2, 3)) - (a ** 2).mean((2, 3))).mean()


FORMULAS = {"l1": absolute, "pyramid_l1": pyramid, "ssim": structure, "gradient": sobel, "colour": colours,
            "tv": variation, "mask_l1": masked, "perceptual": squares}


def test_every_loss_has_its_formula_here():
    assert LOSSES.keys() == FORMULAS.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_is_its_formula(name):
    given = images()
    arrays = [given[key].double().numpy() for key in ("real_A", "fake_B", "real_B", "mask")]
    expected = FORMULAS[name](*arrays)
    assert evaluate(name, given).item() == pytest.approx(expected, rel=1e-9) and expected > 0


@pytest.mark.parametrize("name", LOSSES)
def test_vanishes_where_all_is_as_it_should_be(name):
    """With a gradient of 0 or none, never NaN: images without a partner are compared with themselves."""
    given = images()
    fake = given["fake_B"].clone().requires_grad_()
    given |= {"fake_B": fake, "real_A": fake.detach().clone(), "real_B": fake.detach().clone()}
    loss = evaluate(name, given)
    if name != "tv":
        assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert torch.isfinite(fake.grad).all() and (name == "tv" or fake.grad.abs().max() < 1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_formula(name):
    """Along a random direction, by differences in float64."""
    given = images()
    fake = given["fake_B"].clone().requires_grad_()
    evaluate(name, given | {"fake_B": fake}).backward()
    direction = picture(2, 3, 20, 24, 4.0)
    up, down = (evaluate(name, given | {"fake_B": given["fake_B"] + step * direction}).item()
                for step in (1e-6, -1e-6))
    assert (fake.grad * direction).sum().item() == pytest.approx((up - down) / 2e-6, rel=1e-3)


@pytest.mark.parametrize("name", ["ssim", "gradient", "mask_l1"])
def test_grey_is_compared_with_the_luminance_of_colour(name):
    given = images(channels=1)
    as_grey = {key: with_channels(given[key], 1) for key in ("real_A", "fake_B", "real_B")}
    assert evaluate(name, given).item() == pytest.approx(evaluate(name, given | as_grey).item(), rel=1e-12)


def test_channels():
    red_green_blue = torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1)      # three images of one pixel
    assert with_channels(red_green_blue, 1).flatten().tolist() == [0.299, 0.587, 0.114]
    grey = picture(2, 1, 4, 5)
    assert torch.equal(with_channels(grey, 3), torch.cat([grey] * 3, 1))
    assert with_channels(grey, 1) is grey
    assert with_channels(with_channels(grey, 3), 1).numpy() == pytest.approx(grey.numpy(), abs=1e-12)


def test_the_page_names_every_loss():
    page = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert [name for name in LOSSES if f"`{name}`" not in page] == []
