"""External negatives: the loss in NumPy, queues, slow copies, the step of CUT with them, resuming."""

import copy

import numpy as np
import pytest
import torch

from models.contrastive.momentum_queue import MomentumQueue
from models.contrastive.patch_nce import patch_nce_loss
from models.networks.patch_sampler import unit_length
from tests import adversarial
from tests.adversarial import batch_of
from tests.formula import fill_
from tests.operations import Operations
from util.errors import UsageError

EXTERNAL = ("--nce_negatives", "external")
ALL_PLACES = ("--num_patches", "100000")


def build(*flags):
    return adversarial.build("--netF_nc", "8", "--num_patches", "8", *flags)


def numpy_loss(query, key, temperature, internal, minibatch, negatives):
    """-log of the positive's share of exp(similarity / temperature), for each query, one by one."""
    losses = np.zeros(query.shape[:2])
    for b, s in np.ndindex(*losses.shape):
        others = []
        if internal:
            images = range(len(key)) if minibatch else [b]
            others += [key[n, m] for n in images for m in range(key.shape[1]) if (n, m) != (b, s)]
        others += list(negatives)
        positive = np.exp(query[b, s] @ key[b, s] / temperature)
        rest = sum(np.exp(query[b, s] @ k / temperature) for k in others)
        losses[b, s] = -np.log(positive / (positive + rest))
    return losses


@pytest.mark.parametrize("internal,minibatch,count", [
    (False, False, 7), (True, False, 7), (True, True, 7), (False, False, 0), (True, False, 0)])
def test_loss_with_more_negatives(internal, minibatch, count):
    random = torch.Generator().manual_seed(1)
    query, key = (unit_length(torch.randn(2, 5, 4, generator=random, dtype=torch.float64)) for _ in range(2))
    negatives = unit_length(torch.randn(count, 4, generator=random, dtype=torch.float64))
    found = patch_nce_loss(query, key, 0.3, internal_negatives=internal, minibatch_negatives=minibatch,
                           negatives=negatives)
    expected = numpy_loss(query.numpy(), key.numpy(), 0.3, internal, minibatch, negatives.numpy())
    assert np.allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_no_gradient_reaches_keys():
    query, key = (torch.randn(1, 3, 4, requires_grad=True) for _ in range(2))
    patch_nce_loss(query, key, 0.1, internal_negatives=False, negatives=torch.randn(2, 4)).sum().backward()
    assert query.grad is not None and key.grad is None


@pytest.fixture
def queue():
    return MomentumQueue(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), size=5, momentum=0.9)


def test_queue_keeps_the_newest_keys_of_each_place(queue):
    keys = torch.arange(8.0).reshape(2, 2, 2)     # [B, S, C], keys 0 to 3
    assert queue.dequeue_and_enqueue((0, 0), keys).shape == (0, 2)
    assert torch.equal(queue.dequeue_and_enqueue((0, 0), keys + 100), keys.flatten(0, 1))
    assert torch.equal(queue.dequeue_and_enqueue((0, 0), keys)[:, 0], torch.tensor([6.0, 100, 102, 104, 106]))
    for place in ((1, 0), (0, 1)):
        assert queue.dequeue_and_enqueue(place, keys).shape == (0, 2)


@pytest.mark.parametrize("size", [1, 7, 20])
def test_queue_is_its_keys_one_behind_the_other(size):
    """For any number of keys a step, and a loss's backward after the step's keys came in."""
    random = torch.Generator().manual_seed(0)
    queue = MomentumQueue(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), size=size, momentum=0.9)
    expected = torch.zeros(0, 3)
    for _ in range(60):
        keys = torch.randn(1, int(torch.randint(1, 10, (), generator=random)), 3, generator=random)
        query = torch.ones(2, 3, requires_grad=True)
        earlier = queue.dequeue_and_enqueue((0, 0), keys)
        again = queue.dequeue_and_enqueue((0, 0), keys + 1)     # a second loss of the same step
        (query @ earlier.T).sum().backward()
        assert torch.equal(earlier, expected) and torch.allclose(query.grad[0], expected.sum(0), atol=1e-5)
        expected = torch.cat([expected, keys[0]])[-size:]
        assert torch.equal(again, expected)
        expected = torch.cat([expected, keys[0] + 1])[-size:]
        assert torch.equal(queue.queues[0, 0], expected)
        queue.momentum_update(queue.netG, queue.netF)
        assert torch.equal(queue.queues[0, 0], expected)


def test_a_full_queue_moves_its_new_keys_alone(queue):
    """Once it is full, a step copies its keys into the one memory of the queue, and does nothing else."""
    keys, addresses = torch.randn(1, 2, 4), set()
    for step in range(12):
        with Operations() as found:
            addresses.add(queue.dequeue_and_enqueue((0, 0), keys).untyped_storage().data_ptr())
            for each in queue._queues.values():
                each.settle()
        assert step < 4 or set(found.names) == {"copy_"}
    assert len(addresses) == 1


def test_slow_copies_follow_in_one_operation(queue):
    with Operations() as found:
        queue.momentum_update(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    assert [name for name in found.names if "lerp" in name] == ["_foreach_lerp_"]


def test_a_saved_state_is_a_copy_and_loads_oldest_first(queue):
    keys = torch.arange(8.0).reshape(2, 2, 2)
    queue.dequeue_and_enqueue((0, 0), keys)
    state = queue.state_dict()
    assert torch.equal(state["queues"][0, 0], keys.flatten(0, 1))
    for _ in range(5):
        queue.dequeue_and_enqueue((0, 0), keys + 100)
    assert torch.equal(state["queues"][0, 0], keys.flatten(0, 1))
    state["queues"] = {(0, 0): torch.arange(10.0).reshape(5, 2)}      # as every version saved it
    queue.load_state_dict(state)
    assert torch.equal(queue.dequeue_and_enqueue((0, 0), keys), state["queues"][0, 0])
    assert torch.equal(queue.queues[0, 0], torch.cat([torch.tensor([[8.0, 9.0]]), keys.flatten(0, 1)]))


def test_slow_copies_follow_by_the_momentum(queue):
    start = queue.netG.weight.clone()
    G, F = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    queue.momentum_update(G, F)
    queue.momentum_update(G, F)
    assert torch.allclose(queue.netG.weight, 0.81 * start + 0.19 * G.weight)
    queue.momentum_update(G, F, momentum=0.0)
    assert torch.equal(queue.netF.weight, F.weight)
    assert not any(p.requires_grad for net in (queue.netG, queue.netF) for p in net.parameters())


def embeddings(G, F, image, layers):
    """The unit vectors [B, S, C] of all places in reading order, a layer each, F written out."""
    embedded = []
    for number, feature in enumerate(G.encode(image, layers)):
        patches = feature.flatten(2).transpose(1, 2)
        embedded.append(unit_length(getattr(F, f"mlp_{number}")(patches)).detach().numpy())
    return embedded


@pytest.mark.parametrize("mode", ["external", "both"])
def test_a_step_compares_with_keys_of_the_step_before(mode):
    """Queries of G and F, keys of their slow copies; negatives are the keys of step 0, of A or of B."""
    start = build()
    model = build("--nce_negatives", mode, "--nce_momentum", "0.5", *ALL_PLACES)
    first = model.train_step(batch_of(1, 0))
    if mode == "external":
        assert first["NCE"].item() == first["NCE_Y"].item() == 0      # nothing to be told apart from
    G, F = copy.deepcopy(model.netG), copy.deepcopy(model.netF)
    memory = copy.deepcopy(model.queue)
    found = model.train_step(batch_of(1, 1))
    for domain, (side, name) in enumerate((("A", "NCE"), ("B", "NCE_Y"))):
        image = batch_of(1, 1)[side]
        queries = embeddings(G, F, G(image), model.patch_nce.layers)
        keys = embeddings(memory.netG, memory.netF, image, model.patch_nce.layers)
        queues = [memory.queues[domain, i].numpy() for i in range(len(keys))]
        expected = np.mean([numpy_loss(q, k, 0.07, mode == "both", False, queue).mean()
                            for q, k, queue in zip(queries, keys, queues, strict=True)])
        assert found[name].item() == pytest.approx(expected, rel=1e-4)
        earlier = embeddings(start.netG, start.netF, batch_of(1, 0)[side], model.patch_nce.layers)
        for key, queue in zip(earlier, queues, strict=True):
            assert np.allclose(np.sort(queue, 0), np.sort(key[0], 0), atol=1e-5)


def test_slow_copies_follow_the_training():
    model = build(*EXTERNAL, "--nce_momentum", "0.75")
    slow = copy.deepcopy(model.queue.netG)
    for step in range(2):
        model.train_step(batch_of(1, step))
        for p, q in zip(slow.parameters(), model.netG.parameters(), strict=True):
            p.data = 0.75 * p.data + 0.25 * q.data
    for p, q in zip(slow.parameters(), model.queue.netG.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-7)


def test_internal_negatives_keep_no_memory():
    model = build()
    assert model.queue is None and "nce_memory" not in model.state_dict()


@pytest.mark.parametrize("flags", [
    "--CUT_mode FastCUT", "--normG batch", "--netF sample", "--netF reshape", "--nce_idt False"])
def test_works_with_other_choices(flags):
    model = build(*EXTERNAL, "--nce_queue_size", "20", "--batch_size", "2", *flags.split())
    for step in range(3):
        losses = model.train_step(batch_of(2, step))
    assert losses["NCE"].item() > 0
    domains = {domain for domain, _ in model.queue.queues}
    assert domains == ({0, 1} if "NCE_Y" in losses else {0})
    assert all(len(keys) == 20 for keys in model.queue.queues.values())


def test_resume_is_exact_and_needs_the_memory():
    model, other = build(*EXTERNAL), build(*EXTERNAL)
    for step in range(2):
        model.train_step(batch_of(1, step))
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    rng = torch.get_rng_state()
    first = {name: loss.item() for name, loss in model.train_step(batch_of(1, 3)).items()}
    torch.set_rng_state(rng)
    assert first == {name: loss.item() for name, loss in other.train_step(batch_of(1, 3)).items()}
    smaller = build(*EXTERNAL, "--nce_queue_size", "3")
    smaller.load_state_dict(model.state_dict())
    for place, keys in smaller.queue.queues.items():
        assert torch.equal(keys, model.queue.queues[place][-3:])
    with pytest.raises(ValueError, match="--nce_negatives external"):
        build(*EXTERNAL).load_state_dict(build().state_dict())


def test_weights_loaded_alone_reach_the_slow_copies(tmp_path):
    source = build()
    fill_(source.netG)
    source.save_weights(tmp_path, "latest")
    model = build(*EXTERNAL)
    model.load_weights(tmp_path, "latest")
    for p, q in zip(source.netG.parameters(), model.queue.netG.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("flags,words", [
    ("--nce_negatives external --nce_includes_all_negatives_from_minibatch", "--nce_negatives both"),
    ("--nce_queue_size 0", "--nce_queue_size is 0"), ("--nce_momentum 1", "--nce_momentum is 1")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())


def test_one_patch_is_enough_with_external_negatives():
    model = build(*EXTERNAL, "--num_patches", "1")
    model.train_step(batch_of(1, 0))
    assert model.train_step(batch_of(1, 1))["NCE"].item() > 0
