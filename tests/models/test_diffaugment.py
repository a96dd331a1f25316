"""--diffaugment: the formulas of Zhao et al. 2020 in NumPy, gradients, and where images pass through them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.diffaugment import AUGMENTATIONS, augment, color, cutout, translation
from tests.adversarial import batch_of, build, telling
from tests.formula import picture
from util.errors import UsageError

ALL = ",".join(AUGMENTATIONS)


def shifts(x: Tensor, y: Tensor) -> list[tuple[int, int]]:
    """By how many rows and columns each image of y is moved against x, found by trying all."""
    found = []
    for before, after in zip(x.numpy(), y.numpy(), strict=True):
        height, width = before.shape[1:]
        for down in range(-4, 5):
            for right in range(-4, 5):
                expected = np.zeros_like(before)
                inside = (slice(None), slice(max(down, 0), height + min(down, 0)),
                          slice(max(right, 0), width + min(right, 0)))
                source = (slice(None), slice(max(-down, 0), height + min(-down, 0)),
                          slice(max(-right, 0), width + min(-right, 0)))
                expected[inside] = before[source]
                if np.array_equal(expected, after):
                    found.append((down, right))
    return found


def test_translation_moves_each_image_by_up_to_an_eighth():
    torch.manual_seed(0)
    x = picture(200, 3, 16, 24)
    found = shifts(x, translation(x))
    assert len(found) == 200
    assert {down for down, _ in found} == set(range(-2, 3)) and {r for _, r in found} == set(range(-3, 4))


def test_color_is_the_papers_formula():
    torch.manual_seed(3)
    x = picture(5, 3, 8, 6)
    y = color(x)
    torch.manual_seed(3)
    brightness, saturation, contrast = torch.rand(3, 5, dtype=torch.float64).numpy()
    for number, image in enumerate(x.numpy()):
        image = image + brightness[number] - 0.5
        grey = image.mean(axis=0)
        image = grey + 2 * saturation[number] * (image - grey)
        image = image.mean() + (0.5 + contrast[number]) * (image - image.mean())
        np.testing.assert_allclose(y[number], image, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(16, 10), (7, 9)])
def test_cutout_leaves_a_hole_whose_middle_may_be_anywhere(height, width):
    torch.manual_seed(0)
    x = torch.ones(2000, 2, height, width, dtype=torch.float64)
    holes = cutout(x).numpy() == 0
    assert np.array_equal(holes[:, 0], holes[:, 1])
    rows, columns = holes[:, 0].any(axis=2), holes[:, 0].any(axis=1)
    assert np.array_equal(holes[:, 0], rows[:, :, None] & columns[:, None, :])
    for lines, size in ((rows, height), (columns, width)):
        hole = (size + 1) // 2
        starts = size + 1 - hole % 2                  # of the hole's middle
        expected = set()
        for middle in range(starts):
            line = np.zeros(size, bool)
            line[max(0, middle - hole // 2):middle - hole // 2 + hole] = True
            expected.add(line.tobytes())
        assert {line.tobytes() for line in lines} == expected


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_can_be_differentiated_twice(name):
    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(4)
        return augment(x, [name])

    x = picture(2, 3, 6, 5).requires_grad_()
    assert torch.autograd.gradcheck(seeded, x) and torch.autograd.gradgradcheck(seeded, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_type_and_size_stay(dtype):
    x = picture(2, 1, 9, 12).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = augment(x, list(AUGMENTATIONS))
    assert y.dtype == dtype and y.shape == x.shape and y.isfinite().all()


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match=r"--diffaugment is 'color,blur', but 'blur' is none of translation"):
        build("--diffaugment", "color,blur")


def test_D_sees_real_and_generated_images_augmented_in_both_losses(monkeypatch):
    """With an augmentation that halves, every loss is that of halved images."""
    monkeypatch.setitem(AUGMENTATIONS, "halved", lambda x: x / 2)
    model = build("--model", "distance_gan", "--diffaugment", "halved", "--pool_size", "0")
    model.set_input(batch_of(2))
    fake = model.netG(model.real_A)
    losses = model.discriminator_loss("D", model.real_B, fake), model.objective.generator(model.netD(fake))
    net, = build("--model", "distance_gan").networks["D"].children()        # the same seed, without the hook
    assert losses[0].item() == pytest.approx(telling(net, model.real_B / 2, fake / 2).item(), rel=1e-5)
    assert losses[1].item() == pytest.approx(((net(fake / 2) - 1) ** 2).mean().item(), rel=1e-5)


@pytest.mark.parametrize("flags", [["--model", "cut", "--gan_mode", "wgangp"], ["--model", "cycle_gan"],
                                   ["--model", "gcgan"], ["--model", "cut", "--precision", "bf16"],
                                   ["--model", "dclgan", "--dcl_mode", "simdcl"]])
def test_G_learns_through_it_in_every_model(flags):
    model = build(*flags, "--diffaugment", ALL)
    before = {name: net.state_dict() for name, net in model.networks.items()}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in before.items()}
    losses = model.train_step(batch_of(2))
    assert all(loss.isfinite() for loss in losses.values())
    for name, net in model.networks.items():
        assert any(not torch.equal(value, before[name][key]) for key, value in net.state_dict().items())


def test_without_it_no_random_number_is_drawn_and_with_it_they_are_those_of_torch():
    states = []
    for flags in ([], ["--diffaugment", ALL]):
        model = build("--model", "distance_gan", "--pool_size", "0", *flags)
        torch.manual_seed(9)
        model.train_step(batch_of())
        states.append(torch.get_rng_state())
    torch.manual_seed(9)
    assert torch.equal(states[0], torch.get_rng_state()) and not torch.equal(*states)
