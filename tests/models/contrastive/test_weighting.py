"""Weights of the negatives against their formulas in NumPy: hDCE's, MoNCE's; the decoupled loss."""

import numpy as np
import pytest
import torch

from models.contrastive.patch_nce import CONTRASTS, patch_nce_loss
from models.contrastive.weighting import (
    Curriculum,
    doubly_stochastic,
    semantic_scales,
    semantic_weighting,
    transport_plan,
    transport_weighting,
)

GENERATOR = torch.Generator()


def unit(*shape, seed=0):
    x = torch.randn(*shape, dtype=torch.float64, generator=GENERATOR.manual_seed(seed))
    return x / x.norm(dim=-1, keepdim=True)


def numpy_scales(key, gamma):
    """Softmax over the other patches, each row over its maximum; 1 on the diagonal. key: [S, C]."""
    scales = np.ones((len(key), len(key)))
    for i in range(len(key)):
        others = [j for j in range(len(key)) if j != i]
        terms = np.exp(key[others] @ key[i] / gamma)
        share = terms / terms.sum()
        scales[i, others] = share / share.max()
    return scales


@pytest.mark.parametrize("gamma", [50.0, 1.0, 0.1])
def test_semantic_scales(gamma):
    key = unit(2, 6, 3)
    found = semantic_scales(key, torch.tensor(gamma))
    expected = np.stack([numpy_scales(k, gamma) for k in key.numpy()])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("loss", ["nce", "dce"])
def test_hdce(loss, minibatch):
    """log sum_(j not i) exp(w_ij S_ij / tau) - S_ii / tau, with the positive in the sum for nce; in NumPy."""
    query, key, external, tau = unit(2, 4, 3, seed=1), unit(2, 4, 3, seed=2), unit(5, 3, seed=3), 0.3
    together = key.reshape(1, 8, 3) if minibatch else key
    scales = semantic_scales(together, torch.tensor(0.5))
    found = patch_nce_loss(query, key, tau, scales=scales, contrast=CONTRASTS[loss], negatives=external,
                           minibatch_negatives=minibatch).numpy()
    for b, s in np.ndindex(2, 4):
        keys = (together[0] if minibatch else key[b]).numpy()
        own = 4 * b + s if minibatch else s
        w, q = numpy_scales(keys, 0.5)[own], query[b, s].numpy()
        total = sum(np.exp(w[j] * (keys[j] @ q) / tau) for j in range(len(keys)) if j != own)
        total += sum(np.exp(k @ q / tau) for k in external.numpy())
        total += np.exp(keys[own] @ q / tau) if loss == "nce" else 0
        assert found[b, s] == pytest.approx(np.log(total) - keys[own] @ q / tau, rel=1e-6)


def test_scales_bend_the_gradient_and_take_none():
    """A similarity's gradient is w_ij times its share of the sum: by central differences."""
    query, key = unit(1, 3, 2).requires_grad_(), unit(1, 3, 2, seed=5)
    scales = torch.full((1, 3, 3), 0.5, dtype=torch.float64)
    scales[:, range(3), range(3)] = 1
    scales.requires_grad_()
    loss = patch_nce_loss(query, key, 0.2, scales=scales, contrast=CONTRASTS["dce"]).sum()
    loss.backward()
    assert scales.grad is None
    for s, c in np.ndindex(3, 2):
        sums = []
        for step in (1e-6, -1e-6):
            moved = query.detach().clone()
            moved[0, s, c] += step
            S = (moved[0] @ key[0].T).numpy() / 0.2
            sums.append(sum(np.log(sum(np.exp(S[i, j] / 2) for j in range(3) if j != i)) - S[i, i]
                            for i in range(3)))
        assert query.grad[0, s, c].item() == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-6)


def test_decoupled_is_cross_entropy_without_its_floor():
    """exp(nce) = 1 + exp(dce): nce is softplus of dce."""
    query, key = unit(2, 5, 3), unit(2, 5, 3, seed=1)
    nce, dce = (patch_nce_loss(query, key, 0.5, contrast=CONTRASTS[name]) for name in ("nce", "dce"))
    np.testing.assert_allclose(nce.numpy(), np.log1p(np.exp(dce.numpy())), rtol=1e-12)


def test_decoupled_without_negatives_teaches_nothing():
    query = unit(2, 1, 3).requires_grad_()
    loss = patch_nce_loss(query, unit(2, 1, 3), 0.1, contrast=CONTRASTS["dce"])
    loss.sum().backward()
    assert loss.abs().max() == 0 and query.grad.abs().max() == 0


# ---- transport

@pytest.mark.parametrize("eps", [1.0, 0.1, 0.05])
def test_the_plan_is_that_of_sinkhorn(eps):
    """In NumPy, by logarithms: 50 turns on the matrix without its diagonal, which suffice for large eps."""
    similarity = (unit(2, 6, 4) @ unit(2, 6, 4, seed=1).transpose(1, 2)).numpy()
    found = transport_plan(torch.from_numpy(similarity), eps).numpy()
    for n in range(2):
        log = similarity[n] / eps
        np.fill_diagonal(log, -np.inf)
        for _ in range(50):
            log -= np.logaddexp.reduce(log, 1)[:, None]
            log -= np.logaddexp.reduce(log, 0)
        np.testing.assert_allclose(found[n], np.exp(log), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-9)
    if eps == 1:
        np.testing.assert_allclose(found.sum(2), 1, rtol=1e-9)
    assert (found[:, range(6), range(6)] == 0).all()


def test_matrices_are_scaled_alike_together_and_alone():
    """Together is the way of a GPU, alone that of a CPU; rows and columns of positive ones add up to 1."""
    kernel = torch.rand(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    found = doubly_stochastic(kernel)
    alone = torch.stack([doubly_stochastic(one) for one in kernel])
    torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(3, 5, dtype=torch.float64))
    torch.testing.assert_close(found.sum(2), torch.ones(3, 5, dtype=torch.float64))


def test_alike_negatives_get_more_weight_and_the_mean_is_the_amount():
    queries, keys = [unit(2, 5, 4)], [unit(2, 5, 4, seed=1)]
    weights = transport_weighting(queries, keys, eps=0.2, amount=3.0)[0]["weights"].numpy()
    others = ~np.eye(5, dtype=bool)
    assert weights[:, others].mean() == pytest.approx(3, rel=1e-6)
    similar = (queries[0] @ keys[0].transpose(1, 2)).numpy()
    assert all(np.corrcoef(w[others], s[others])[0, 1] > 0.3 for w, s in zip(weights, similar, strict=True))


def test_one_solve_for_all_layers_equals_one_each():
    """Layers of other widths, and a small one with fewer patches, come back in their order."""
    sizes = [(2, 6, 3), (2, 4, 8), (2, 6, 5), (1, 6, 3)]
    queries = [unit(*size, seed=n) for n, size in enumerate(sizes)]
    keys = [unit(*size, seed=n + 9) for n, size in enumerate(sizes)]
    together = transport_weighting(queries, keys, eps=0.3, amount=1.0)
    for n, (query, key) in enumerate(zip(queries, keys, strict=True)):
        alone = transport_weighting([query], [key], eps=0.3, amount=1.0)[0]["weights"]
        assert alone.shape == (sizes[n][0], sizes[n][1], sizes[n][1])
        torch.testing.assert_close(together[n]["weights"], alone, rtol=1e-12, atol=0)


def test_float32_is_enough_at_the_smallest_eps():
    """Vectors that point the same way or against each other: exponents down to -40."""
    x = unit(1, 64, 2)
    similarity = (x @ x.transpose(1, 2)).float()
    found, exact = transport_plan(similarity, 0.05), transport_plan(similarity.double(), 0.05)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("weighting", [
    lambda q, k: semantic_weighting(q, k, gamma=torch.tensor(1.0)),
    lambda q, k: transport_weighting(q, k, eps=0.1, amount=1.0)])
def test_no_gradient_reaches_the_weights(weighting):
    factors, = weighting([unit(1, 4, 3).requires_grad_()], [unit(1, 4, 3)])
    assert all(not value.requires_grad for value in factors.values())


# ---- curriculum

def test_the_curriculum_is_a_straight_line():
    gamma = Curriculum(50, 10, epochs=5, device=torch.device("cpu"))
    seen = []
    for epoch in (1, 2, 3, 4, 5, 6):
        gamma.start_epoch(epoch)
        seen.append(gamma.value.item())
    assert seen == [50, 40, 30, 20, 10, 10]
    gamma.start_epoch(2)                # it depends on the epoch alone
    assert gamma.value == 40
    one = Curriculum(50, 10, epochs=1, device=torch.device("cpu"))
    one.start_epoch(1)
    assert one.value == 50
