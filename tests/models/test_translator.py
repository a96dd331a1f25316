"""A run as a function: its images are test.py's, every kind comes back as it came, threads do not mix."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models import create_model
from models.base_model import BaseModel
from models.translator import Translator
from options.describe import save_options
from options.train_options import TrainOptions
from tests import adversarial
from util.errors import UsageError

ROOT = Path(__file__).parents[2]
NETWORK = dict(netG="resnet_4blocks", ngf=2)
SIZE = (23, 18)     # width, height; no multiples of 4


def make_run(folder: Path, *flags: str) -> Path:
    """A run with its opt.json and the weights that it began with."""
    torch.manual_seed(3)
    opt = TrainOptions().parse([*adversarial.SMALL, "--name", folder.name, "--init_gain", "1",
                                "--checkpoints_dir", str(folder.parent), *flags])
    save_options(opt, folder)
    create_model(opt).save_weights(folder, "latest")
    return folder


def paint(seed: int = 0, size: tuple[int, int] = SIZE, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("checkpoints") / "h2z_CUT")


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(paint()).save(path)
    return path


@pytest.fixture(scope="module")
def translate(run) -> Translator:
    return Translator.load(run, device="cpu")


@pytest.fixture(scope="module")
def expected(run, photo, tmp_path_factory) -> np.ndarray:
    """The photo as test.py translates it."""
    return by_test_py(run, photo, tmp_path_factory.mktemp("results"))


def by_test_py(run: Path, photo: Path, results: Path, *flags: str) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [
            "test.py", "--dataroot", str(photo), "--name", run.name, "--gpu_ids", "-1", "--num_threads", "0",
            "--checkpoints_dir", str(run.parent), "--results_dir", str(results), "--dataset_mode", "single",
            "--preprocess", "none", *flags])
        runpy.run_path(str(ROOT / "test.py"), run_name="__main__")
    return np.asarray(Image.open(next(results.glob("**/fake_B/photo.png"))))


# ---- what it makes

def test_every_kind_is_test_pys_image_bit_for_bit(translate, photo, expected):
    assert expected.shape == (18, 23, 3) and expected.std() > 10
    pixels, image = paint(), Image.fromarray(paint())
    assert np.array_equal(translate(str(photo)), expected)
    assert np.array_equal(translate(photo), expected)
    assert np.array_equal(translate(image), expected) and translate(image).mode == "RGB"
    found = translate(pixels)
    assert found.dtype == np.uint8 and np.array_equal(found, expected)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1
    made = translate(tensor)
    assert made.dtype == torch.float32 and made.shape == (3, 18, 23)
    assert np.array_equal(((made + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8), expected)


@pytest.mark.parametrize("flags", [
    ["--model", "cycle_gan"], ["--model", "dclgan"], ["--normG", "batch"], ["--input_nc", "1"],
    ["--output_nc", "1"], ["--model", "munit", "--crop_size", "64", "--load_size", "64"]], ids=" ".join)
def test_other_models_and_channels_are_test_pys_too(flags, photo, tmp_path):
    run = make_run(tmp_path / "run", *flags)
    expected = by_test_py(run, photo, tmp_path / "results")
    assert np.array_equal(translated := np.asarray(Translator.load(run, device="cpu")(photo)), expected)
    assert translated.ndim == (2 if "--output_nc" in flags else 3)


def test_bfloat16_is_test_pys_too(run, photo, tmp_path, expected):
    slight = by_test_py(run, photo, tmp_path, "--precision", "bf16")
    translate = Translator.load(run, device="cpu", precision="bf16")
    assert translate.precision == "bf16" and np.array_equal(translate(photo), slight)
    assert not np.array_equal(slight, expected)


# ---- kinds

@pytest.mark.parametrize("dtype,top,error", [
    (np.uint16, 65535, 1), (">u2", 65535, 1), (np.float32, 1, 1e-6), (np.float64, 1, 1e-6),
    (np.float16, 1, 1e-3)])
def test_arrays_keep_their_depth(translate, dtype, top, error):
    """8-bit levels written with more bits: the output is G's, to the finest level of the dtype."""
    tensor = torch.from_numpy(paint()).permute(2, 0, 1).float() / 127.5 - 1
    exact = (translate(tensor).double().permute(1, 2, 0).numpy() + 1) / 2 * top
    given = (paint() * np.uint16(257)).astype(dtype) if top > 1 else (paint() / 255).astype(dtype)
    found = translate(given)
    assert found.dtype == given.dtype and found.shape == given.shape
    assert np.abs(found.astype(np.float64) - exact).max() <= (2e-2 if dtype == np.float16 else error)
    if top > 1:
        assert (found % 257 != 0).mean() > 0.9      # more than 8 bits are used


def test_grey_arrays_stay_grey_and_are_spread_where_the_network_sees_colour(translate, tmp_path):
    grey = paint(channels=1)
    assert np.array_equal(translate(grey[..., 0]), translate(np.repeat(grey, 3, axis=2)))
    both = Translator.load(make_run(tmp_path / "grey", "--input_nc", "1", "--output_nc", "1"), device="cpu")
    assert both(grey[..., 0]).shape == (18, 23) and both(grey).shape == (18, 23, 1)
    image = both(Image.fromarray(grey[..., 0]))
    assert image.mode == "L" and np.array_equal(image, both(grey)[..., 0])


def test_a_batch_is_its_images(translate, photo):
    one, other = paint(1), paint(2, (12, 16))
    mixed = translate([one, str(photo), Image.fromarray(other)])
    assert [type(image) for image in mixed] == [np.ndarray, Image.Image, Image.Image]
    assert np.array_equal(mixed[0], translate(one)) and np.array_equal(mixed[2], translate(other))
    stacked = np.stack([one, paint(3)])
    assert np.array_equal(translate(stacked), np.stack([translate(image) for image in stacked]))
    tensors = torch.from_numpy(stacked).permute(0, 3, 1, 2).double() / 127.5 - 1
    made = translate(tensors)
    assert made.dtype == torch.float64 and torch.equal(made, torch.stack([translate(one) for one in tensors]))
    assert translate([]) == []


def test_pil_images_of_other_modes_are_read_as_their_files_are(translate, tmp_path):
    image = Image.fromarray(paint()).convert("RGBA")
    image.putalpha(90)
    image.info["transparency"] = 3
    image.save(tmp_path / "clear.png")
    assert np.array_equal(translate(image), translate(tmp_path / "clear.png"))
    assert image.mode == "RGBA" and image.info["transparency"] == 3      # the caller's image is not changed


def test_a_translation_can_take_part_in_training(translate):
    weight = torch.ones(1, requires_grad=True)
    (translate(torch.zeros(3, 16, 16)) * weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("image,words", [
    (np.zeros((16, 16, 3), np.int64), "array of int64"), (np.full((16, 16, 3), 200.0), "from 200 to 200"),
    (np.full((16, 16, 3), np.nan), "NaN"), (np.zeros((16, 16, 4), np.uint8), "4 channels"),
    (np.zeros((0, 16, 3), np.uint8), "16x0 pixels"), (np.zeros(16), r"shape \(16,\)"),
    (np.zeros((0, 16, 16, 3)), "is no image"), (torch.zeros(3, 16, 16, dtype=torch.uint8), "tensor of uint8"),
    (torch.full((3, 16, 16), 2.0), "from 2 to 2"), (torch.zeros(2, 16, 16), "2 channels"),
    (7, "is a int"), ("nowhere/photo.png", "nowhere/photo.png: not a file"),
    (Image.fromarray(np.zeros((4, 4), np.float32)), "mode F .*; --value_range gives")], ids=str)
def test_what_is_no_image_gets_one_line(translate, image, words):
    with pytest.raises(UsageError, match=words) as caught:
        translate(image)
    assert "\n" not in str(caught.value)


# ---- loading

@pytest.mark.parametrize("name", ["latest_net_G.pth", "horses.pth"])
def test_a_published_file_needs_its_network_named(run, photo, tmp_path, expected, name):
    shutil.copy(run / "latest_net_G.pth", tmp_path / name)
    assert np.array_equal(Translator.load(tmp_path / name, device="cpu", **NETWORK)(photo), expected)
    with pytest.raises(UsageError, match="look at --netG"):
        Translator.load(tmp_path / name, device="cpu")


def test_a_published_file_works_as_a_folder_too(run, photo, tmp_path, expected):
    shutil.copy(run / "latest_net_G.pth", tmp_path)
    assert np.array_equal(Translator.load(str(tmp_path) + "/", device="cpu", **NETWORK)(photo), expected)


def test_flags_that_are_false_are_typed_where_they_must_be(run, photo, expected):
    assert np.array_equal(Translator.load(run, device="cpu", no_antialias=False, eval=False)(photo), expected)
    net = Translator.load(run, device="cpu", channels_last=False)
    assert np.array_equal(net(photo), expected)
    with pytest.raises(UsageError, match="does not fit"):
        Translator.load(run, device="cpu", no_antialias=True)


def test_averages_and_epochs_are_chosen_by_flag(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    other = torch.load(run / "latest_net_G.pth", weights_only=True)
    torch.save({key: value * 0.5 for key, value in other.items()}, copy / "7_net_G.pth")
    shutil.copy(copy / "7_net_G.pth", copy / "latest_net_G_ema.pth")
    image = paint()
    seventh = Translator.load(copy, device="cpu", epoch=7)(image)
    assert np.array_equal(Translator.load(copy, device="cpu", use_ema=True)(image), seventh)
    assert not np.array_equal(Translator.load(copy, device="cpu")(image), seventh)


@pytest.mark.parametrize("arguments,words", [
    (dict(run="nowhere/run"), "there is no .*latest_net_G.pth"), (dict(ngff=3), "did you mean --ngf"),
    (dict(run=__file__), "is a file, but no .pth; give a run's folder"),
    (dict(eval_=False), "no flag --eval_"), (dict(device="gpu"), "device is 'gpu'"),
    (dict(precision="half"), "precision"), (dict(epoch="9"), "--epoch latest"), (dict(ngf=0), "--ngf is 0"),
    (dict(device="cpu", precision="tf32"), "tf32 needs a GPU")], ids=str)
def test_what_cannot_be_loaded_gets_one_line(run, arguments, words):
    with pytest.raises(UsageError, match=words):
        Translator.load(arguments.pop("run", run), **{"device": "cpu"} | arguments)


def test_one_file_of_a_model_of_two_networks_is_refused(tmp_path):
    run = make_run(tmp_path / "run", "--model", "cycle_gan")
    with pytest.raises(UsageError, match="translates with G_A, G_B; give the folder"):
        Translator.load(run / "latest_net_G_A.pth", device="cpu")


def test_loading_leaves_random_numbers_alone(run):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Translator.load(run, device="cpu")
    assert torch.equal(torch.rand(3), wanted)


# ---- threads

def test_threads_get_what_one_alone_gets(translate):
    """Sizes differ, so that a mix-up shows."""
    images = [paint(seed, (12 + seed % 5, 16 + seed % 3)) for seed in range(40)]
    alone = [translate(image) for image in images]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(translate, images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


class Forgetful(BaseModel):
    """It keeps its image on itself while it works, as models of the reference's form do."""

    def optimize_parameters(self): ...
    def visuals(self): ...
    def translator(self): ...

    def translations(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.real = batch["A"]
        time.sleep(0.002)
        return {"fake_B": -self.real}


def test_models_that_keep_what_they_work_with_are_safe_too():
    translate = Translator(Forgetful(adversarial.parse(train=False)))
    values = [number / 50 for number in range(50)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda value: translate(torch.full((3, 2, 2), value)), values))
    assert [image[0, 0, 0].item() for image in made] == pytest.approx([-value for value in values])


# ---- from elsewhere

IMPORT = """
import os, random, signal, sys, threading, warnings
import numpy, torch
def state():
    return (torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist(),
            os.getcwd(), dict(os.environ), sys.path[:], torch.get_num_threads(), torch.is_grad_enabled(),
            torch.get_default_dtype(), threading.active_count(), signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM), list(warnings.filters), torch.cuda.is_initialized(),
            torch.backends.cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32, sys.argv[:])
before = state()
from models.translator import Translator
assert state() == before, [pair for pair in zip(before, state()) if pair[0] != pair[1]]
"""


def elsewhere(folder: Path, program: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", program, "--some", "argument"], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=120)


def test_importing_does_nothing_else(tmp_path):
    done = elsewhere(tmp_path, IMPORT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_the_page_runs_from_another_folder(run, tmp_path, translate):
    page = (ROOT / "docs" / "translator.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    shutil.copytree(run, tmp_path / "checkpoints" / "h2z_CUT")
    Image.fromarray(paint()).save(tmp_path / "photo.jpg")
    shown = "type(zebra).__name__, pixels.dtype, pixels.shape, len(several)"
    done = elsewhere(tmp_path, f"{example}\nprint({shown})")
    assert (done.returncode, done.stdout) == (0, "Image uint8 (18, 23, 3) 3\n"), done.stderr
    assert np.array_equal(Image.open(tmp_path / "zebra.png"), translate(tmp_path / "photo.jpg"))
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "photo.jpg", "zebra.png"}


def test_the_readme_names_the_page():
    assert "docs/translator.md" in (ROOT / "README.md").read_text(encoding="utf-8")
