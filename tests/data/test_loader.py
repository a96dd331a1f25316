"""Minibatches: the same with any number of workers, whole epochs, resumed epochs, bad images."""

from collections.abc import Sequence

import pytest
import torch

from data import create_loader
from data.loader import DeviceCopier
from util.distributed import ranks
from util.errors import RunError, UsageError


@pytest.fixture
def folders(paint):
    paint("trainA", 11), paint("trainB", 7)
    return paint


def contents(batches) -> list:
    """Batches in a form that == compares exactly."""
    return [{key: value.tolist() if isinstance(value, torch.Tensor) else value
             for key, value in batch.items()} for batch in batches]


def epoch(loader, number: int, skip_images: int = 0) -> list:
    loader.set_epoch(number, skip_images)
    return contents(loader)


def test_workers_change_nothing(options, folders):
    alone = create_loader(options(batch_size=2))
    expected = [epoch(alone, number) for number in (1, 2)]
    assert expected[0] != expected[1]
    for workers in (1, 4):
        loader = create_loader(options(batch_size=2, num_threads=workers))
        assert [epoch(loader, number) for number in (1, 2)] == expected
        assert epoch(loader, 2, skip_images=4) == expected[1][2:]
        assert contents(loader) == expected[1][2:]  # until another epoch is chosen


def test_ranks_see_the_images_of_one_in_the_same_steps(options, paint, monkeypatch):
    """On 1, 2 and 4 ranks, whole or in micro-batches, from the first step on or after a resume."""
    paint("trainA", 19), paint("trainB", 7)
    right = epoch(create_loader(options(batch_size=8)), 2)
    for count in (1, 2, 4):
        for accumulate in (1, 2):
            shares = []
            for rank in range(count):
                monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
                monkeypatch.setattr(ranks, "world_size", lambda count=count: count)
                loader = create_loader(options(batch_size=8, accumulate=accumulate))
                assert len(loader) == 2 and loader.images_per_epoch == 16
                shares.append(epoch(loader, 2))
                assert epoch(loader, 2, skip_images=8) == shares[-1][1:]
            assert [merged(step, accumulate) for step in zip(*shares, strict=True)] == right


def merged(shares: Sequence[dict], accumulate: int) -> dict:
    """The minibatch of which ranks have these shares: micro-batch after micro-batch, rank after rank."""
    size = len(shares[0]["A"]) // accumulate
    return {key: [x for start in range(0, size * accumulate, size) for share in shares
                  for x in share[key][start:start + size]] for key in shares[0]}


def test_the_global_random_state_neither_matters_nor_moves(options, folders):
    loader = create_loader(options(num_threads=1))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = epoch(loader, 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert epoch(loader, 3) == first


def test_an_epoch_is_a_permutation_without_the_uneven_rest(options, folders):
    loader = create_loader(options(batch_size=4))
    assert (len(loader), loader.images_per_epoch) == (2, 8)
    batches = list(loader)
    assert [batch["A"].shape for batch in batches] == [(4, 3, 8, 8)] * 2
    assert len({path for batch in batches for path in batch["A_paths"]}) == 8
    whole = [path for batch in create_loader(options()) for path in batch["A_paths"]]
    assert len(set(whole)) == 11 and whole != sorted(whole)
    serial = [path for batch in create_loader(options(serial_batches=True)) for path in batch["A_paths"]]
    assert serial == sorted(whole)


@pytest.mark.parametrize("skipped", [0, 2, 6, 10])
def test_a_resumed_epoch_is_the_rest_of_the_whole_one(options, folders, skipped):
    loader = create_loader(options(batch_size=2))
    whole = epoch(loader, 5)
    assert epoch(create_loader(options(batch_size=2)), 5, skip_images=skipped) == whole[skipped // 2:]
    assert epoch(loader, 5) == whole


def test_translation_delivers_everything_in_order(options, folders):
    loader = create_loader(options(isTrain=False, batch_size=4, num_threads=2))
    batches = list(loader)
    assert (len(loader), loader.images_per_epoch) == (3, 11)
    assert [len(batch["A"]) for batch in batches] == [4, 4, 3]
    paths = [path for batch in batches for path in batch["A_paths"]]
    assert paths == sorted(paths) and len(paths) == 11


def test_a_batch_larger_than_the_data_set(options, folders):
    with pytest.raises(UsageError, match="--batch_size is 12.* 11 images"):
        create_loader(options(batch_size=12))
    assert len(list(create_loader(options(batch_size=12, isTrain=False)))) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_unlike_sizes_cannot_share_a_batch_in_training(options, paint, workers):
    paint("trainA", 2), paint("trainA/large", 1, size=(32, 16)), paint("trainB", 3)
    opt = options(preprocess="none", batch_size=3, num_threads=workers)
    with pytest.raises(UsageError, match="^images of 16x16 and 32x16 cannot share a minibatch"):
        list(create_loader(opt))


@pytest.mark.parametrize("workers", [0, 1])
def test_translation_batches_images_of_one_size_in_a_row(options, paint, workers, capfd):
    """16x16 twice, a bad one, 16x16 | 32x16 | 16x16, 16x16: by four at a time."""
    paths = [*paint("testA/1", 4), *paint("testA/2", 1, size=(32, 16)), *paint("testA/3", 2)]
    paths[2].write_bytes(b"no image")
    loader = create_loader(options(isTrain=False, phase="test", preprocess="none", batch_size=4,
                                   num_threads=workers))
    batches = list(loader)
    assert [batch["A"].shape for batch in batches] == [(3, 3, 16, 16), (1, 3, 16, 32), (2, 3, 16, 16)]
    assert [batch["index"] for batch in batches] == [[0, 1, 3], [4], [5, 6]]
    assert [path for batch in batches for path in batch["A_paths"]] == [
        str(path) for path in paths if path != paths[2]]
    assert len(loader.bad) == 1 and "bad" not in batches[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_translation_of_chosen_items(options, paint, workers):
    paths = paint("testA", 9)
    loader = create_loader(options(isTrain=False, phase="test", batch_size=2, num_threads=workers))
    for items in ([1, 4, 5, 7, 8], [], [3]):
        loader.choose(items)
        batches = list(loader)
        assert [index for batch in batches for index in batch["index"]] == items
        assert [path for batch in batches for path in batch["A_paths"]] == [str(paths[i]) for i in items]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_images_are_replaced_and_said_once(options, paint, capfd, workers):
    damaged = [paint("trainA", 10)[3], paint("trainB", 10)[9]]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-30])
    loader = create_loader(options(batch_size=5, num_threads=workers, serial_batches=True))
    for number in (1, 2):
        first, second = epoch(loader, number)
        assert [path[-7:-4] for path in first["A_paths"]] == ["000", "001", "002", "004", "004"]
        assert [path[-7:-4] for path in second["B_paths"]] == ["005", "006", "007", "008", "000"]
        assert "bad" not in first
    said = capfd.readouterr().err.splitlines()
    assert len(said) == len(loader.bad) == 2
    assert all(line.startswith(f"bad image: {path}: ") for line, path in zip(said, damaged, strict=True))


def test_too_many_bad_images_end_a_training_with_the_list(options, paint, capfd):
    paths = paint("trainA", 20)
    paint("trainB", 20)
    damaged = paths[::5]
    for path in damaged[:3]:
        path.write_bytes(b"")
    assert len(list(create_loader(options()))) == 20  # three are borne
    damaged[3].write_bytes(b"")
    lines = "".join(f".*{path}: cannot identify" for path in damaged)
    with pytest.raises(RunError, match=f"^4 of 40 images cannot be read{lines}"):
        list(create_loader(options(num_threads=1, serial_batches=True)))


def test_one_percent_of_a_large_data_set_may_be_bad(options, paint, capfd):
    paths = paint("trainA", 400, size=(1, 1))
    paint("trainB", 1, size=(1, 1))
    for path in paths[:400:100]:
        path.write_bytes(b"")
    assert len(list(create_loader(options()))) == 400  # 4 of 401
    paths[50].write_bytes(b"")
    with pytest.raises(RunError, match="5 of 401"):
        list(create_loader(options()))


@pytest.mark.parametrize("workers", [0, 1])
def test_translation_leaves_bad_images_out(options, paint, capfd, workers):
    paths = paint("testA", 7)
    for number in (1, 4, 5):
        paths[number].write_bytes(b"")
    paint("testB", 7)[6].write_bytes(b"")
    loader = create_loader(options(isTrain=False, phase="test", batch_size=2, num_threads=workers))
    batches = list(loader)
    names = [[path[-7:-4] for path in batch["A_paths"]] for batch in batches]
    assert names == [["000"], ["002", "003"], ["006"]]
    assert [len(batch["A"]) for batch in batches] == [1, 2, 1]
    assert ["B" in batch for batch in batches] == [True, True, False]
    assert len(loader.bad) == 4 and len(capfd.readouterr().err.splitlines()) == 4


def test_translation_without_one_good_image_fails(options, paint, capfd):
    for path in paint("testA", 2):
        path.write_bytes(b"")
    with pytest.raises(RunError, match="none of the 2 images"):
        list(create_loader(options(isTrain=False, phase="test")))


# ---- the copy to the device

def batch_of(value: float) -> dict:
    return {"A": torch.full((2, 3, 8, 8), value), "A_paths": [str(value)]}


def test_a_cpu_gets_the_very_same():
    given = batch_of(1)
    assert DeviceCopier(torch.device("cpu"))(given) is given


@pytest.mark.cuda
def test_a_gpu_gets_equal_ones():
    copy = DeviceCopier(torch.device("cuda"))
    for i in range(5):
        pinned = {**batch_of(i), "A": batch_of(i)["A"].pin_memory()}
        got = copy(pinned)
        assert got["A"].is_cuda and torch.equal(got["A"].cpu(), pinned["A"])
        assert got["A_paths"] == pinned["A_paths"]
