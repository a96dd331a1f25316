"""The order of images of shards that are read a few at a time."""

import numpy as np
import pytest

from data.shards.order import StreamOrder

COUNTS = [5, 5, 5, 5, 3]
ENDS = np.cumsum(COUNTS)


def order(counts=COUNTS, items=23, lanes=1, window=2, seed=(0,)) -> StreamOrder:
    return StreamOrder(counts, items=items, lanes=lanes, window=window, seed=seed)


def epoch_of(one: StreamOrder, epoch: int, places: range) -> list[int]:
    return [one.number(epoch, place) for place in places]


def shard_of(number: int) -> int:
    """By counting: 0 to 4 lie in the first shard, 5 to 9 in the second, ..."""
    return next(shard for shard, end in enumerate(ENDS) if number < end)


def test_every_image_comes_once_an_epoch_and_epochs_differ() -> None:
    epochs = [epoch_of(order(), epoch, range(23)) for epoch in (1, 2, 3)]
    assert all(sorted(one) == list(range(23)) for one in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != epoch_of(order(seed=(1,)), 1, range(23))


def test_shards_come_in_random_order_and_few_at_a_time() -> None:
    """A window of about 9 images (2 shards of 4.6 on average) touches at most 4 shards, and each shard's
    images come in at most two windows that follow each other, or three where it is cut twice."""
    firsts = set()
    for epoch in range(1, 30):
        numbers = epoch_of(order(), epoch, range(23))
        firsts.add(shard_of(numbers[0]))
        windows = [{shard_of(number) for number in numbers[start:start + 9]} for start in (0, 9, 18)]
        assert all(len(window) <= 4 for window in windows)
        assert len(windows[0] & windows[2]) == 0 or len(windows[0] & windows[1]) > 0
    assert firsts == set(range(5))


def test_within_a_window_order_is_random() -> None:
    """Images of a shard do not come in their own order, as they would without a shuffle."""
    big = order(counts=[50] * 4, items=200, window=1)
    numbers = epoch_of(big, 1, range(50))
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + 50)) and numbers != sorted(numbers)


def test_any_place_can_be_asked_for_at_once() -> None:
    whole = epoch_of(order(lanes=3, items=21), 4, range(21))
    asked = order(lanes=3, items=21)
    random = np.random.default_rng(0)
    for place in random.permutation(21):
        assert asked.number(4, int(place)) == whole[place]


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_read_their_share_of_the_shards(ranks: int) -> None:
    """A rank takes contiguous places of each minibatch of 4: of 32 shards it meets a quarter of them a place,
    and one more where a lane begins within a shard."""
    one = order(counts=[10] * 32, items=320, lanes=4, window=3)
    share = 4 // ranks
    for rank in range(ranks):
        places = [step * 4 + lane for step in range(80) for lane in range(rank * share, (rank + 1) * share)]
        shards = {one.number(1, place) // 10 for place in places}
        assert len(shards) == 32 // ranks


def test_a_small_set_comes_round_in_passes() -> None:
    """12 places of a set of 5: twice all of them, and two more."""
    numbers = epoch_of(order(counts=[3, 2], items=12, window=1), 1, range(12))
    assert sorted(np.bincount(numbers, minlength=5)) == [2, 2, 2, 3, 3]


def test_upcoming_is_what_comes_next_in_the_lane() -> None:
    one = order(lanes=2, items=22, window=1)        # lanes of 11, windows of 5
    starts = [place for place in range(22) if one.starts_window(place)]
    assert starts == [0, 1, 10, 11, 20, 21]
    assert list(one.upcoming(1, 0)) == [one.number(1, 2 * step) for step in range(5, 10)]
    assert list(one.upcoming(1, 11)) == [one.number(1, 21)]
    assert len(one.upcoming(1, 20)) == 0
