"""PatchNCE against equation 3 of the paper in NumPy, and against numbers measured on the reference."""

import json
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from models.contrastive.patch_nce import patch_nce_loss
from tests.formula import noise, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "patchnce.json").read_text())["nce"]


def unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


def embeddings(batch: int, patches: int = 12, channels: int = 8) -> tuple[Tensor, Tensor]:
    """Queries and keys [batch, patches, channels] by the recipe in the golden file."""
    shape, count = (batch * patches, channels), batch * patches * channels
    query = unit(noise(count, 0).reshape(shape))
    key = unit(query + 0.8 * unit(noise(count, 1).reshape(shape)))
    return query.reshape(batch, patches, channels), key.reshape(batch, patches, channels)


def equation_3(query: np.ndarray, positive: np.ndarray, negatives: list[np.ndarray], tau: float) -> float:
    """-log(exp(v v+ / tau) / (exp(v v+ / tau) + sum_n exp(v v-_n / tau)))."""
    match = np.exp(query @ positive / tau)
    others = sum(np.exp(query @ negative / tau) for negative in negatives)
    return -np.log(match / (match + others))


def by_hand(query: Tensor, key: Tensor, tau: float, minibatch: bool) -> np.ndarray:
    q, k = query.numpy(), key.numpy()
    batch, patches = q.shape[:2]
    losses = np.empty((batch, patches))
    for b in range(batch):
        for s in range(patches):
            images = range(batch) if minibatch else [b]
            negatives = [k[c, t] for c in images for t in range(patches) if (c, t) != (b, s)]
            losses[b, s] = equation_3(q[b, s], k[b, s], negatives, tau)
    return losses


@pytest.mark.parametrize("minibatch", [False, True])
@pytest.mark.parametrize("batch, patches, tau", [(1, 5, 0.07), (2, 3, 0.07), (3, 4, 1.0), (2, 1, 0.5)])
def test_is_equation_3(batch, patches, tau, minibatch):
    query, key = embeddings(batch, patches, channels=4)
    loss = patch_nce_loss(query, key, tau, minibatch_negatives=minibatch)
    assert loss.shape == (batch, patches)
    np.testing.assert_allclose(loss.numpy(), by_hand(query, key, tau, minibatch), rtol=1e-9, atol=1e-12)


def test_a_patch_without_negatives_teaches_nothing():
    query, key = embeddings(2, patches=1)
    query.requires_grad_()
    loss = patch_nce_loss(query, key, 0.07)
    loss.sum().backward()
    assert loss.abs().max() == 0 and query.grad.abs().max() == 0


def test_no_gradient_reaches_the_key():
    query, key = (x.requires_grad_() for x in embeddings(2))
    patch_nce_loss(query, key, 0.07).mean().backward()
    assert key.grad is None and query.grad.abs().min() > 0


@pytest.mark.parametrize("case", [f"batch{n}{which}" for n in (1, 2, 4) for which in ("", "_all_negatives")])
def test_matches_the_reference(case):
    golden, batch = GOLDEN[case], int(case[5])
    query, key = embeddings(batch)
    query.requires_grad_()
    losses = patch_nce_loss(query, key, GOLDEN["temperature"], minibatch_negatives="all" in case)
    losses.mean().backward()
    listed = losses.flatten()[::6 if batch == 4 else 1].tolist()
    assert listed == pytest.approx(golden["per_location"], rel=1e-6)
    assert losses.mean().item() == pytest.approx(golden["mean"], rel=1e-7)
    gradient = summary(query.grad.reshape(-1, 8), len(golden["grad_q"]["values"]))
    for name, value in golden["grad_q"].items():
        assert gradient[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
