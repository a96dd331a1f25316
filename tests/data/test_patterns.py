"""--dataroot as a pattern: which images it stands for, and what their results are called."""

import os

import pytest

from data import create_loader
from data.image_folder import is_pattern, match_images
from util.errors import UsageError


@pytest.fixture
def photos(tmp_path, paint):
    """001.png, sub/001.png, sub/deep/001.png, and what no pattern should find."""
    for folder in ("photos", "photos/sub", "photos/sub/deep", "photos/.hidden"):
        paint(folder, 2)[0].unlink()
    (tmp_path / "photos" / "text.txt").write_text("no image")
    (tmp_path / "photos" / "sub" / "circle").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.mark.parametrize("pattern, expected, folder", [
    ("*.png", ["001.png"], ""),
    ("**/*.png", ["001.png", "sub/001.png", "sub/deep/001.png"], ""),
    ("**", ["001.png", "sub/001.png", "sub/deep/001.png"], ""),
    ("sub/**/0*", ["sub/001.png", "sub/deep/001.png"], "sub"),
    ("*/001.png", ["sub/001.png"], ""),
    ("sub/d??p/[0-9]*.png", ["sub/deep/001.png"], "sub")])
def test_what_a_pattern_finds(photos, pattern, expected, folder):
    found, paths = match_images(str(photos / pattern))
    assert [os.path.relpath(path, photos) for path in paths] == expected
    assert found == os.path.normpath(photos / folder)
    assert match_images(str(photos / pattern), limit=1)[1] == paths[:1]


@pytest.mark.parametrize("pattern", ["*.gif", "*.txt", "nowhere/*.png", "sub/circle"])
def test_a_pattern_that_finds_nothing(photos, pattern):
    with pytest.raises(UsageError, match="no image .* matches the pattern"):
        match_images(str(photos / pattern.replace("circle", "circl[e]")))


def test_a_folder_that_looks_like_a_pattern_is_a_folder(tmp_path, paint, options):
    paint("a[1]", 2)
    root = str(tmp_path / "a[1]")
    assert not is_pattern(root) and is_pattern(str(tmp_path / "*"))
    assert len(create_loader(options(isTrain=False, phase="test", dataroot=root)).dataset) == 2


@pytest.mark.parametrize("mode", ["single", "unaligned"])
def test_a_pattern_is_a_data_set_to_translate_and_none_to_train_on(photos, options, mode):
    opt = options(isTrain=False, phase="test", dataroot=str(photos / "**" / "*.png"), dataset_mode=mode)
    dataset = create_loader(opt).dataset
    names = [dataset.relative_name("A", path) for path in dataset.inputs()]
    assert names == ["001", "sub/001", "sub/deep/001"]
    assert [dataset[i]["A_paths"] for i in range(3)] == dataset.inputs()
    opt.isTrain, opt.dataset_mode = True, "unaligned"
    with pytest.raises(UsageError, match="which does not exist"):
        create_loader(opt)
