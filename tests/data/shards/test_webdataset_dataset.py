"""What is read from shards equals what is read from the folders that they were made of."""

import pickle
import tarfile
from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader
from data.evaluation_split import evaluation_split, fixed_inputs
from data.image_cache import ImageCache
from data.shards.index import index_path, read_index
from options.train_options import TrainOptions
from tests.data.shards.conftest import pack_all
from util.errors import DataError, UsageError

Batches = list[dict]


def batches(opt: Namespace, epoch: int = 1, skip: int = 0) -> Batches:
    loader = create_loader(opt)
    loader.set_epoch(epoch, skip)
    return list(loader)


def assert_equal(shards: Batches, folders: Batches) -> None:
    """Tensors in every bit, and names below the data set's folder."""
    assert len(shards) == len(folders) > 0
    for one, other in zip(shards, folders, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[key])
            elif key.endswith("_paths"):
                assert [path.split("/packed/")[1] for path in value] == [
                    path.split("/folder/")[1] for path in other[key]]


@pytest.mark.parametrize("changes", [
    {}, {"batch_size": 3, "num_threads": 2}, {"direction": "BtoA", "serial_batches": True},
    {"companions": "mask=trainA_mask"}, {"max_dataset_size": 5}, {"cache": "ram"},
    {"isTrain": False, "phase": "test"}, {"isTrain": False, "phase": "train", "value_range": "auto"}],
    ids=lambda changes: ", ".join(changes) or "plain")
def test_an_epoch_equals_that_of_the_folders(changes, folder, packed, shard_options) -> None:
    for epoch in (1, 2):
        assert_equal(batches(shard_options(packed, **changes), epoch),
                     batches(shard_options(folder, mode="unaligned", **changes), epoch))


def test_the_test_split_equals_that_of_the_folders(folder, packed) -> None:
    """The images of an evaluation, whole and in ranks' parts, and those that are shown as a run goes on."""
    def read(root: Path, mode: str, part: slice) -> list[dict[str, np.ndarray]]:
        flags = f"--dataroot {root} --dataset_mode {mode} --gpu_ids -1 --evaluation_freq 1 --fixed_images 2"
        opt = TrainOptions().parse(flags.split())
        return [images.read(part=part) for images in (*evaluation_split(opt), fixed_inputs(opt))]

    for part in (slice(None), slice(0, 1), slice(1, 3)):
        both = read(packed, "webdataset", part), read(folder, "unaligned", part)
        for found, expected in zip(*both, strict=True):
            assert [*found] == [*expected]
            assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_16_bits_and_arrays_keep_their_depth(folder, shard_options) -> None:
    random = np.random.default_rng(1)
    for side, deep in (("trainA", random.random((20, 20, 3))), ("trainB", random.random((20, 20)))):
        np.save(folder / side / "deep.npy", deep.astype(np.float32))
        np.savez(folder / side / "zipped.npz", (deep * 60000).astype(np.uint16))
    packed = pack_all(folder, folder.parent / "packed")
    changes = dict(value_range="0:1", input_nc=3, output_nc=3)
    found = batches(shard_options(packed, **changes))
    assert_equal(found, batches(shard_options(folder, mode="unaligned", **changes)))
    assert any(path.endswith(".npy") for batch in found for path in batch["A_paths"])


def test_16_bit_png_and_tiff_keep_their_depth(folder, shard_options) -> None:
    imagecodecs, tifffile = pytest.importorskip("imagecodecs"), pytest.importorskip("tifffile")
    deep = np.random.default_rng(1).integers(0, 65536, (20, 20, 3), dtype=np.uint16)
    for side in ("trainA", "trainB"):
        (folder / side / "deep.png").write_bytes(imagecodecs.png_encode(deep))
        tifffile.imwrite(folder / side / "deep.tif", deep, photometric="rgb")
    packed = pack_all(folder, folder.parent / "packed")
    assert_equal(batches(shard_options(packed, value_range="auto")),
                 batches(shard_options(folder, mode="unaligned", value_range="auto")))


def test_shards_of_others_need_no_index(folder, packed, shard_options) -> None:
    """tar files as any program writes them, in a folder each; the program tar sorts by itself."""
    for name in ("trainA", "trainB"):
        (packed.parent / "others" / name).mkdir(parents=True)
        with tarfile.open(packed.parent / "others" / name / "x.tar", "w") as tar:
            for path in sorted((folder / name).rglob("*.*")):
                tar.add(path, f"./{path.relative_to(folder / name)}")
            (folder / "note.txt").write_text("no image")
            tar.add(folder / "note.txt", "note.txt")
    found = batches(shard_options(packed.parent / "others"))
    expected = batches(shard_options(folder, mode="unaligned"))
    assert all(torch.equal(one["A"], other["A"]) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("changes", [{}, {"shards_window": 2, "batch_size": 2}], ids=["folder", "window"])
def test_an_epoch_goes_on_where_it_stopped_with_any_workers(changes, packed, shard_options) -> None:
    whole = batches(shard_options(packed, **changes), epoch=3)
    for workers in (0, 2):
        rest = batches(shard_options(packed, num_threads=workers, **changes), epoch=3, skip=6)
        expected = whole[6 // changes.get("batch_size", 1):]
        for one, other in zip(rest, expected, strict=True):
            assert torch.equal(one["A"], other["A"]) and torch.equal(one["B"], other["B"])
            assert one["A_paths"] == other["A_paths"]


def test_windows_take_both_domains_from_few_shards_in_turn(packed, shard_options) -> None:
    """The larger domain comes once an epoch, the other again and again; epochs differ."""
    epochs = [batches(shard_options(packed, shards_window=1), epoch) for epoch in (1, 2)]
    for found in epochs:
        assert len({batch["A_paths"][0] for batch in found}) == len(found) == 11
        counts = Counter(batch["B_paths"][0] for batch in found)
        assert sorted(counts.values()) == [1, 1, 1, 2, 2, 2, 2]
    assert [b["A_paths"] for b in epochs[0]] != [b["A_paths"] for b in epochs[1]]


def test_a_pattern_chooses_shards(packed, shard_options) -> None:
    opt = shard_options(packed, shards_A="trainA-{000000..000001}.tar",
                        shards_B=f"{packed}/trainB-00000{{0,1}}.tar")
    assert len(create_loader(opt).dataset.domains["A"]) == 8


def test_images_whose_bytes_changed_are_named_and_many_end_the_run(packed, shard_options) -> None:
    shard = packed / "trainA-000001.tar"
    data = bytearray(shard.read_bytes())
    data[read_index(index_path(shard)).offsets[0] + 100] ^= 1       # within the first image
    shard.write_bytes(data)
    loader = create_loader(shard_options(packed))
    assert len(list(loader)) == 11
    assert len(loader.bad) == 1 and "are not those that were packed (CRC-32)" in loader.bad[0]
    shard.write_bytes(bytes(len(data)))
    with pytest.raises(DataError, match="images in a row cannot be read|of 18 images cannot be read"):
        for epoch in (1, 2, 3):
            batches(shard_options(packed), epoch)


def test_a_shard_cut_off_while_the_run_goes_on_is_named(packed, shard_options) -> None:
    loader = create_loader(shard_options(packed))
    for name in ("000000", "000001", "000002"):
        with open(packed / f"trainA-{name}.tar", "r+b") as stream:
            stream.truncate(100)
    with pytest.raises(DataError, match="is cut off"):
        list(loader)


def test_a_mask_of_another_size_is_said_at_once_or_when_it_is_read(folder, shard_options,
                                                                  monkeypatch) -> None:
    Image.new("L", (9, 8)).save(folder / "trainA_mask" / "ä9.png")
    packed = pack_all(folder, folder.parent / "packed")
    opt = shard_options(packed, companions="mask=trainA_mask")
    with pytest.raises(UsageError, match="measures 9x8 pixels, but"):
        create_loader(opt)
    monkeypatch.setattr("data.webdataset_dataset.SIZES_AT_START", 1)
    loader = create_loader(opt)
    with pytest.raises(UsageError, match="measures 9x8 pixels, but"):
        list(loader)


def test_images_are_kept_in_arrays_and_travel_as_paths(packed, shard_options) -> None:
    """A million images would take about 60 MB: here the arrays are counted."""
    images = create_loader(shard_options(packed)).dataset.domains["A"].paths
    held = sum(array.nbytes for array in vars(images).values() if isinstance(array, np.ndarray))
    assert held <= 11 * 45 + 3 * 8
    path = pickle.loads(pickle.dumps(images[3]))
    assert type(path) is str and path == images[3] and path.startswith(f"{packed}/trainA/")


def test_the_cache_keeps_images_of_shards(packed, shard_options) -> None:
    dataset = create_loader(shard_options(packed, cache="disk")).dataset
    first, kept = dataset[0], list((packed.parent / "cache").glob("*.raw"))
    assert isinstance(dataset._cache, ImageCache) and len(kept) == 2
    assert torch.equal(dataset[0]["A"], first["A"])


def test_the_library_webdataset_reads_our_shards(packed, folder) -> None:
    """An oracle: its samples are our images' bytes, in our order."""
    library = pytest.importorskip("webdataset")
    shards = [str(path) for path in sorted(packed.glob("trainA-*.tar"))]
    samples = list(library.WebDataset(shards, shardshuffle=False))
    found = {f"{sample['__key__']}.{ending}": data for sample in samples for ending, data in sample.items()
             if ending in ("png", "jpg")}
    assert found == {str(path.relative_to(folder / "trainA")): path.read_bytes()
                     for path in (folder / "trainA").rglob("*.*")}
