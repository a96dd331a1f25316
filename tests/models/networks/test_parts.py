"""The parts of a minibatch: whose random numbers and images are whose, and what gradients do."""

import pytest
import torch
from torch import nn

import models.networks.parts as parts
from models.networks.norm import BatchNorm
from models.networks.parts import Division
from models.networks.patch_sampler import PatchNorm


def test_nothing_changes_outside_a_step():
    torch.manual_seed(0)
    drawn = parts.drawn(lambda images: torch.rand(images, 3), 4)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(4, 3))
    x = torch.rand(2, 3)
    assert parts.whole(x)[0] is x and parts.own(x) is x and parts.count() == 1


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_the_parts_draws_are_those_of_the_whole_minibatch(groups):
    """Of 2 images in each of 3 parts; several domains pass as one batch, one behind the other."""
    def draw(images: int) -> torch.Tensor:
        torch.manual_seed(1)
        return torch.rand(5, images)

    shares = []
    for number in range(3):
        with parts.divided(Division(2, number, 3, gather=list, total=torch.clone)):
            shares.append(parts.drawn(draw, groups * 2, dim=1).view(5, groups, 2))
    assert torch.equal(torch.cat(shares, 2), draw(groups * 6).view(5, groups, 6))


def test_own_takes_back_what_whole_gathers_and_its_gradient_is_that_of_the_mean():
    """f of all images is computed in each part; its gradient to an image, over the parts, is f's own."""
    images = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    right, = torch.autograd.grad(images.softmax(0).square().sum(), images)
    found = []
    for number in range(3):
        mine = images.detach()[2 * number:2 * number + 2].requires_grad_()
        division = Division(2, number, 3, gather=lambda _: [images.detach()], total=torch.clone)
        with parts.divided(division):
            together, = parts.whole(mine)
            assert torch.equal(parts.own(together), mine)
            loss = together.softmax(0).square().sum()
        found.append(torch.autograd.grad(loss / 3, mine)[0])
    torch.testing.assert_close(torch.cat(found), right)


@pytest.mark.parametrize("norm, shape", [(BatchNorm(3), (4, 3, 5, 5)), (PatchNorm(3), (4, 5, 3))])
def test_batch_norms_are_torchs_where_nothing_is_divided(norm, shape):
    x = torch.randn(shape)
    plain = (nn.BatchNorm2d(3) if x.ndim == 4 else nn.BatchNorm1d(3))(x if x.ndim == 4 else x.transpose(1, 2))
    torch.testing.assert_close(norm(x), plain if x.ndim == 4 else plain.transpose(1, 2))
