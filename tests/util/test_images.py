import numpy as np
import pytest
import torch
from PIL import Image

from util.images import grid, save_image, side_by_side, to_pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_survives_reading_and_writing(tmp_path, channels):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(channels, axis=2)
    image = (torch.from_numpy(levels).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
    save_image(tmp_path / "x.png", to_pixels(image))
    with Image.open(tmp_path / "x.png") as written:
        assert written.mode == {1: "L", 3: "RGB"}[channels]
        assert np.array_equal(np.asarray(written).reshape(16, 16, channels), levels)


def test_values_outside_are_clamped_and_nan_is_black():
    values = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0, float("nan"), float("inf"), -float("inf")])
    assert to_pixels(values.view(1, 1, -1)).ravel().tolist() == [0, 0, 128, 255, 255, 0, 255, 0]


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4), (1, 3, 4, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="an image is"):
        to_pixels(torch.zeros(shape))


def test_samples_of_a_batch_lie_side_by_side():
    batch = torch.stack([torch.full((3, 2, 4), -1.0), torch.full((3, 2, 4), 1.0)])
    batch[1, 0, 0, 0] = -1
    row = side_by_side(batch)
    assert row.shape == (2, 8, 3)
    assert (row[:, :4] == 0).all() and row[0, 4].tolist() == [0, 255, 255] and (row[1, 4:] == 255).all()


def test_images_of_other_channels_show_some_of_them():
    for channels, shown in ((1, [0]), (2, [0]), (3, [0, 1, 2]), (4, [0, 1, 2]), (7, [0, 1, 2])):
        batch = torch.arange(channels).div(10).view(1, -1, 1, 1).expand(2, -1, 4, 4)
        row = side_by_side(batch)
        assert row.shape == (4, 8, len(shown))
        assert row[0, 0].tolist() == [round((n / 10 + 1) * 127.5) for n in shown]


def test_grid_places_images_of_different_sizes_and_channels_row_by_row():
    black, gray = np.zeros((2, 3, 3), np.uint8), np.full((4, 1, 1), 100, np.uint8)
    canvas = grid([black, gray, black], columns=2, gap=1)
    assert canvas.shape == (2 * 5 - 1, 2 * 4 - 1, 3)
    assert (canvas[0:2, 0:3] == 0).all() and (canvas[0:4, 4] == 100).all() and (canvas[5:7, 0:3] == 0).all()
    assert (canvas == 255).all(axis=2).sum() == 9 * 7 - 6 - 4 - 6
