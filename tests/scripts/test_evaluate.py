"""scripts/evaluate.py on small folders, against NumPy and by its messages."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import sqrtm

from scripts import evaluate
from tests.exported import exported, write_images
from util.errors import RunError, UsageError


@pytest.fixture
def score(monkeypatch, capsys):
    def run(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        evaluate.main()
        return capsys.readouterr().out
    return run


def moments(images: list[np.ndarray]) -> np.ndarray:
    values = np.stack(images) / 255
    return np.concatenate([values.mean(axis=(1, 2)), (values ** 2).mean(axis=(1, 2))], axis=1)


def test_scores_are_numpys_and_the_json_holds_the_protocol(tmp_path, score):
    real = write_images(tmp_path / "real", 30, seed=1)
    images = tmp_path / "results" / "name" / "test_latest" / "images" / "fake_B"
    fake = write_images(images, 24, seed=2, names="other{:02}.png")
    out = score("--real", tmp_path / "real", "--fake", images, "--features", exported(), "--batch_size", "7")

    found = json.loads((images.parents[1] / "metrics.json").read_text())
    a, b = moments(real), moments(fake)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(cov_a @ cov_b).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root)
    frechet = found["figures"]["Frechet distance"]
    assert frechet["value"] == pytest.approx(expected, rel=1e-3)
    assert (frechet["real"], frechet["fake"], frechet["resize"]) == (30, 24, "bicubic to 16 x 16")
    assert found["figures"]["kernel distance x 1000"]["spread"] > 0
    assert "PSNR, dB" not in found["figures"]                           # no fake has a real of its name
    assert any("24 images are fewer than 2,048" in line for line in found["warnings"])
    assert re.search(r"^Frechet distance .* 30 / 24 +bicubic to 16 x 16$", out, re.MULTILINE)
    assert "warning: 24 images" in out and f"written to {images.parents[1] / 'metrics.json'}" in out


def test_equal_names_are_paired_in_subfolders_too(tmp_path, score):
    truth = write_images(tmp_path / "real" / "sub", 4, seed=1)
    write_images(tmp_path / "real", 2, seed=9, names="more{}.png")
    for folder in (tmp_path / "real" / "sub").iterdir():
        (tmp_path / "fake" / "sub").mkdir(parents=True, exist_ok=True)
        shifted = np.asarray(Image.open(folder)) ^ 16           # every value 16 off: 20 log10(255 / 16) dB
        Image.fromarray(shifted).save(tmp_path / "fake" / "sub" / folder.name)
    out = score("--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported())
    assert len(truth) == 4
    row = re.search(r"PSNR, dB +([\d.]+) +higher +(\d+) / (\d+)", out)
    assert float(row[1]) == pytest.approx(20 * np.log10(255 / 16), abs=0.01) and row[2] == row[3] == "4"
    assert "written to" not in out


def test_size_brings_both_sides_to_one_and_is_said(tmp_path, score):
    write_images(tmp_path / "real", 4, size=(30, 20))
    write_images(tmp_path / "fake", 4, size=(16, 16))
    folders = "--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported()
    with pytest.raises(UsageError, match=r"00 is 16 x 16 in --fake, 30 x 20 in --real; .*--size 16"):
        score(*folders)
    out = score(*folders, "--size", "12", "--resize", "box")
    assert "4 images of 12 x 12" in out and "box to 12 x 12, then box to 16 x 16" in out
    assert "differ in size" not in out
    (tmp_path / "fake" / "00.png").rename(tmp_path / "fake" / "unpaired.png")
    assert "warning: real and fake images differ in size" in score(*folders)


@pytest.mark.parametrize(("arguments", "message"), [
    (("--real", "nowhere"), "--real is 'nowhere', which is no folder"),
    (("--fake", "empty"), "--fake is 'empty', which holds no images"),
    (("--fake", "twins"), "--fake twins holds images that differ in their extension alone"),
    (("--fake", "three"), "10 real and 3 fake images are too few"),
    (("--weights", "some.pth"), "give one of the two"),
    (("--size", "0"), "--size is 0; it must be at least 1"),
    (("--features", "nowhere.pt2"), "there is no file nowhere.pt2"),
])
def test_mistakes_are_said_in_one_line(tmp_path, monkeypatch, score, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder, count in (("real", 10), ("fake", 10), ("three", 3), ("twins", 4)):
        write_images(tmp_path / folder, count)
    Image.open(tmp_path / "twins" / "00.png").save(tmp_path / "twins" / "00.jpg")
    given = {"--real": "real", "--fake": "fake", "--features": str(exported())} | dict([arguments])
    with pytest.raises(UsageError, match=re.escape(message)):
        score(*(word for pair in given.items() for word in pair))


def test_a_bad_image_ends_it(tmp_path, score):
    write_images(tmp_path / "real", 5)
    write_images(tmp_path / "fake", 5)
    whole = (tmp_path / "fake" / "03.png").read_bytes()
    (tmp_path / "fake" / "03.png").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(RunError, match="03.png.*repair or remove"):
        score("--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported())


def test_images_too_small_for_a_metric_are_said_in_one_line(tmp_path, score):
    for folder in ("real", "fake"):
        write_images(tmp_path / folder, 4, size=(9, 12))
    with pytest.raises(UsageError, match="SSIM of --fake .* cannot be computed: .* 11 x 11 .* not 9 x 12"):
        score("--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported())


def test_without_torch_fidelity_the_remedy_is_said(tmp_path, monkeypatch, score):
    write_images(tmp_path / "real", 10)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)            # as if it were not installed
    with pytest.raises(UsageError, match=r"pip install -r requirements-eval.txt, or .* --features FILE"):
        score("--real", tmp_path / "real", "--fake", tmp_path / "real")


# ---- more than 8 bits, one channel

def test_scores_are_counted_in_the_range(tmp_path, score):
    """PSNR of a volume's slices by its definition, 20 log10(white - black) - 10 log10(mean squared error)."""
    real = np.random.default_rng(0).uniform(0, 1000, (5, 16, 16)).astype(np.float32)
    fake = real + (real - 500) / 5000           # nowhere as much as a level of 8 bits
    for folder, values in (("real", real), ("fake", fake)):
        (tmp_path / folder / "scan").mkdir(parents=True)
        np.save(tmp_path / folder / "scan.npy", values)
    for number in range(5):                     # beside it, as test.py leaves them, to be looked at
        (tmp_path / "fake" / "scan" / f"{number:03d}.png").write_bytes(b"of no importance")
    folders = "--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported()
    out = score(*folders, "--value_range", "0:1000", "--output", tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())
    error = np.mean((real.astype(np.float64) - fake.clip(0, 1000)) ** 2, axis=(1, 2))
    expected = (60 - 10 * np.log10(error)).mean()
    assert found["figures"]["PSNR, dB"]["value"] == pytest.approx(expected, abs=1e-3)
    assert found["value_range"] == "0:1000" and "5 / 5" in out and "5 images of 16 x 16" in out
    assert 0.999 < found["figures"]["SSIM"]["value"] < 1


@pytest.mark.parametrize("value_range", ["p1:p99", "window"])
def test_a_range_that_differs_from_file_to_file_is_refused(tmp_path, score, value_range):
    with pytest.raises(UsageError, match="scores need one range for both folders, such as lo:hi"):
        score("--real", tmp_path, "--fake", tmp_path, "--value_range", value_range)


def test_files_that_need_a_range_are_named(tmp_path, score):
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    with pytest.raises(UsageError, match="holds no images; .*; --value_range reads '.*a.npy'"):
        score("--real", tmp_path, "--fake", tmp_path, "--features", exported())


def test_16_bits_resized_are_not_rounded(tmp_path, score):
    """A constant stays that constant: PSNR of two that differ by d is 20 log10(65535 / d)."""
    for folder, value in (("real", 1000), ("fake", 1100)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            Image.fromarray(np.full((24, 20), value, np.uint16)).save(tmp_path / folder / f"{number}.png")
    score("--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported(), "--size", "16",
          "--value_range", "auto", "--output", tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())["figures"]["PSNR, dB"]["value"]
    assert found == pytest.approx(20 * np.log10(65535 / 100), abs=0.01)


def test_grey_files_are_scored_as_grey_in_three_channels(tmp_path, score):
    """Equal in all three, so that PSNR is that of the one."""
    random = np.random.default_rng(0)
    pairs = random.integers(0, 256, (4, 2, 16, 16), dtype=np.uint8)
    for number, images in enumerate(pairs):
        for folder, image in zip(("real", "fake"), images, strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
    score("--real", tmp_path / "real", "--fake", tmp_path / "fake", "--features", exported(),
          "--output", tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())["figures"]
    error = ((pairs[:, 0].astype(float) - pairs[:, 1]) ** 2).mean(axis=(1, 2))
    assert found["PSNR, dB"]["value"] == pytest.approx((20 * np.log10(255) - 10 * np.log10(error)).mean())
    assert {"Frechet distance", "kernel distance x 1000", "SWD x 1000", "SSIM"} <= found.keys()
