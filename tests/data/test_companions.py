"""Masks and labels: read with their images, moved alike, with the values that they have in their files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader, find_dataset
from data.base_dataset import Position
from data.companions import Labels, companions
from data.transforms import WORDS
from util.errors import UsageError

PATTERN = {1: 0, 3: 40, 9: 200}     # a label and the grey level of its pixels in A: few levels, far apart


def labelled(root: Path, count: int = 4, size: tuple[int, int] = (20, 16), folder: str = "trainA",
             block: int = 4) -> None:
    """A in blocks of 4 x 4 pixels, or others, whose labels lie in <folder>_label, and B."""
    for number in range(count):
        random = np.random.default_rng(number)
        labels = random.choice(list(PATTERN), (size[1] // block, size[0] // block))
        labels = labels.repeat(block, 0).repeat(block, 1)
        grey = np.vectorize(PATTERN.get)(labels).astype(np.uint8)
        for name, image in ((folder, grey), (f"{folder}_label", labels.astype(np.uint8))):
            (root / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / name / f"{number}.png")
        (root / "trainB").mkdir(exist_ok=True)
        Image.fromarray(grey).save(root / "trainB" / f"{number}.png")


def levels(item: dict) -> torch.Tensor:
    return ((item["A"][:1] + 1) * 127.5).round()


def agrees(item: dict) -> bool:
    """Whether each pixel of A has the grey level of its label."""
    return all(((levels(item)[item["label"] == label] - grey).abs() <= 2).all()
               for label, grey in PATTERN.items())


@pytest.mark.parametrize("augment", ["", "rotate90,colour=0.0001,noise=0.00001"])
@pytest.mark.parametrize("mode", ["unaligned", "aligned"])
def test_labels_stay_with_their_pixels(options, tmp_path, mode, augment):
    labelled(tmp_path)
    opt = options(dataset_mode=mode, preprocess="crop", companions="label=trainA_label", augment=augment)
    dataset = find_dataset(mode)(opt)
    for epoch in range(1, 5):
        for index in range(4):
            item = dataset[Position(epoch, index)]
            assert item["label"].shape == (1, 8, 8) and item["label"].dtype == torch.float32
            assert agrees(item)


@pytest.mark.parametrize("augment", ["", "rotate=30", "scale=0.7:1.4", "rotate=5,scale=0.9:1.1,rotate90"])
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "zoom_and_crop", "scale_width_and_crop"])
def test_resampled_labels_are_labels(options, tmp_path, preprocess, augment):
    """No value between two of them; and nearly all pixels well inside a block agree with A's grey."""
    labelled(tmp_path, size=(64, 48), block=16)
    opt = options(preprocess=preprocess, load_size=72, crop_size=32, companions="label=trainA_label",
                  augment=augment, random_scale_max=1.5)
    dataset = find_dataset("unaligned")(opt)
    agreeing = []
    for index in range(4):
        item = dataset[index]
        assert set(item["label"].unique().tolist()) <= set(PATTERN)
        wanted = item["label"].clone().apply_(PATTERN.get)
        agreeing.append(((levels(item) - wanted).abs() < 60).float().mean().item())
    assert min(agreeing) > 0.85


def test_the_images_are_those_without_companions(options, tmp_path):
    labelled(tmp_path)
    plain, with_labels = (find_dataset("unaligned")(options(companions=text))[Position(2, 1)]
                          for text in ("", "label=trainA_label"))
    assert all(torch.equal(plain[key], with_labels[key]) for key in "AB")
    assert with_labels.keys() - plain.keys() == {"label"}


@pytest.mark.parametrize("mode, stored", [("L", [0, 7, 255]), ("I;16", [0, 300, 65535]), ("P", [0, 3, 200]),
                                          ("1", [0, 1, 1]), ("RGB", [0, 9, 250]), ("F", [0.0, 0.25, -3.5])])
def test_values_are_those_of_the_file(options, tmp_path, paint, mode, stored):
    """16 bits, a palette's indices, black and white, and numbers."""
    paint("trainA", 1), paint("trainB", 1)
    values = np.resize(np.array(stored), (16, 16))
    if mode == "RGB":
        image = Image.fromarray(np.stack([values] * 3, -1).astype(np.uint8))
    else:
        kind = {"1": bool, "I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
        image = Image.fromarray(values.astype(kind))
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    (tmp_path / "more").mkdir()
    image.save(tmp_path / "more" / "000.tiff")
    opt = options(companions="more=more", preprocess="none", no_flip=True)
    found = find_dataset("unaligned")(opt)[0]["more"]
    assert found.shape[0] == (3 if mode == "RGB" else 1)
    assert np.array_equal(found[0].numpy(), values.astype(np.float32))


def test_they_go_with_the_domain_that_their_folder_names():
    found = companions("mask=trainA_mask,label=trainB_label,depth=depths", "train")
    assert [(c.key, c.domain) for c in found] == [("mask", "A"), ("label", "B"), ("depth", "A")]


def test_a_minibatch_with_a_bad_mask(options, tmp_path):
    """The next readable image stands in, with its own labels."""
    labelled(tmp_path)
    (tmp_path / "trainA_label" / "1.png").write_bytes(b"no image")
    opt = options(companions="label=trainA_label", preprocess="crop", batch_size=4, serial_batches=True)
    batch = next(iter(create_loader(opt)))
    assert [Path(path).stem for path in batch["A_paths"]] == ["0", "2", "2", "3"]
    assert batch["label"].shape == (4, 1, 8, 8)


def test_to_translate(options, tmp_path):
    labelled(tmp_path, folder="testA")
    opt = options(isTrain=False, phase="test", companions="label=testA_label", preprocess="none")
    assert agrees(find_dataset("unaligned")(opt)[2])


def test_a_plug_in_moves_what_it_reads_alike(options, tmp_path):
    """transform_pair, with every word that draws and every augmentation that moves."""
    opt = options(preprocess="zoom_and_crop", augment="rotate90,rotate=20,scale=0.8:1.2", load_size=24)
    labelled(tmp_path)
    dataset = find_dataset("unaligned")(opt)
    values = np.arange(400).reshape(20, 20) % 256
    picture = Image.fromarray(values.astype(np.uint8))
    pair = {"A": picture, "twin": picture, "label": Labels(picture), "again": Labels(picture)}
    for seed in range(8):
        found = dataset.transform_pair(pair, 1, np.random.default_rng(seed))
        assert list(found) == list(pair) and all(x.shape == (1, 8, 8) for x in found.values())
        assert torch.equal(found["A"], found["twin"]) and torch.equal(found["label"], found["again"])
    with pytest.raises(UsageError, match="20x20 and 8x8 pixels belong together"):
        dataset.transform_pair(pair | {"label": Labels(Image.new("L", (8, 8)))}, 1, np.random.default_rng(0))


# ---- what is wrong with them


def test_a_folder_that_is_not_there(options, paint):
    paint("trainA", 2), paint("trainB", 2)
    with pytest.raises(UsageError, match="--companions mask=trainA_mask: there is no folder"):
        find_dataset("unaligned")(options(companions="mask=trainA_mask"))


def test_a_missing_file(options, tmp_path):
    labelled(tmp_path)
    (tmp_path / "trainA_label" / "2.png").unlink()
    with pytest.raises(UsageError, match="1 of 4 images have no file of their name in .*, the first is 2"):
        find_dataset("unaligned")(options(companions="label=trainA_label"))


def test_another_size(options, tmp_path):
    labelled(tmp_path)
    Image.new("L", (8, 9)).save(tmp_path / "trainA_label" / "3.png")
    with pytest.raises(UsageError, match=r"3.png' measures 8x9 pixels, but .*3.png' 20x16"):
        find_dataset("unaligned")(options(companions="label=trainA_label"))


@pytest.mark.parametrize("text", ["mask", "mask=", "=trainA", "A=trainA", "paired=x", "m=x,m=y", "m=x,,n=y"])
def test_what_is_no_list_of_companions(text):
    with pytest.raises(UsageError, match="--companions is"):
        companions(text, "train")


def test_one_image_a_domain_has_none(options, paint):
    paint("trainA", 1), paint("trainB", 1)
    for more in (dict(companions="mask=trainA"), dict(augment="rotate90")):
        with pytest.raises(UsageError, match="without --companions and --augment"):
            find_dataset("singleimage")(options(dataset_mode="singleimage", **more))


def test_labels_go_through_every_word():
    """They offer all that the words use of a PIL image."""
    from data.transforms import Geometry
    labels = Labels(Image.fromarray(np.arange(400, dtype=np.int32).reshape(20, 20)))
    for word in WORDS.values():
        moved = word(labels, Geometry(24, 8), np.random.default_rng(0))
        assert isinstance(moved, Labels) and set(moved.to_tensor().flatten().tolist()) <= set(range(400))
