"""Training, scoring and test.py on volumes and series: from files to files of the same format."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader
from data.readers import read_image, slices
from data.readers.ranges import Percentiles, Range, ValueRange
from data.transforms import to_tensor
from models.translator import Translator
from options.train_options import TrainOptions
from tests.data.readers.test_runs import GREY, SHORT, TINY, program
from tests.data.readers.volume_files import write_dicom, write_hdf5, write_nifti, write_tiff
from tests.exported import exported
from util.errors import UsageError

SHAPE = (18, 22, 5)     # of volumes, the slices along the last axis


def volume(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(300, 400, SHAPE).round()


def nifti(path: Path, seed: int) -> None:
    write_nifti(path.with_suffix(".nii.gz"), volume(seed).astype(np.int16))


def hdf5(path: Path, seed: int) -> None:
    write_hdf5(path.with_suffix(".h5"), images=volume(seed).astype(np.float32).transpose(2, 0, 1))


def pages(path: Path, seed: int) -> None:
    write_tiff(path.with_suffix(".tif"), volume(seed).astype(np.float32).transpose(2, 0, 1))


def arrays(path: Path, seed: int) -> None:
    np.save(path.with_suffix(".npy"), volume(seed).astype(np.float64).transpose(2, 0, 1))


def series(path: Path, seed: int) -> None:
    """A folder of one file a slice."""
    path.mkdir()
    for number, image in enumerate(volume(seed).astype(np.int16).transpose(2, 0, 1)):
        write_dicom(path / f"{number}.dcm", image, number=number)


def paint(root: Path, write: Callable[[Path, int], None]) -> None:
    for seed, folder in enumerate(("trainA", "trainB", "testA", "testB")):
        (root / folder).mkdir(parents=True)
        write(root / folder / "scan", seed)


@pytest.mark.parametrize("write,value_range,scale", [
    (nifti, "window:300:1600", ValueRange((-500, 1100))), (nifti, "p1:p99", Percentiles(1, 99)),
    (hdf5, "-500:1100", ValueRange((-500, 1100))), (pages, "p5:p95", Percentiles(5, 95)),
    (arrays, "-500:1100", ValueRange((-500, 1100))), (series, "-1500:1000", ValueRange((-1500, 1000)))],
    ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_run_on_volumes(tmp_path, monkeypatch, write, value_range, scale):
    """Trained slice by slice, scored and shown; what is written is G's output in the numbers of the input."""
    paint(tmp_path / "data", write)
    program(monkeypatch, tmp_path, "train.py", *TINY, *GREY, f"--value_range={value_range}", *SHORT,
            "--evaluation_freq", "5", "--evaluation_metrics", "psnr,ssim,swd")
    run = tmp_path / "run"
    scores = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    assert len(scores["metrics"]) == 3
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none")
    images = tmp_path / "results" / "run" / "test_latest" / "images"
    sources = sorted(path for path in (tmp_path / "data" / "testA").rglob("*") if path.is_file())
    translate = Translator.load(run, device="cpu")
    for source in sources:
        made = images / "fake_B" / source.relative_to(tmp_path / "data" / "testA")
        for given, written in zip(slices(str(source)), slices(str(made)), strict=True):
            check_slice(given, written, scale, translate)
    assert len(list((images / "fake_B").rglob("*.png"))) == len(list((images / "real_A").rglob("*.png"))) == 5
    assert len(list((images / "fake_B").rglob("*"))) == 5 + len(sources) + 1    # and a folder
    assert (images.parent / "index.html").read_text().count("fake_B/scan/") >= 5


def check_slice(given: str, written: str, scale: Range, translate: Translator) -> None:
    """A file's own bounds, as the reader found them, are those of what is written."""
    source = read_image(given, 1, scale)
    low, high = source.bounds
    made = read_image(written, 1, ValueRange((low, high)))
    assert made.depth == source.depth
    exact = translate(to_tensor(source))
    step = 2 / (high - low) if source.depth.startswith("int") else 0
    assert (to_tensor(made) - exact).abs().max() <= step / 2 + 1e-5
    assert np.array_equal(np.asarray(translate(given)),
                          ((exact[0] + 1) * 127.5).round().to(torch.uint8).numpy())


def test_lists_name_data_sets_of_hdf5(tmp_path, monkeypatch):
    """A row's volume is as many images, each with the row's columns."""
    write_hdf5(tmp_path / "all.h5", ct=volume(0).astype(np.int16).transpose(2, 0, 1),
               mr=volume(1).astype(np.int16).transpose(2, 0, 1))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "list.csv").write_text("A,B,split\n../all.h5:ct,../all.h5:mr,train\n"
                                                "../all.h5:ct,../all.h5:mr,test\n")
    flags = ["--dataroot", str(tmp_path / "data" / "list.csv")]
    program(monkeypatch, tmp_path, "train.py", *TINY, *GREY, "--value_range=-1000:2000", *SHORT,
            "--dataset_mode", "aligned", "--evaluation_freq", "5", *flags)
    assert (tmp_path / "run" / "evaluations.jsonl").exists()
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none", *flags)
    fakes = tmp_path / "results" / "run" / "test_latest" / "images" / "fake_B"
    assert (fakes / "all" / "ct.h5").exists() and len(list((fakes / "all" / "ct").iterdir())) == 5
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none", "--results_dir", str(tmp_path / "two"),
            "--dataset_mode", "single", "--dataroot", f"{tmp_path / 'all.h5'}:mr")
    assert (tmp_path / "two" / "run" / "test_latest" / "images" / "fake_B" / "all" / "mr.h5").exists()


def test_epochs_of_slices_are_a_function_of_their_number(tmp_path):
    """Every slice comes once, whatever order the files are in; --max_dataset_size counts slices."""
    paint(tmp_path, arrays)
    flags = ["--dataroot", str(tmp_path), "--gpu_ids", "-1", "--value_range=-500:1100", *GREY,
             "--preprocess", "none", "--checkpoints_dir", str(tmp_path), "--num_threads"]

    def epoch(threads: str, *more: str) -> list[str]:
        loader = create_loader(TrainOptions().parse([*flags, threads, *more]))
        loader.set_epoch(2)
        return [path for batch in loader for path in batch["A_paths"]]
    paths = epoch("0")
    assert paths == epoch("2") and sorted(paths) == slices(str(tmp_path / "trainA" / "scan.npy"))
    assert len(epoch("0", "--max_dataset_size", "3")) == 3


@pytest.mark.parametrize("flags,words", [
    (["--value_range", "p99:p1"], "--value_range is 'p99:p1'; give auto, or two numbers"),
    (["--value_range", "window:40:0"], "--value_range is 'window:40:0'"),
    (["--value_range", "0:1", "--slice_axis", "3"], "--slice_axis: invalid choice"),
    ([], r"but holds scan.nii.gz; see --dataroot and --phase; --value_range reads '.*scan.nii.gz'")], ids=str)
def test_what_cannot_be_trained_gets_one_line(tmp_path, monkeypatch, capsys, flags, words):
    paint(tmp_path / "data", nifti)
    with pytest.raises(SystemExit) as ended:
        program(monkeypatch, tmp_path, "train.py", *TINY, *flags)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and re.search(words, error) and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rows", ["a.npy,b.npy\nb.npy,c.npy\n", "b.npy,c.npy\na.npy,b.npy\n"])
def test_pairs_of_volumes_of_two_lengths_are_refused(tmp_path, monkeypatch, capsys, rows):
    for name, count in (("a", 3), ("b", 4), ("c", 4)):
        np.save(tmp_path / f"{name}.npy", np.zeros((count, 16, 16), np.int16))
    (tmp_path / "list.csv").write_text(f"A,B\n{rows}")
    with pytest.raises(SystemExit):
        program(monkeypatch, tmp_path, "train.py", *TINY, "--value_range", "auto", "--dataset_mode",
                "aligned", "--dataroot", str(tmp_path / "list.csv"))
    assert "a.npy and b.npy are a pair, but hold different numbers of slices" in capsys.readouterr().err


def test_a_translator_without_a_range_says_so(tmp_path, monkeypatch):
    paint(tmp_path / "data", arrays)
    program(monkeypatch, tmp_path, "train.py", *TINY, *GREY, "--value_range=-500:1100", *SHORT)
    translate = Translator.load(tmp_path / "run", device="cpu", value_range="")
    path = str(tmp_path / "data" / "testA" / "scan.npy")
    with pytest.raises(UsageError, match="is read with a --value_range, which the run has not"):
        translate(f"{path}[000]")
    translate = Translator.load(tmp_path / "run", device="cpu")
    with pytest.raises(UsageError, match=r"shape is \(5, 18, 22\), which are 5 slices; name one, as in"):
        translate(path)


def test_one_channel_through_everything(tmp_path, monkeypatch):
    """Features, which judge 8 bits of three channels, fixed images, the gallery, the page of the results."""
    paint(tmp_path / "data", arrays)
    program(monkeypatch, tmp_path, "train.py", *TINY, *GREY, "--value_range=-500:1100", *SHORT,
            "--evaluation_freq", "5", "--evaluation_metrics", "fid,kid,swd,psnr,ssim", "--fixed_images", "2",
            "--evaluation_features", str(exported()), "--update_html_freq", "5")
    run = tmp_path / "run"
    scores = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])["metrics"]
    assert all(np.isfinite(value) for value in scores.values()) and len(scores) == 5
    shown = [np.asarray(Image.open(path)) for path in (run / "web").rglob("*.png")]
    assert shown and all(image.ndim == 2 for image in shown)


def test_transparency_is_put_back_where_it_is_asked_for(tmp_path, monkeypatch):
    """And nothing else changes: the colours are those of a translation without the flag."""
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(2):
            values = random.integers(0, 256, (16, 20, 4), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "data" / folder / f"{number}.png")
    program(monkeypatch, tmp_path, "train.py", *TINY, *SHORT)
    made = tmp_path / "results" / "run" / "test_latest" / "images" / "fake_B" / "0.png"
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none")
    without = Image.open(made)
    without.load()
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none", "--keep_alpha")
    alpha = np.asarray(Image.open(tmp_path / "data" / "testA" / "0.png"))[..., 3]
    assert without.mode == "RGB"
    assert np.array_equal(np.asarray(Image.open(made)), np.dstack([np.asarray(without), alpha]))


def test_arrays_have_percentiles_of_their_own(tmp_path, monkeypatch):
    """A Translator takes an array as test.py takes a file of it."""
    paint(tmp_path / "data", arrays)
    program(monkeypatch, tmp_path, "train.py", *TINY, *GREY, "--value_range", "p10:p90", *SHORT)
    translate = Translator.load(tmp_path / "run", device="cpu")
    image = volume(7)[..., 0].astype(np.float32)
    low, high = np.percentile(image, [10, 90])
    tensor = torch.from_numpy(((image - low) / (high - low) * 2 - 1).clip(-1, 1))[None].float()
    expected = (translate(tensor)[0].numpy() + 1) / 2 * (high - low) + low
    assert np.abs(translate(image) - expected).max() < 1e-2
    with pytest.raises(UsageError, match="percentiles 10 and 90 are both 3"):
        translate(np.full((16, 16), 3, np.float32))
