"""Who a rank is, and who is refused."""

from collections.abc import Callable

import pytest
import torch

from options import devices
from options.train_options import TrainOptions
from util.distributed import launch
from util.distributed.place import NEEDED, find_place
from util.distributed.together import asked_timeout, compare
from util.errors import UsageError


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what torchrun sets for rank 1 of 2 on one machine, but for what is given."""
    def become(**values: str) -> None:
        place = dict(zip(NEEDED, ("1", "2", "1", "localhost", "29500"), strict=True)) | values
        for name, value in place.items():
            monkeypatch.setenv(name, value)
    return become


def test_a_rank(environment: Callable[..., None]) -> None:
    environment(LOCAL_WORLD_SIZE="2", TORCHELASTIC_RESTART_COUNT="3")
    place = find_place()
    assert (place.rank, place.world_size, place.local_rank, place.attempt) == (1, 2, 1, 3)
    assert not place.has_agent


def test_a_process_alone(environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_place() is None
    environment(WORLD_SIZE="1", RANK="0")
    assert find_place() is None
    environment()
    monkeypatch.delenv("LOCAL_RANK")        # some clusters set WORLD_SIZE for torchrun to read
    assert find_place() is None


@pytest.mark.parametrize("values, words", [({"RANK": "2"}, "RANK=2 and WORLD_SIZE=2"),
                                           ({"MASTER_PORT": "no"}, "MASTER_PORT='no'"),
                                           ({"MASTER_PORT": "65536"}, "MASTER_PORT=65536: give a free")])
def test_numbers_that_cannot_be(values: dict[str, str], words: str, environment: Callable[..., None]) -> None:
    environment(**values)
    with pytest.raises(UsageError, match=words):
        find_place()


def test_what_launch_says_makes_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in launch.environment(1, 4, 29501).items():
        monkeypatch.setenv(name, value)
    place = find_place()
    assert (place.rank, place.local_rank, place.local_world_size, place.port) == (1, 1, 4, 29501)
    assert place.has_agent


def parse(*flags: str):
    return TrainOptions().parse(["--dataroot", "none", *flags])


def test_devices_of_ranks(monkeypatch: pytest.MonkeyPatch, environment: Callable[..., None]) -> None:
    """On a machine that seems to have three GPUs."""
    used = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(devices, "has_fast_bf16", lambda device: True)
    assert parse("--gpu_ids", "0,2", "--batch_size", "2").world_size == 2
    assert parse("--ranks", "3", "--batch_size", "3").world_size == 3
    assert used == []       # who starts ranks uses none
    with pytest.raises(UsageError, match="3 on this machine, but --gpu_ids 0,2 names 2"):
        parse("--gpu_ids", "0,2", "--ranks", "3", "--batch_size", "3")
    with pytest.raises(UsageError, match="which names a device twice"):
        parse("--gpu_ids", "0,0", "--batch_size", "2")
    environment()
    assert parse("--batch_size", "2").device == torch.device("cuda:1")
    with pytest.raises(UsageError, match="--ranks is 3, but 2 processes were started"):
        parse("--ranks", "3", "--batch_size", "6")
    assert parse("--gpu_ids", "0,2", "--batch_size", "2").device == torch.device("cuda:2")
    assert used == [torch.device("cuda:1"), torch.device("cuda:2")]
    with pytest.raises(UsageError, match="2 on this machine, but --gpu_ids 0 names 1"):
        parse("--gpu_ids", "0", "--batch_size", "2")
    environment(LOCAL_WORLD_SIZE="4", WORLD_SIZE="4")
    with pytest.raises(UsageError, match="4 on this machine, but PyTorch sees 3"):
        parse("--batch_size", "4")


def test_the_timeout_before_flags_are_read() -> None:
    assert asked_timeout(["--name", "x"]) == 600
    assert asked_timeout(["--distributed_timeout", "5", "--distributed_timeout=7"]) == 7
    assert asked_timeout(["--distributed_timeout", "soon"]) == 600


def test_ranks_that_differ() -> None:
    facts = {"options": {"lr": "0.1"}, "torch": "2", "program": "a"}
    compare(facts, facts, "rank 1")
    for other, words in (({"options": {"lr": "0.2"}}, "--lr 0.2, rank 0 with --lr 0.1"),
                         ({"torch": "3"}, "PyTorch 3"), ({"program": "b"}, "other files")):
        with pytest.raises(UsageError, match=words):
            compare(facts, facts | other, "rank 1")
