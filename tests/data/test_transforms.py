"""Preprocessing against PIL called directly and crops worked out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from data.transforms import (
    WORDS,
    Geometry,
    Transform,
    check_preprocess,
    crop,
    patch,
    resize,
    round_sides,
    scale_shortside,
    scale_width,
    to_tensor,
    trim,
    zoom,
)
from util.errors import UsageError


class Fixed:
    """A generator whose draws are written down: the integers in turn, and one number for random()."""

    def __init__(self, *integers: int, number: float = 0.0):
        self.drawn, self.left, self.number = [], list(integers), number

    def integers(self, high: int) -> int:
        self.drawn.append(high)
        return self.left.pop(0)

    def random(self) -> float:
        return self.number


def numbered(width: int, height: int) -> Image.Image:
    """A gray image whose pixel (x, y) has the value 10 y + x."""
    return Image.fromarray((10 * np.arange(height)[:, None] + np.arange(width)).astype(np.uint8))


def values(image: Image.Image) -> list[list[int]]:
    return np.asarray(image).tolist()


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_trim_takes_the_part_at_the_drawn_corner():
    random = Fixed(2, 1)
    assert values(trim(numbered(6, 5), 3, random)) == [[12, 13, 14], [22, 23, 24], [32, 33, 34]]
    assert random.drawn == [4, 3]  # 6 - 3 + 1 places from left to right, 5 - 3 + 1 from top to bottom


def test_trim_leaves_short_sides_whole():
    assert trim(numbered(6, 2), 3, Fixed(3, 0)).size == (3, 2)
    assert values(trim(numbered(2, 2), 3, Fixed(0, 0))) == [[0, 1], [10, 11]]


def test_crop_enlarges_a_small_image_and_never_pads():
    small = Image.new("L", (4, 2), 200)
    result = crop(small, 6, np.random.default_rng(0))
    assert result.size == (6, 6)
    assert np.asarray(result).min() == 200


def test_patch_cells_tile_the_image_from_the_drawn_offset():
    # 7 x 5 holds 3 x 2 cells of 2 x 2 and one spare pixel each way
    cells = [values(patch(numbered(7, 5), 2, Fixed(1, 0, cell))) for cell in range(6)]
    assert cells[0] == [[1, 2], [11, 12]]
    assert cells[2] == [[5, 6], [15, 16]]
    assert cells[3] == [[21, 22], [31, 32]]
    assert len({str(cell) for cell in cells}) == 6


def test_patch_draws_its_offset_and_its_cell():
    random = Fixed(0, 1, 4)
    assert values(patch(numbered(7, 5), 2, random)) == [[32, 33], [42, 43]]
    assert random.drawn == [2, 2, 6]


def test_resize_is_pil_bicubic():
    expected = noise(20, 14).resize((9, 11), Image.Resampling.BICUBIC)
    assert resize(noise(20, 14), 9, 11).tobytes() == expected.tobytes()


@pytest.mark.parametrize(("size", "expected"),
                         [((40, 30), (20, 15)), ((40, 10), (20, 8)), ((10, 10), (20, 20))])
def test_scale_width_keeps_the_aspect_down_to_a_least_height(size, expected):
    assert scale_width(Image.new("L", size), 20, 8).size == expected


@pytest.mark.parametrize(("size", "expected"),
                         [((40, 30), (40, 30)), ((10, 5), (40, 20)), ((5, 15), (20, 60))])
def test_scale_shortside_only_enlarges(size, expected):
    assert scale_shortside(Image.new("L", size), 20).size == expected


def test_zoom_scales_each_side_by_its_factor_bilinear():
    expected = noise(40, 30).resize((20, 24), Image.Resampling.BILINEAR)
    assert zoom(noise(40, 30), (0.5, 0.8), 8).tobytes() == expected.tobytes()
    assert zoom(noise(40, 30), (0.1, 0.8), 8).size == (8, 24)


def test_a_drawn_zoom_stays_within_its_range():
    random = np.random.default_rng(3)
    sizes = [WORDS["zoom"](Image.new("L", (600, 900)), Geometry(0, 10, 3.0), random).size for _ in range(200)]
    widths, heights = zip(*sizes, strict=True)
    assert min(widths) >= 200 and min(widths) < 220 and max(widths) <= 600 and max(widths) > 580
    assert min(heights) >= 300 and max(heights) <= 900
    assert any(abs(width / 600 - height / 900) > 0.3 for width, height in sizes)  # drawn apart


@pytest.mark.parametrize(("size", "expected"), [((13, 15), (12, 16)), ((1, 1), (4, 4)), ((8, 12), (8, 12))])
def test_sides_are_rounded_to_the_nearest_multiple_and_at_least_one(size, expected):
    assert round_sides(Image.new("L", size), 4).size == expected


def test_tensor_runs_from_minus_one_to_one_channels_first():
    pixels = np.array([[[0, 255, 51], [255, 0, 0]]], dtype=np.uint8)  # height 1, width 2
    tensor = to_tensor(Image.fromarray(pixels))
    assert tensor.shape == (3, 1, 2) and tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, torch.tensor([[[-1.0, 1.0]], [[1.0, -1.0]], [[-0.6, -1.0]]]))
    assert to_tensor(Image.new("L", (3, 2))).shape == (1, 2, 3)


def test_the_default_is_resize_then_crop_then_mirror():
    image = noise(20, 14)
    scaled = image.resize((12, 12), Image.Resampling.BICUBIC)
    transform = Transform(check_preprocess("resize_and_crop"), flip=True)
    plain = transform(image, Geometry(12, 8), Fixed(3, 1, number=0.5))
    mirrored = transform(image, Geometry(12, 8), Fixed(3, 1, number=0.49))
    expected = torch.from_numpy(np.asarray(scaled)[1:9, 3:11].copy()).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(plain, expected)
    assert torch.equal(mirrored, plain.flip(-1))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("size", [(1, 1), (30, 21), (21, 300)])
def test_every_word_gives_sides_of_the_multiple(word, size):
    tensor = Transform((word,), flip=True)(Image.new("RGB", size), Geometry(24, 16), np.random.default_rng(0))
    assert tensor.shape[0] == 3 and all(side % 4 == 0 and side >= 4 for side in tensor.shape[1:])


def test_none_keeps_the_image_pixel_by_pixel_when_sides_are_not_rounded():
    tensor = Transform(("none",), flip=False, multiple=1)(numbered(7, 5), Geometry(24, 16), Fixed())
    torch.testing.assert_close(tensor[0, 2], torch.arange(20, 27) / 127.5 - 1)


def test_words_apply_in_one_order_however_written():
    assert check_preprocess("crop_and_scale_width") == check_preprocess("scale_width_and_crop") \
        == ("scale_width", "crop")


@pytest.mark.parametrize("value", ["crops", "", "resize_crop", "resize_and_", "RESIZE"])
def test_unknown_words_are_answered_with_all_words(value):
    with pytest.raises(UsageError) as error:
        check_preprocess(value)
    assert all(word in str(error.value) for word in ["--preprocess", repr(value), *WORDS])


@pytest.mark.parametrize("value", ["resize_and_scale_width", "none_and_crop", "crop_and_crop",
                                   "patch_and_trim", "fixsize_and_scale_shortside"])
def test_contradictions_are_refused(value):
    with pytest.raises(UsageError, match="exclude each other"):
        check_preprocess(value)
