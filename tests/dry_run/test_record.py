"""What a record counts, beside counts by hand and torch's own of convolutions."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.dry_run.pretend import CUDA, NEEDS, possible, pretend_cuda
from tests.dry_run.record import Memories, Record, difference


def recorded(*operations, batch=None) -> Record:
    with Record(batch, counts="cpu") as record:
        for operation in operations:
            operation()
    return record


def test_views_and_empty_memory_launch_nothing():
    x = torch.ones(4, 6)
    record = recorded(lambda: x.T.reshape(24)[1:].view(-1), lambda: torch.empty_like(x))
    # The reshape of a transposed tensor is one copy.
    assert record.launches == 1 and record.bytes == 2 * 24 * 4


def test_adding_to_places_launches_one_operation():
    """`x[i] += y` reads x[i] and y, writes x[i], and then sets x[i] to itself, which torch leaves out."""
    x, y = torch.ones(4, 6), torch.ones(4)

    def add() -> None:
        x[:, 2] += y
    record = recorded(add)
    assert record.launches == 1 and record.bytes == 3 * 4 * 4


@pytest.mark.parametrize("operation, read_and_written", [
    (lambda x, y: x + y, 100 + 100 + 100),
    (lambda x, y: x.add_(y), 100 + 100 + 100),
    (lambda x, y: x.copy_(y), 100 + 100),
    (lambda x, y: x.zero_(), 100),
    (lambda x, y: x.sum(), 100 + 4),
    (lambda x, y: torch.mul(x, y, out=torch.empty(25)), 100 + 100 + 100),
    (lambda x, y: y + torch.ones(()).expand(25), 4 + 100 + 4 + 100),     # the 1 is written, then read
    (lambda x, y: x.bfloat16(), 100 + 50),
])
def test_bytes_by_hand(operation, read_and_written):
    x, y = torch.ones(25), torch.ones(25)
    assert recorded(lambda: operation(x, y)).bytes == read_and_written


@pytest.mark.parametrize("convolve", [
    lambda x: F.conv2d(x, torch.rand(5, 4, 3, 3, requires_grad=True), torch.rand(5), padding=1),
    lambda x: F.conv2d(x, torch.rand(5, 4, 3, 2, requires_grad=True), stride=2),
    lambda x: F.conv_transpose2d(x, torch.rand(4, 6, 3, 3, requires_grad=True), stride=2),
])
def test_convolutions_as_torch_counts_them(convolve):
    x = torch.rand(2, 4, 9, 8, requires_grad=True)
    with FlopCounterMode(display=False) as torchs:
        convolve(x).sum().backward()
    record = recorded(lambda: convolve(x).sum().backward())
    assert sum(record.flop.values()) == torchs.get_total_flops() > 0


def test_grouped_convolution_by_hand():
    """8 channels of 4 x 4 places, each of 9 products and sums."""
    record = recorded(lambda: F.conv2d(torch.rand(1, 8, 6, 6), torch.rand(8, 1, 3, 3), groups=8))
    assert record.flop == {torch.float32: 2 * 8 * 16 * 9}


def test_sequences_tell_which_memory_is_read():
    memories = Memories()
    weight, other = torch.ones(3), torch.ones(3)

    def step(x) -> Record:
        with Record({"A": x}, memories, counts="cpu") as record:
            (x * weight) + weight
        return record

    first, second = step(torch.ones(3)), step(torch.ones(3))       # another minibatch is no difference
    assert difference(first, second) is None
    weight = other
    assert "operation 0" in difference(second, step(torch.ones(3)))


@pytest.mark.skipif(not possible(), reason=NEEDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_convolutions_keep_the_order_of_memory_in_any_format(dtype):
    """As cuDNN's do on a GPU; also transposed ones, whose weights are [in, out, h, w]."""
    with pretend_cuda():
        x = torch.empty(2, 8, 6, 6, device=CUDA, dtype=dtype)
        weight = torch.empty(8, 8, 3, 3, device=CUDA, dtype=dtype)
        for order in (torch.contiguous_format, torch.channels_last):
            for convolve in (F.conv2d, F.conv_transpose2d):
                y = convolve(x.contiguous(memory_format=order), weight.contiguous(memory_format=order))
                assert y.is_contiguous(memory_format=order)
