"""Kept images against freshly decoded ones: bit-equal, bounded, shared, gone with the process."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader
from data.image_cache import HEADER, ImageCache, remove_orphans


@pytest.fixture
def images(tmp_path):
    """Ten noisy JPEGs a domain."""
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        for i in range(10):
            pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.jpg")


def epochs(opt, numbers=(1, 2, 11)):
    loader = create_loader(opt)
    batches = []
    for epoch in numbers:
        loader.set_epoch(epoch)
        batches += list(loader)
    return batches


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_images_are_bit_equal(options, images, cache, workers):
    plain = epochs(options(n_epochs=10))
    kept = epochs(options(n_epochs=10, cache=cache, num_threads=workers))
    for a, b in zip(plain, kept, strict=True):
        assert torch.equal(a["A"], b["A"]) and torch.equal(a["B"], b["B"]) and a["A_paths"] == b["A_paths"]


def test_a_kept_image_is_not_decoded_again(options, images, tmp_path, monkeypatch):
    opt = options(cache="disk", cache_dir=str(tmp_path / "kept"))
    first = epochs(opt, numbers=(1,))
    for path in tmp_path.glob("train*/*.jpg"):    # the same time and size, but no image any more
        state = path.stat()
        path.write_bytes(bytes(state.st_size))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert all(torch.equal(a["A"], b["A"]) for a, b in zip(first, epochs(opt, numbers=(1,)), strict=True))


def test_a_changed_file_is_another_image(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    cache = ImageCache(tmp_path / "kept", 1e6)
    cache.put(str(path), (), Image.new("RGB", (4, 4), (1, 2, 3)))
    assert cache.get(str(path), ()).getpixel((3, 3)) == (1, 2, 3)
    assert cache.get(str(path), ("other words",)) is None
    os.utime(path, (1, 1))
    assert cache.get(str(path), ()) is None


def test_a_missing_file_is_a_bad_image_with_a_cache_too(options, images, tmp_path, capfd):
    loader = create_loader(options(cache="ram"))
    (tmp_path / "trainA" / "3.jpg").unlink()
    assert len(list(loader)) == 10
    assert loader.bad == [f"{tmp_path / 'trainA' / '3.jpg'}: not a file, or a link to nothing"]


@pytest.mark.parametrize("room,expected", [(0, 0), (1, 1), (2.5, 2)])
def test_the_limit_holds_and_counts_what_lies_there(tmp_path, room, expected):
    size = HEADER.size + 4 * 4
    for attempt in range(2):    # the second cache finds the first one's files
        cache = ImageCache(tmp_path / "kept", room * size)
        for i in range(5):
            path = tmp_path / f"{i}.png"
            Image.new("L", (4, 4), i).save(path)
            os.utime(path, (1, 1))
            cache.put(str(path), (attempt,), Image.new("L", (4, 4), i))
            kept = cache.get(str(path), (attempt,))
            assert kept is None or kept.getpixel((3, 3)) == i
        assert len(list((tmp_path / "kept").iterdir())) == expected


def test_memory_is_given_back(options, images, tmp_path):
    code = ("import sys; from argparse import Namespace; from data.image_cache import create_cache; "
            "print(create_cache(Namespace(isTrain=True, cache='ram', cache_limit=1.0)).folder)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not os.path.exists(done.stdout.strip())


def test_memory_of_killed_processes_is_given_back(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f"cut-images-{dead.pid}-ab").mkdir()
    (tmp_path / f"cut-images-{os.getpid()}-ab").mkdir()
    remove_orphans(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"cut-images-{os.getpid()}-ab"]
