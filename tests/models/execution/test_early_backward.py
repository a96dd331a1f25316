"""early_backward: the gradients are those of an ordinary backward, and no graph stays."""

import weakref

import torch

from models.execution.early_backward import early_backward


def test_gradients_are_those_of_an_ordinary_backward():
    a, b, unused = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    expected = (a.detach() * b.detach(), a.detach() ** 2 / 2)     # of sum(a^2 b) / 2
    loss = early_backward(lambda: (a * a * b).sum(), [a, b, unused])
    assert torch.equal(loss, (a * a * b).sum().detach())
    (0.5 * loss + (3 * a).sum()).backward()
    assert torch.allclose(a.grad, expected[0] + 3, rtol=1e-14, atol=0)
    assert torch.allclose(b.grad, expected[1], rtol=1e-14, atol=0)
    assert unused.grad is None or not unused.grad.any()


class Saved:
    """A tensor that autograd keeps."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor


def test_only_the_gradients_stay():
    weight, saved = torch.rand(3, requires_grad=True), weakref.WeakSet()

    def loss():
        return (weight * 2).square().exp().sum()

    def pack(tensor):
        box = Saved(tensor)
        saved.add(box)
        return box

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        early = early_backward(loss, [weight])
        assert early.requires_grad
        kept, = saved
        assert torch.allclose(kept.tensor, torch.autograd.grad(loss(), weight)[0])
        ordinary = loss()
        assert ordinary.requires_grad and len(saved) > 2
