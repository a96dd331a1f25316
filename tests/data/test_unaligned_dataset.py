"""Which images an item of the unaligned and single data sets is made of, and what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import find_dataset
from data.base_dataset import Position
from util.errors import UsageError


def build(opt):
    return find_dataset(opt.dataset_mode)(opt)


def number(image: torch.Tensor) -> int:
    """The number that `paint` gave the image, from its red pixels."""
    return round((image[0, 0, 0].item() + 1) * 127.5)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items())


def stems(paths: list[str]) -> list[str]:
    return [Path(path).stem for path in paths]


def noisy_pairs(tmp_path: Path, count: int = 6) -> None:
    for domain in "AB":
        (tmp_path / f"train{domain}").mkdir()
        for index in range(count):
            pixels = np.random.default_rng([index, ord(domain)]).integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"train{domain}" / f"{index}.png")


def test_the_larger_domain_gives_the_length_and_a_comes_by_index(options, paint):
    paint("trainA", 3), paint("trainB", 5)
    dataset = build(options())
    assert len(dataset) == 5
    assert [number(dataset[index]["A"]) for index in range(5)] == [0, 1, 2, 0, 1]
    item = dataset[4]
    assert item["A"].shape == item["B"].shape == (3, 8, 8)
    assert item["A_paths"].endswith("trainA/001.png") and "/trainB/" in item["B_paths"]


def test_b_is_random_unless_serial(options, paint):
    paint("trainA", 8), paint("trainB", 4)
    dataset = build(options())
    drawn = [[number(dataset[Position(epoch, index)]["B"]) for index in range(8)] for epoch in (1, 2, 3)]
    assert set(sum(drawn, [])) == {0, 1, 2, 3} and drawn[0] != drawn[1] != drawn[2]
    serial = build(options(serial_batches=True))
    assert [number(serial[index]["B"]) for index in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_an_item_is_a_function_of_seed_epoch_and_index(options, tmp_path):
    noisy_pairs(tmp_path)
    first, second = build(options(seed=4)), build(options(seed=4))
    item = first[Position(2, 3)]
    for index in (5, 0, 3):  # what else was asked for before, and the global state, change nothing
        torch.manual_seed(index)
        second[Position(1, index)]
    assert same(item, second[Position(2, 3)])
    assert same(item, pickle.loads(pickle.dumps(first))[Position(2, 3)])  # as spawned workers get it
    assert same(first[3], first[Position(1, 3)])
    assert not same(item, first[Position(3, 3)])
    assert not same(item, build(options(seed=5))[Position(2, 3)])


def test_past_n_epochs_the_whole_image_is_resized(options, tmp_path):
    noisy_pairs(tmp_path)
    dataset = build(options(n_epochs=3, no_flip=True, serial_batches=True))
    early = [dataset[Position(epoch, 0)]["A"] for epoch in (1, 2, 3)]
    late = [dataset[Position(epoch, 0)]["A"] for epoch in (4, 5, 6)]
    assert not (torch.equal(early[0], early[1]) and torch.equal(early[1], early[2]))  # crops of 8 from 12
    whole = build(options(load_size=8, no_flip=True, serial_batches=True))[0]["A"]
    assert all(torch.equal(image, whole) for image in late)


@pytest.mark.parametrize(("direction", "channels"), [("AtoB", (1, 3)), ("BtoA", (3, 1))])
def test_the_input_domain_has_input_nc_channels(options, paint, direction, channels):
    paint("trainA", 1), paint("trainB", 1)
    item = build(options(direction=direction, input_nc=1, output_nc=3))[0]
    assert (item["A"].shape[0], item["B"].shape[0]) == channels


def test_max_dataset_size_limits_each_domain(options, paint):
    paint("trainA", 5), paint("trainB", 7)
    dataset = build(options(max_dataset_size=4))
    assert len(dataset) == 4 and len(dataset.domains["A"]) == len(dataset.domains["B"]) == 4


class TestTranslation:
    """The same data set with isTrain off."""

    def test_every_input_once_plain_and_whole(self, options, paint):
        paint("testA", 3, size=(7, 9)), paint("testB", 5)
        dataset = build(options(isTrain=False, phase="test", preprocess="none"))
        assert len(dataset) == 3
        assert dataset[0]["A"].shape == (3, 9, 7)
        assert [number(dataset[index]["B"]) for index in range(3)] == [0, 1, 2]

    def test_no_mirroring(self, options, tmp_path):
        noisy_pairs(tmp_path)
        dataset = build(options(isTrain=False, load_size=8))
        epochs = [dataset[Position(epoch, 0)]["A"] for epoch in range(1, 12)]
        assert all(torch.equal(image, epochs[0]) for image in epochs)

    def test_images_of_the_same_name_go_together(self, options, paint):
        paint("testA", 5)[0].unlink()
        paint("testB", 6)
        dataset = build(options(isTrain=False, phase="test", max_dataset_size=2))
        assert [(number(item["A"]), number(item["B"])) for item in dataset] == [(1, 1), (2, 2)]

    def test_without_common_names_they_go_by_place(self, options, paint):
        for path in paint("testA", 3):
            path.rename(path.with_name("x" + path.name))
        paint("testB", 2)
        dataset = build(options(isTrain=False, phase="test"))
        assert [(number(item["A"]), number(item["B"])) for item in dataset] == [(0, 0), (1, 1), (2, 0)]

    def test_the_other_domain_may_be_missing(self, options, paint):
        paint("testA", 2)
        assert build(options(isTrain=False, phase="test"))[0].keys() == {"A", "A_paths"}

    def test_val_serves_where_test_is_missing(self, options, paint):
        paint("valA", 2), paint("valB", 3), paint("trainA", 5)
        dataset = build(options(isTrain=False, phase="test"))
        assert len(dataset) == 2 and "/valA/" in dataset[0]["A_paths"] and "/valB/" in dataset[0]["B_paths"]

    def test_the_training_images_can_be_translated(self, options, paint):
        paint("trainA", 4), paint("trainB", 2)
        dataset = build(options(isTrain=False, phase="train"))
        assert [number(item["A"]) for item in dataset] == [0, 1, 2, 3]

    @pytest.mark.parametrize("mode", ["unaligned", "single"])
    @pytest.mark.parametrize(("direction", "domain"), [("AtoB", "A"), ("BtoA", "B")])
    def test_a_folder_or_an_image_is_the_input(self, options, paint, tmp_path, mode, direction, domain):
        paint("some", 2), paint("some/below", 1)
        opt = options(isTrain=False, phase="test", direction=direction, dataset_mode=mode,
                      dataroot=str(tmp_path / "some"))
        dataset = build(opt)
        assert [item.keys() for item in dataset] == [{domain, f"{domain}_paths"}] * 3
        names = [dataset.relative_name(domain, item[f"{domain}_paths"]) for item in dataset]
        assert names == ["000", "001", "below/000"]
        opt.dataroot = str(tmp_path / "some" / "001.png")
        image = build(opt)
        assert len(image) == 1 and number(image[0][domain]) == 1
        assert image.relative_name(domain, image[0][f"{domain}_paths"]) == "001"

    def test_b_is_the_input_with_direction_b_to_a(self, options, paint):
        paint("testA", 5), paint("testB", 2)
        dataset = build(options(isTrain=False, phase="test", direction="BtoA"))
        assert [(number(item["A"]), number(item["B"])) for item in dataset] == [(0, 0), (1, 1)]

    def test_a_bad_image_is_absent_and_named(self, options, paint):
        bad = paint("testA", 3)[1]
        bad.write_bytes(b"")
        paint("testB", 3)[2].write_bytes(b"")
        items = list(build(options(isTrain=False, phase="test")))
        assert "A" not in items[1] and items[1]["bad"][0].startswith(f"{bad}: ")
        assert "B" not in items[2] and "A" in items[2] and "bad" not in items[0]


class TestErrors:
    """Each names the path, what should be there and what is."""

    def refused(self, opt) -> str:
        with pytest.raises(UsageError) as error:
            build(opt)
        assert "\n" not in str(error.value)
        return str(error.value)

    def test_dataroot_not_given(self, options):
        assert "--dataroot is not given" in self.refused(options(dataroot="placeholder"))

    def test_dataroot_missing(self, options):
        assert "'/no/such'" in self.refused(options(dataroot="/no/such"))

    @pytest.mark.parametrize("phase", ["train", "test"])
    def test_folder_missing(self, options, paint, tmp_path, phase):
        paint("trainB", 1)
        message = self.refused(options(phase=phase, isTrain=phase == "train"))
        assert str(tmp_path / f"{phase}A") in message and "holds trainB" in message and "--phase" in message

    def test_other_domain_missing_in_training(self, options, paint, tmp_path):
        paint("trainA", 1)
        assert str(tmp_path / "trainB") in self.refused(options())

    def test_folder_without_images(self, options, paint, tmp_path):
        paint("trainB", 1)
        (tmp_path / "trainA").mkdir()
        assert "holds nothing" in self.refused(options())
        (tmp_path / "trainA" / "notes.txt").touch()
        message = self.refused(options())
        assert "holds notes.txt" in message and ".jpg" in message

    def test_an_image_as_dataroot_in_training(self, options, paint):
        assert "no folder" in self.refused(options(dataroot=str(paint("trainA", 1)[0])))

    @pytest.mark.parametrize(("direction", "flag"), [("AtoB", "--input_nc"), ("BtoA", "--output_nc")])
    def test_number_of_channels(self, options, paint, direction, flag):
        paint("trainA", 1), paint("trainB", 1)
        changed = {flag[2:]: 4}
        assert f"{flag} is 4" in self.refused(options(direction=direction, **changed))

    def test_training_on_a_single_domain(self, options, paint):
        paint("trainA", 1)
        assert "no domain B" in self.refused(options(dataset_mode="single"))

    def test_unknown_data_set(self, options):
        with pytest.raises(UsageError, match="--dataset_mode is 'cubes'.*single.*unaligned"):
            find_dataset("cubes")
