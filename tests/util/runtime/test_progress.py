"""Counting images, steps and epochs, against counts by hand."""

import pytest

from util.runtime.progress import Progress


def fired(batch: int, images: int, steps: int) -> list[int]:
    """After how many images "every so many images" comes round."""
    progress = Progress(first_epoch=1, last_epoch=1)
    at = []
    for _ in range(steps):
        progress.advance(batch)
        if progress.crossed(images):
            at.append(progress.total_images)
    return at


@pytest.mark.parametrize("batch, images, expected", [
    (1, 3, [3, 6, 9]), (3, 5, [6, 12, 15, 21, 27, 30]), (4, 4, [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]),
    (8, 3, [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]), (7, 20, [21, 42, 63]), (3, 100, [])])
def test_once_for_every_multiple_that_is_reached_or_passed(batch, images, expected):
    assert fired(batch, images, steps=10) == expected


def test_uneven_batches_miss_nothing():
    progress, at = Progress(first_epoch=1, last_epoch=1), []
    for batch in (3, 3, 1, 2, 3, 3):
        progress.advance(batch)
        if progress.crossed(5):
            at.append(progress.total_images)
    assert at == [6, 12, 15]


def test_nothing_has_come_round_before_the_first_step():
    assert not Progress(first_epoch=1, last_epoch=1).crossed(1)


def test_counters_through_epochs():
    progress, epochs = Progress(first_epoch=3, last_epoch=5), []
    for epoch in progress.remaining_epochs():
        epochs.append(epoch)
        for _ in range(2):
            progress.advance(4)
        progress.end_epoch()
    assert epochs == [3, 4, 5]
    assert (progress.epoch, progress.epoch_images) == (6, 0)
    assert (progress.total_images, progress.total_steps) == (24, 6)
    assert list(progress.remaining_epochs()) == []


def test_counters_come_back_and_go_on():
    progress = Progress(first_epoch=1, last_epoch=2)
    for _ in range(3):
        progress.advance(4)
    again = Progress(first_epoch=1, last_epoch=2)
    again.load_state_dict(progress.state_dict())
    assert again.state_dict() == progress.state_dict()
    assert not again.crossed(12)        # that was before it stopped
    again.advance(4)
    assert again.crossed(16) and next(again.remaining_epochs()) == 1 and again.epoch_images == 16
