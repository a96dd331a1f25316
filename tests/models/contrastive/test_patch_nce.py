"""The functions of PatchNCE that later methods replace: sampler, weighting, relation."""

import numpy as np
import pytest
import torch

from models.contrastive.patch_nce import Pair, PatchNCE, patch_nce_loss
from tests import adversarial
from tests.adversarial import batch_of, nets_of
from tests.operations import Operations


def build(*flags):
    return adversarial.build("--netF_nc", "8", "--num_patches", "5", "--nce_layers", "0,3,9", *flags)


def unit(*shape):
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))
    return x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("minibatch", [False, True])
def test_weights_multiply_the_negatives_exponentials(minibatch):
    """-log(e^p / (e^p + sum w e^n)), one query after another in NumPy; an external negative counts once."""
    query, key, external = unit(2, 4, 3), unit(2, 4, 3) * 1.0, unit(6, 3)
    size = (1, 8, 8) if minibatch else (2, 4, 4)
    weights = torch.rand(size, dtype=torch.float64) * 3 + 0.1
    found = patch_nce_loss(query, key, 0.5, weights=weights, negatives=external,
                           minibatch_negatives=minibatch).numpy()
    q, k, w = query.numpy(), key.numpy(), weights.numpy()
    for b, s in np.ndindex(2, 4):
        row = w[0, 4 * b + s] if minibatch else w[b, s]
        keys = k.reshape(8, 3) if minibatch else k[b]
        own = 4 * b + s if minibatch else s
        similar = np.exp(keys @ q[b, s] / 0.5)
        rest = sum(row[j] * similar[j] for j in range(len(keys)) if j != own)
        rest += np.exp(external.numpy() @ q[b, s] / 0.5).sum()
        assert found[b, s] == pytest.approx(-np.log(similar[own] / (similar[own] + rest)), rel=1e-9)


def test_no_gradient_reaches_the_weights_and_ones_change_nothing():
    query, key = unit(1, 4, 3).requires_grad_(), unit(1, 4, 3)
    weights = torch.ones(1, 4, 4, dtype=torch.float64, requires_grad=True)
    loss = patch_nce_loss(query, key, 0.3, weights=weights)
    loss.sum().backward()
    assert weights.grad is None and query.grad is not None
    assert torch.allclose(loss, patch_nce_loss(query, key, 0.3))


def test_a_sampler_chooses_the_places():
    model, seen = build(), []

    def corner(features, outputs):
        assert outputs.shape == (2, 3, 16, 16)
        seen.append([f.shape for f in features])
        return [torch.tensor([[0, 1]]).expand(len(f), 2) for f in features]

    model.patch_nce.sampler = corner
    nets = nets_of(model)
    losses = model.train_step(batch_of())
    assert seen == [[(2, 3, 22, 22), (2, 2, 16, 16), (2, 8, 8, 8)]]   # A and B in one pass, layer 0 padded
    fake, real = nets["G"](batch_of()["A"]), batch_of()["A"]
    expected = []
    for i, (q, k) in enumerate(zip(nets["G"].encode(fake, (0, 3, 9)), nets["G"].encode(real, (0, 3, 9)),
                                   strict=True)):
        mlp = getattr(nets["F"], f"mlp_{i}")
        q, k = (mlp(x.flatten(2)[0, :, :2].T) for x in (q, k))
        q, k = (x / (x.norm(dim=1, keepdim=True) + 1e-7) for x in (q, k))
        scores = q @ k.T / 0.07
        expected.append((scores.logsumexp(1) - scores.diagonal()).mean().item())
    assert losses["NCE"].item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_weighting_and_relation_are_asked_for_each_layer_and_domain():
    model, plain, asked = build("--batch_size", "2", "--lambda_SRC", "0.5"), build("--batch_size", "2"), []

    def weighting(queries, keys):
        asked.extend((query.shape, key.requires_grad) for query, key in zip(queries, keys, strict=True))
        return [{"weights": torch.full((2, 5, 5), 4.0)}] * len(queries)

    model.patch_nce.weighting = weighting
    model.patch_nce.relation = lambda query, key: query.new_tensor(10.0)
    found = []
    for each in (model, plain):
        torch.manual_seed(1)
        found.append(each.train_step(batch_of(2)))
    assert asked == [((2, 5, 8), False)] * 6        # 3 layers, A and B
    for name in ("NCE", "NCE_Y"):
        assert found[1][name] < found[0][name] < found[1][name] + np.log(4)
    assert found[0]["SRC"] == 10 * model.opt.lambda_SRC and "SRC" not in found[1]


@pytest.mark.parametrize("minibatch", [False, True])
def test_pairs_of_one_shape_are_one_product_with_a_loss_each(minibatch):
    """The mean of -log softmax of each pair by itself, in NumPy; two pairs are of another shape."""
    pairs = [Pair(number % 2, number // 2, unit(2, size, 3), unit(2, size, 3).flip(0))
             for number, size in enumerate((5, 5, 4, 4, 5, 5))]
    nce = PatchNCE(None, None, layers=(0, 1, 2), sampler=None, temperature=0.5,
                   minibatch_negatives=minibatch, layer_weights=(1.0, 2.0, 3.0))
    with Operations() as found:
        means, _ = nce._losses(pairs)
    assert found.names.count("bmm") == 2
    for domain, mean in enumerate(means):
        wanted = []
        for pair in pairs[domain::2]:
            q, k = pair.query.numpy(), pair.key.numpy()
            batches = [(q.reshape(-1, 3), k.reshape(-1, 3))] if minibatch else zip(q, k, strict=True)
            rows = [np.log(np.exp(a @ b.T / 0.5).sum(1)) - np.diag(a @ b.T / 0.5) for a, b in batches]
            wanted.append((pair.layer + 1) * np.mean(rows))
        assert float(mean) == pytest.approx(np.mean(wanted), rel=1e-12)
