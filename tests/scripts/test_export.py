"""scripts/export.py: every generator does in a file what it does in PyTorch; what cannot be is refused."""

import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import create_model
from models.networks import GENERATORS
from models.translator import Translator
from options.describe import save_options
from options.train_options import TrainOptions
from scripts import export
from scripts.exporting import generator, parity
from scripts.exporting.formats import FORMATS, capture
from scripts.exporting.generator import Chosen
from tests import adversarial
from util.errors import RunError, UsageError
from util.metrics.exported import ANY_CHANNELS, ExportedNetwork, load_exported

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
MISSING = [name for name in FORMATS["onnx"].packages if importlib.util.find_spec(name) is None]
ONNX = pytest.param("onnx", marks=pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} are not installed"))
FORMS = pytest.mark.parametrize("form", ["torch_export", ONNX])
SMALLEST = ("--netG", "smallstylegan2", "--ngf", "1", "--crop_size", "16")
SIZES = {"width": 2, "crop_size": 16, "antialias": True, "antialias_up": True, "num_downsampling": 2}


def build(name: str, norm: str = "instance", dropout: bool = False) -> Chosen:
    torch.manual_seed(1)
    net = GENERATORS[name](in_channels=3, out_channels=2, norm=norm, dropout=dropout, **SIZES)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.3)
            torch.nn.init.normal_(module.bias, 0, 0.3)
            torch.nn.init.normal_(module.running_mean)
    if name == "stylegan2":
        torch.nn.init.ones_(net.decoder.convs[-2].noise.weight)     # noise would show
        net.set_noise(False)
    return Chosen("G", net, "AtoB", 3, 2)


def written(chosen: Chosen, form: str, folder: Path, *, half: bool = False) -> ExportedNetwork:
    path = folder / f"made{FORMATS[form].extension}"
    FORMATS[form].write(capture(chosen, half=half), path, {"run": "a run"})
    return load_exported(path, CPU, ANY_CHANNELS)


def images(*shape: int) -> torch.Tensor:
    """Noise and slopes, in [-1, 1]; each image of a batch is another."""
    noise = np.random.default_rng(5).uniform(-1, 1, shape)
    slope = np.linspace(-1, 1, shape[-1]) * np.linspace(-1, 1, shape[0])[:, None, None, None]
    return torch.from_numpy((noise + slope) / 2).float()


def make_run(folder: Path, *flags: str) -> Path:
    torch.manual_seed(3)
    opt = TrainOptions().parse([*adversarial.SMALL, "--name", folder.name, "--init_gain", "1",
                                "--checkpoints_dir", str(folder.parent), *flags])
    save_options(opt, folder)
    create_model(opt).save_weights(folder, "latest")
    return folder


def command(program: str, *arguments: object) -> None:
    """Run a program of the repository's root with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [program, *map(str, arguments)])
        if program == "test.py":
            runpy.run_path(str(ROOT / program), run_name="__main__")
        else:
            export.main()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("checkpoints") / "h2z_CUT")


# ---- parity

@FORMS
@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_does_in_a_file_what_it_does_in_pytorch(name, form, tmp_path):
    chosen = build(name)
    network = written(chosen, form, tmp_path)
    assert (network.batch, network.channels, network.height, network.width) == (None, 3, None, None)
    assert network.metadata["run"] == "a run"
    least, multiple = chosen.smallest_side, chosen.size_multiple
    for batch, rows, columns in ((1, 0, 0), (3, 0, 1), (2, 2, 0)):
        height, width = least + rows * multiple, least + columns * multiple
        given = images(batch, 3, height, width)
        with torch.no_grad():
            expected = chosen.net(given)
        found = network(given)
        assert found.shape == (batch, 2, height, width) and expected.std() > 1e-3
        assert (found - expected).abs().max() < 1e-3 * expected.std()


@FORMS
@pytest.mark.parametrize("evaluated", [False, True])
def test_batch_norm_takes_each_image_by_itself_unless_its_statistics_are_asked_for(evaluated, form, tmp_path):
    """Without --eval test.py gives one image after the other, each normed by its own mean and variance."""
    chosen = build("resnet_4blocks", norm="batch")
    chosen.net.train(not evaluated)
    given = images(3, 3, 20, 24)
    found = written(chosen, form, tmp_path)(given)
    with torch.no_grad():
        expected = torch.cat([chosen.net(image) for image in given.split(1)])
    assert (found - expected).abs().max() < 1e-4
    chosen.net.train(evaluated)
    with torch.no_grad():
        assert (found - chosen.net(given)).abs().max() > 0.01     # the other way is another


@FORMS
def test_half_precision_is_near_and_half_the_size(form, tmp_path):
    chosen = build("unet_128")
    halved = written(chosen, form, tmp_path, half=True)
    size, given = halved.path.stat().st_size, images(2, 3, 128, 256)
    with torch.no_grad():
        expected = chosen.net(given)
    assert 1e-5 < (halved(given) - expected).abs().max() < 5e-2
    assert halved(given).dtype == torch.float32
    weights = sum(weight.numel() for weight in chosen.net.parameters())
    assert 2 * weights < size < 3 * weights + 200_000       # bytes; the operations take some, too


def test_the_measure_sees_an_error_and_nan():
    chosen = build("smallstylegan2")

    class Wrong(ExportedNetwork):
        def __init__(self, change):
            super().__init__(Path("made.pt2"), [None, 3, None, None])
            self.change = change

        def run(self, given):
            with torch.no_grad():
                made = chosen.net(given)
            made[-1, -1, -1, -1] += self.change if given.shape[2] > 200 else 0      # one pixel of the largest
            return made

    given = parity.batches(chosen)
    assert [len(one) for one in given] == [1, 2, 3, 1, 1] and len({one.shape for one in given}) == 5
    assert parity.largest_difference(Wrong(0.25), chosen, given) == pytest.approx(0.25, abs=1e-5)
    assert np.isnan(parity.largest_difference(Wrong(float("nan")), chosen, given))
    assert all(side % 4 == 0 for one in given for side in one.shape[2:])


# ---- the program

@FORMS
def test_test_py_translates_with_the_file_as_with_the_run(run, form, tmp_path, monkeypatch, capsys):
    """At sides that are no multiples of 4, without the run's folder, and as PIL would round."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"zebra{FORMATS[form].extension}"
    command("export.py", run, "--format", form, "--output", path)
    said = capsys.readouterr().out
    assert "against PyTorch on 1x8x8, 2x64x64, 3x72x100, 1x96x160, 1x256x256" in said
    assert f"wrote {path}" in said
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (18, 23, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "photo.png")
    command("test.py", "--dataroot", "photos", "--dataset_mode", "single", "--exported", path, "--preprocess",
            "none", "--num_threads", 0, "--gpu_ids", -1)
    found = np.asarray(Image.open(tmp_path / "results/zebra/test_latest/images/fake_B/photo.png")).astype(int)
    expected = Translator.load(run, device="cpu")(pixels).astype(int)
    assert found.shape == (18, 23, 3) and expected.std() > 10
    assert np.abs(found - expected).max() <= 1 and (found != expected).mean() < 0.01
    assert not (tmp_path / "checkpoints").exists()
    for flag in ("--input_nc", "--output_nc"):
        with pytest.raises(SystemExit) as ended:
            command("test.py", "--dataroot", "photos", "--exported", path, flag, 1, "--num_threads", 0)
        assert ended.value.code == 2
        assert f"{flag} is 1, but --exported {path} holds a network of 3" in capsys.readouterr().err


def test_the_file_tells_where_it_comes_from(run, tmp_path):
    path = run / "h2z_CUT_latest.pt2"
    command("export.py", run, "--format", "torch_export")
    told = load_exported(path, CPU, ANY_CHANNELS).metadata
    commit = json.loads((run / "opt.json").read_text())["git_commit"]
    assert told == told | {
        "run": "h2z_CUT", "epoch": "latest", "use_ema": "false", "model": "cut", "network": "G",
        "input_nc": "3", "output_nc": "3", "size_multiple": "4", "smallest_side": "8", "pixel_range": "-1:1",
        "direction": "AtoB", "precision": "fp32", "crop_size": "16"}
    assert told.get("run_commit") == commit
    path.unlink()


@pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} are not installed")
def test_the_example_of_the_page_runs(run, tmp_path, monkeypatch):
    """With a photo whose sides are multiples of 4, so that the whole of it is translated."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    command("export.py", run, "--format", "onnx", "--output", "h2z_CUT_latest.onnx")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save("photo.jpg")
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    found, expected = (np.asarray(image).astype(int) for image in (
        Image.open("zebra.png"), Translator.load(run, device="cpu")("photo.jpg")))
    assert np.abs(found - expected).max() <= 1 and expected.std() > 10


@pytest.mark.parametrize("model", ["cycle_gan", "dclgan"])
def test_models_of_two_directions_give_both(model, tmp_path):
    run = make_run(tmp_path / "run", "--model", model, *SMALLEST)
    given = images(1, 3, 16, 16)
    for direction, network in ((None, "G_A"), ("AtoB", "G_A"), ("BtoA", "G_B")):
        path = tmp_path / "made.pt2"
        command("export.py", run, "--format", "torch_export", "--output", path,
                *(["--direction", direction] if direction else []))
        made = load_exported(path, CPU, ANY_CHANNELS)
        assert (made.metadata["network"], made.metadata["direction"]) == (network, direction or "AtoB")
        net = create_model(adversarial.parse("--model", model, *SMALLEST)).networks[network]
        net.load_state_dict(torch.load(run / f"latest_net_{network}.pth", weights_only=True))
        with torch.no_grad():
            assert (made(given) - net(given)).abs().max() < 1e-4


def test_the_way_back_of_unequal_channels(tmp_path):
    run = make_run(tmp_path / "run", "--model", "cycle_gan", "--input_nc", "1", "--lambda_identity", "0",
                   *SMALLEST)
    command("export.py", run, "--format", "torch_export", "--direction", "BtoA")
    made = load_exported(run / "run_latest_BtoA.pt2", CPU)
    assert made.channels == 3 and made(images(1, 3, 8, 8)).shape[1] == 1
    assert (made.metadata["input_nc"], made.metadata["output_nc"]) == ("3", "1")


def test_sincut_comes_without_noise_and_untiled(tmp_path):
    run = make_run(tmp_path / "run", "--model", "sincut", "--netG", "stylegan2", "--ngf", "4",
                   "--batch_size", "2", "--netD", "stylegan2", "--ndf", "4")
    weights = torch.load(run / "latest_net_G.pth", weights_only=True)
    weights |= {name: torch.ones_like(value) for name, value in weights.items() if "noise" in name}
    torch.save(weights, run / "latest_net_G.pth")
    command("export.py", run, "--format", "torch_export")
    given = images(1, 3, 18, 22)
    found = load_exported(run / "run_latest.pt2", CPU)(given)[0]
    quiet, noisy = (Translator.load(run, device="cpu", no_noise=off)(given[0]) for off in (True, False))
    assert (found - quiet).abs().max() < 1e-4 and (found - noisy).abs().max() > 0.1


def test_averages_epochs_and_published_files(tmp_path):
    run = make_run(tmp_path / "first", *SMALLEST)
    weights = torch.load(run / "latest_net_G.pth", weights_only=True)
    halved = {name: value / 2 for name, value in weights.items()}
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in (("7_net_G.pth", weights), ("7_net_G_ema.pth", halved), ("horses.pth", halved)):
        torch.save(content, folder / name)
    network = ("--netG", "smallstylegan2", "--ngf=1", "--crop_size", "16")
    command("export.py", folder, "--format", "torch_export", "--epoch", 7, *network)
    command("export.py", folder, "--format", "torch_export", "--epoch", 7, "--use_ema", *network)
    command("export.py", folder / "horses.pth", "--format", "torch_export", *network)
    own, averaged, published = (load_exported(folder / f"run_{name}.pt2", CPU)(images(1, 3, 8, 8))
                                for name in ("7", "7_ema", "latest"))
    assert torch.equal(averaged, published) and not torch.allclose(own, averaged, atol=1e-2)


# ---- what is refused

def test_beyond_the_bound_nothing_is_left(run, tmp_path, monkeypatch):
    """Another epsilon in the norms stands for an exporter's fault."""
    monkeypatch.setattr(generator, "EPSILON", 0.1)
    path = tmp_path / "made.pt2"
    path.write_bytes(b"before")
    with pytest.raises(RunError, match=r"differs from PyTorch by up to [\d.]+ .*made.pt2 was not written"):
        command("export.py", run, "--format", "torch_export", "--output", path)
    assert [one.name for one in tmp_path.iterdir()] == ["made.pt2"] and path.read_bytes() == b"before"


def test_what_torch_cannot_follow_gets_one_line(monkeypatch):
    chosen = build("resnet_4blocks")
    chosen.net.model[0].forward = lambda x: x if x.sum() > 0 else -x
    with pytest.raises(RunError, match="torch.export cannot follow the network G: ") as caught:
        capture(chosen, half=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flags,words", [
    (["--model", "munit"], "--model munit translates in a style"),
    (["--direction", "BtoA"], "--direction BtoA: the run learned AtoB alone"),
    (["--output", "made.onnx"], "ends in .pt2"),
    (["--output", "nowhere/made.pt2"], "in a folder that exists"),
    (["--max_error", "0"], "--max_error is 0"), (["--max_error", "nan"], "--max_error is nan"),
    (["--epoch", "9"], "there is no .*9_net_G.pth"), (["--use_ema"], "no latest_net_G_ema.pth"),
    (["--ngf", "4"], "does not fit"), (["--nfg", "4"], "did you mean --ngf"),
    (["stray"], "'stray' belongs to no flag"),
    (["--no_dropout", "False"], "dropout, which draws random numbers: give --eval")], ids=str)
def test_what_cannot_be_exported_gets_one_line(run, flags, words, tmp_path):
    if flags[0] in ("--model", "--no_dropout"):
        sizes = ["--crop_size", "64", "--load_size", "64"] if "munit" in flags else []
        run, flags = make_run(tmp_path / "run", *flags, *sizes), []
    before = sorted(run.iterdir())
    with pytest.raises(UsageError, match=words) as caught:
        command("export.py", run, "--format", "torch_export", *flags)
    assert "\n" not in str(caught.value) and sorted(run.iterdir()) == before


def test_a_missing_package_is_named(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "onnxscript" or None)
    with pytest.raises(UsageError, match="needs onnxscript: pip install -r requirements-export.txt"):
        command("export.py", run, "--format", "onnx")
    named = (ROOT / "requirements-export.txt").read_text()
    assert all(f"{package}>=" in named for package in FORMATS["onnx"].packages)


@pytest.mark.parametrize("flags,words", [
    (["--exported", "nowhere.pt2"], "there is no file nowhere.pt2"),
    (["--exported", "text.pt2"], "text.pt2 cannot be read"),
    (["--exported", "features.pt2"], "features.pt2 does not tell its crop_size, .*scripts/export.py"),
    (["--exported", "weights.pth"], "neither .pt2"), (["--model", "exported"], "needs its file: --exported"),
    (["--exported", "features.pt2", "--use_ema"], "--use_ema do not go together"),
    (["--exported", "features.pt2", "--netG", "unet_128"], "--netG do not go together")], ids=str)
def test_what_test_py_cannot_translate_with_gets_one_line(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("text.pt2", "weights.pth"):
        Path(name).write_text("no network")
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(1, 3, 8, 8),))
    torch.export.save(program, "features.pt2")
    Image.new("RGB", (8, 8)).save("photo.png")
    with pytest.raises(SystemExit) as ended:
        command("test.py", "--dataroot", "photo.png", "--dataset_mode", "single", *flags)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and re.search(words, lines[0]), lines
    assert not Path("results").exists() and not Path("checkpoints").exists()


def test_a_file_cannot_be_trained(tmp_path):
    with pytest.raises(UsageError, match="--model exported translates alone"):
        TrainOptions().parse([*adversarial.SMALL, "--model", "exported"])
