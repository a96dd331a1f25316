"""Semantic relation consistency against its formula in NumPy; which gradients it gives."""

import numpy as np
import pytest
import torch

from models.contrastive.relation import semantic_relation_loss


def unit(*shape, seed=0):
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x / x.norm(dim=-1, keepdim=True)


def softmax_rows(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def test_is_the_divergence_of_the_relations():
    query, key = unit(3, 5, 4), unit(3, 5, 4, seed=1)
    expected = []
    for q, k in zip(query.numpy(), key.numpy(), strict=True):
        p, r = softmax_rows(q @ q.T), softmax_rows(k @ k.T)
        m = (p + r) / 2
        expected.append(((p * np.log(p / m) + r * np.log(r / m)) / 2).sum())
    assert semantic_relation_loss(query, key).item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_turned_vectors_relate_alike():
    """A rotation of all vectors keeps their similarities."""
    query = unit(1, 6, 3)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    assert semantic_relation_loss(query, query @ turn).item() == pytest.approx(0, abs=1e-12)
    assert semantic_relation_loss(query, query.flip(1)).item() > 1e-3


def test_the_gradient_reaches_the_output_alone():
    query, key = unit(1, 4, 3).requires_grad_(), unit(1, 4, 3, seed=1).requires_grad_()
    semantic_relation_loss(query, key).backward()
    assert key.grad is None and query.grad.abs().max() > 0
    assert torch.autograd.gradcheck(lambda q: semantic_relation_loss(q, key.detach()), query)
