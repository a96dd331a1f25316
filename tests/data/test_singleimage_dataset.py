"""Crops of single images: their places, zooms and pixels; the whole image in translation; errors."""

from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader, find_dataset
from data.singleimage_dataset import draw_crops
from data.transforms import to_tensor
from util.errors import UsageError

SIZE = (240, 200)  # of the images, width and height


@pytest.fixture
def settings(options, tmp_path):
    """Options of a training on two images whose red is the column and whose green is the row."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    for domain, blue in (("A", 0), ("B", 255)):
        (tmp_path / f"train{domain}").mkdir()
        pixels = np.stack([columns, rows, np.full_like(rows, blue)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"train{domain}" / "ramp.png")

    def build(mix_zooms=False, crops_per_epoch=1000, **changes) -> Namespace:
        values = dict(dataset_mode="singleimage", preprocess="zoom_and_patch", crop_size=16, batch_size=12,
                      serial_batches=not mix_zooms, no_flip=True)
        return Namespace(**vars(options(**values | changes)), mix_zooms=mix_zooms,
                         crops_per_epoch=crops_per_epoch)
    return build


def build(opt):
    return find_dataset("singleimage")(opt)


def places(batch: torch.Tensor) -> torch.Tensor:
    """Of ramp crops [B, 3, s, s]: x and y of first and last pixel in the image, [B, 2 (ends), 2 (x, y)]."""
    return torch.stack([batch[:, :2, 0, 0], batch[:, :2, -1, -1]], dim=1).add(1).mul(127.5)


def batches(opt, epoch=1, count=3) -> list[dict]:
    loader = create_loader(opt)
    loader.set_epoch(epoch)
    return [batch for batch, _ in zip(loader, range(count), strict=False)]


def test_a_minibatch_has_one_zoom_a_domain_and_no_overlap(settings):
    for batch in batches(settings()):
        for domain in "AB":
            ends = places(batch[domain])
            spans = ends[:, 1] - ends[:, 0]  # [B, 2]: of 16 pixels, in pixels of the unzoomed image
            assert (spans.amax(0) - spans.amin(0)).max() <= 2.01  # two roundings
            apart = (ends[:, None, 0] - ends[None, :, 0]).abs() >= spans.amin(0)  # [B, B, 2]
            assert (apart.any(-1) | torch.eye(12, dtype=torch.bool)).all()


def test_domains_and_minibatches_have_zooms_of_their_own(settings):
    spans = {tuple((ends[0, 1] - ends[0, 0]).tolist())
             for batch in batches(settings()) for ends in (places(batch["A"]), places(batch["B"]))}
    assert len(spans) == 6


def test_mixed_zooms_come_in_one_minibatch_and_are_the_same_crops(settings):
    opt = settings(mix_zooms=True, crops_per_epoch=120)
    mixed = batches(opt, count=10)
    spans = (places(mixed[0]["A"])[:, 1] - places(mixed[0]["A"])[:, 0])[:, 0]
    assert spans.max() - spans.min() > 5
    ordered = batches(settings(crops_per_epoch=120), count=10)

    def rows(found):
        return sorted(tuple(row) for batch in found for row in batch["A"].flatten(1).tolist())

    assert rows(mixed) == rows(ordered)


def test_crops_are_pixels_of_the_zoomed_image(settings, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "trainA" / "ramp.png")
    dataset = build(settings())
    for index in range(5):
        zoomed, corners = dataset._crops(1, 0)["A"]
        left, top = corners[index]
        expected = image.resize(zoomed, Image.Resampling.BILINEAR).crop((left, top, left + 16, top + 16))
        assert (dataset[index]["A"] - to_tensor(expected)).abs().max() < 1.5 / 127.5  # one level


def test_zooms_are_uniform_for_width_and_height_apart():
    random = np.random.default_rng(0)
    drawn = [draw_crops((1000, 2000), 16, 1, 3.0, random).zoomed for _ in range(2000)]
    zooms = np.divide(drawn, [1000, 2000])
    assert 1 / 3 - 1e-3 <= zooms.min() < 0.34 and 0.99 < zooms.max() <= 1
    assert np.allclose(zooms.mean(0), 2 / 3, atol=0.02)
    assert abs(np.corrcoef(zooms.T)[0, 1]) < 0.1


def test_no_cell_twice_until_all_are_used():
    zoomed, corners = draw_crops((70, 50), 20, 100, 1.0, np.random.default_rng(0))
    assert zoomed == (70, 50) and len(corners) == 100
    for start in range(0, 96, 6):  # 3 x 2 cells
        cells = corners[start:start + 6] - corners[start:start + 6].min(0)
        assert sorted(map(tuple, cells.tolist())) == [(x, y) for x in (0, 20, 40) for y in (0, 20)]
    assert (corners >= 0).all() and (corners + 20 <= zoomed).all()
    assert len({tuple(c) for c in corners.tolist()}) > 6  # grids of other offsets


def test_an_image_no_larger_than_the_crop_is_never_zoomed():
    assert draw_crops((16, 100), 16, 1, 3.0, np.random.default_rng(0)).zoomed[0] == 16


def test_an_epoch_is_a_function_of_the_seed_alone(settings):
    first, again = batches(settings(num_threads=0)), batches(settings(num_threads=2))
    assert all(torch.equal(a[domain], b[domain])
               for a, b in zip(first, again, strict=True) for domain in "AB")
    for other in (batches(settings(seed=1)), batches(settings(), epoch=2)):
        assert not torch.equal(first[0]["A"], other[0]["A"])


def test_half_of_the_crops_are_mirrored(settings):
    dataset = build(settings(no_flip=False))
    ends = places(torch.stack([dataset[index]["A"] for index in range(200)]))
    assert 70 < (ends[:, 1, 0] < ends[:, 0, 0]).sum() < 130
    assert (ends[:, 1, 1] > ends[:, 0, 1]).all()


def test_length_of_an_epoch(settings):
    assert len(build(settings(crops_per_epoch=250))) == 250
    assert len(build(settings(crops_per_epoch=250, max_dataset_size=50))) == 50
    assert create_loader(settings(crops_per_epoch=250)).images_per_epoch == 240


def test_other_words_of_preprocess_work_too(settings):
    for words in ("zoom_and_crop", "resize_and_crop", "patch", "scale_width_and_crop"):
        assert build(settings(preprocess=words, load_size=32))[0]["A"].shape == (3, 16, 16)


def test_translation_reads_the_whole_image_as_it_is(settings, tmp_path):
    Image.new("RGB", (51, 37)).save(tmp_path / "trainA" / "ramp.png")
    opt = settings(isTrain=False, phase="test", preprocess="none", serial_batches=False)
    dataset = build(opt)
    item = dataset[0]
    assert len(dataset) == 1
    assert item["A"].shape == (3, 37, 51) and item["B"].shape == (3, SIZE[1], SIZE[0])
    assert item["A_paths"] == str(tmp_path / "trainA" / "ramp.png")


def test_translation_prefers_folders_of_its_phase_and_needs_no_target(settings, tmp_path, paint):
    path, = paint("testA", 1, size=(20, 24))
    (tmp_path / "trainB" / "ramp.png").unlink()
    (tmp_path / "trainB").rmdir()
    item = build(settings(isTrain=False, phase="test", preprocess="none"))[0]
    assert item["A_paths"] == str(path) and "B" not in item


def refusal(opt) -> str:
    with pytest.raises(UsageError) as error:
        build(opt)
    return str(error.value)


def test_no_image_or_several_are_refused(settings, tmp_path, paint):
    paint("trainB", 1)
    message = refusal(settings())
    assert "trainB" in message and "2 images" in message and "unaligned" in message
    for file in (tmp_path / "trainB").iterdir():
        file.unlink()
    assert "trainB" in refusal(settings()) and "nothing" in refusal(settings())
    (tmp_path / "trainB").rmdir()
    assert "trainB" in refusal(settings()) and "missing" in refusal(settings())


def test_a_broken_image_is_refused(settings, tmp_path):
    (tmp_path / "trainA" / "ramp.png").write_bytes(b"no image")
    assert "ramp.png" in refusal(settings())


def test_an_image_smaller_than_the_crop_is_refused(settings, tmp_path):
    message = refusal(settings(crop_size=204))
    assert "240x200" in message and "--crop_size 204" in message and "ramp.png" in message


def test_flags_that_exclude_each_other_are_refused(settings):
    assert "--mix_zooms" in refusal(settings(mix_zooms=True, serial_batches=True))
