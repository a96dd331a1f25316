"""test.py on files, patterns and lists, in other formats, and going on with what is done."""

import io
import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import create_model
from options.test_options import TestOptions

ROOT = Path(__file__).parents[1]
NETWORK = {"netG": "resnet_4blocks", "ngf": 2, "crop_size": 16}


def make_run(checkpoints: Path, name: str = "run", seed: int = 0) -> Path:
    """A run whose generator has random weights, as large as a trained one's."""
    folder = checkpoints / name
    folder.mkdir(parents=True)
    (folder / "opt.json").write_text(json.dumps({"options": NETWORK | {"init_gain": 0.5}}))
    model = create_model(TestOptions().parse(["--name", name, "--checkpoints_dir", str(checkpoints),
                                              "--gpu_ids", "-1"]))
    for number, parameter in enumerate(model.networks["G"].parameters()):
        noise = np.random.default_rng([seed, number]).normal(0, 0.2, parameter.shape)
        parameter.data.copy_(parameter.data.new_tensor(noise))
    model.save_weights(folder, "latest")
    return folder


def paint(folder: Path, *names: str, size: tuple[int, int] = (22, 18)) -> list[Path]:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return [folder / name for name in names]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """test.py in this process, on flags behind those of the run; what it printed."""
    make_run(tmp_path / "checkpoints")

    def call(*flags: str) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [
            "test.py", "--name", "run", "--checkpoints_dir", str(tmp_path / "checkpoints"), "--gpu_ids", "-1",
            "--results_dir", str(tmp_path / "results"), "--num_threads", "0", "--preprocess", "none", *flags])
        runpy.run_path(str(ROOT / "test.py"), run_name="__main__")
        return capsys.readouterr().out
    return call


@pytest.fixture
def made(tmp_path) -> Callable[[], dict[str, bytes]]:
    """The content of every image of the results, by its path."""
    folder = tmp_path / "results" / "run" / "test_latest"
    return lambda: {path.relative_to(folder).as_posix(): path.read_bytes()
                    for path in folder.rglob("*") if path.is_file() and "images" in path.parts}


def fails(run, capsys, *flags: str) -> str:
    with pytest.raises(SystemExit) as ended:
        run(*flags)
    assert ended.value.code == 2
    line, = capsys.readouterr().err.strip().splitlines()
    return line


# ---- what --dataroot may be

def test_a_file_a_pattern_and_a_list_give_what_the_folder_gives(run, made, tmp_path):
    photos = tmp_path / "photos"
    paint(photos, "a.png", "trip/b.png", "trip/c.png", "trip/d.bmp")
    run("--dataroot", str(photos))
    whole = made()
    fakes = {name: content for name, content in whole.items() if "fake_B" in name}
    assert set(fakes) == {f"images/fake_B/{name}.png" for name in ("a", "trip/b", "trip/c", "trip/d")}

    (tmp_path / "list.txt").write_text("photos/trip/d.bmp\nphotos/a.png\n")
    (tmp_path / "list.csv").write_text("A,weather\nphotos/a.png,sun\nphotos/trip/b.png,rain\n")
    for number, (root, names) in enumerate({
            photos / "trip" / "b.png": {"b": "trip/b"},
            photos / "**" / "*.png": {"a": "a", "trip/b": "trip/b", "trip/c": "trip/c"},
            photos / "*" / "?.bmp": {"trip/d": "trip/d"},
            tmp_path / "list.txt": {"a": "a", "trip/d": "trip/d"},
            tmp_path / "list.csv": {"a": "a", "trip/b": "trip/b"}}.items()):
        results = tmp_path / f"results{number}"
        run("--dataroot", str(root), "--results_dir", str(results))
        folder = results / "run" / "test_latest" / "images" / "fake_B"
        found = {str(path.relative_to(folder).with_suffix("")): path.read_bytes()
                 for path in folder.rglob("*.png")}
        assert found == {name: fakes[f"images/fake_B/{own}.png"] for name, own in names.items()}


def test_a_pattern_that_finds_nothing_gets_one_line(run, capsys, tmp_path):
    line = fails(run, capsys, "--dataroot", str(tmp_path / "*.jpg"))
    assert "no image" in line and "matches the pattern" in line and not (tmp_path / "results").exists()


# ---- batches

def test_images_of_several_sizes_in_batches(run, made, tmp_path):
    """Sizes change and come back. A batch differs from single images by rounding: at most one level."""
    for number, size in enumerate([(22, 18), (22, 18), (17, 30), (22, 18), (22, 18), (22, 18), (9, 8)]):
        paint(tmp_path / "photos", f"{number}.png", size=size)
    run("--dataroot", str(tmp_path / "photos"))
    alone = made()
    run("--dataroot", str(tmp_path / "photos"), "--batch_size", "3")
    together = made()
    assert alone.keys() == together.keys() and len(alone) == 14
    for name, content in alone.items():
        one, other = (np.asarray(Image.open(io.BytesIO(data))) for data in (content, together[name]))
        assert np.abs(one.astype(int) - other).max() <= 1


# ---- formats

@pytest.mark.parametrize("format, extension, kind", [
    ("jpg", ".jpg", "JPEG"), ("webp", ".webp", "WEBP"), ("tiff", ".tiff", "TIFF"), ("same", ".bmp", "BMP")])
def test_other_formats(run, made, tmp_path, format, extension, kind):
    paint(tmp_path / "photos", "trip/a.bmp", size=(40, 36))
    run("--dataroot", str(tmp_path / "photos"))
    png = Image.open(io.BytesIO(made()["images/fake_B/trip/a.png"]))
    run("--dataroot", str(tmp_path / "photos"), "--results_dir", str(tmp_path / "other"), "--format", format)
    folder = tmp_path / "other" / "run" / "test_latest"
    files = {path.relative_to(folder).as_posix() for path in folder.glob("images/**/*.*")}
    beside = {"images/fake_B/trip/a.png"} if format == "tiff" else set()    # for the page
    assert files == {"images/real_A/trip/a.png", f"images/fake_B/trip/a{extension}"} | beside
    with Image.open(folder / f"images/fake_B/trip/a{extension}") as found:
        assert found.format == kind and found.size == png.size
        if kind in ("TIFF", "BMP"):
            assert np.array_equal(np.asarray(found), np.asarray(png))
    shown = f"images/fake_B/trip/a{'.png' if beside else extension}"
    assert f'src="{shown}"' in (folder / "index.html").read_text()


def test_translations_alone(run, made, tmp_path):
    paint(tmp_path / "photos", "a.jpg", "a.png", "trip/b.JPG")
    out = run("--dataroot", str(tmp_path / "photos"), "--output_only", "--format", "same")
    assert set(made()) == {"images/fake_B/a.jpg", "images/fake_B/a.png", "images/fake_B/trip/b.JPG"}
    folder = tmp_path / "results" / "run" / "test_latest"
    assert f"translated 3 of 3 images; {folder}\n" in out and not (folder / "index.html").exists()


@pytest.mark.parametrize("flags, words", [
    (["--format", "jpg", "--value_range", "auto"], "--format jpg holds 8 bits a channel"),
    (["--format", "jpg", "--keep_alpha"], "--format jpg holds no transparency"),
    (["--quality", "50"], "--quality 50 has no effect with --format png"),
    (["--format", "jpg", "--quality", "101"], "--quality is 101"),
    (["--format", "gif"], "--format: invalid choice: 'gif'")])
def test_formats_that_cannot_be(run, capsys, tmp_path, flags, words):
    paint(tmp_path / "photos", "a.png")
    assert words in fails(run, capsys, "--dataroot", str(tmp_path / "photos"), *flags)
    assert not (tmp_path / "results").exists()


def test_a_format_too_small_for_floats_is_refused_before_anything_is_written(run, made, capsys, tmp_path):
    (tmp_path / "photos").mkdir()
    np.save(tmp_path / "photos" / "a.npy", np.random.default_rng(0).random((20, 20), np.float32))
    flags = ("--value_range", "0:1", "--format", "png")
    line = fails(run, capsys, "--dataroot", str(tmp_path / "photos"), *flags)
    assert "--format png does not write numbers of float32" in line and not made()


# ---- going on

def times(tmp_path: Path) -> dict[str, int]:
    folder = tmp_path / "results" / "run" / "test_latest" / "images" / "fake_B"
    return {path.stem: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_skip_existing_leaves_out_what_is_done(run, made, tmp_path):
    photos = tmp_path / "photos"
    paint(photos, "a.png", "b.png", "c.png", "d.png")
    run("--dataroot", str(photos), "--num_test", "2")
    before = times(tmp_path)
    out = run("--dataroot", str(photos), "--skip_existing")
    assert "--skip_existing: 2 of 4 images are done" in out
    assert "translated 2 of 4 images, 2 were done; " in out
    assert {name: times(tmp_path)[name] for name in before} == before
    page = (tmp_path / "results/run/test_latest/index.html").read_text()
    assert re.findall(r"<h2>(\w)</h2>", page) == list("abcd")
    resumed = made()
    run("--dataroot", str(photos))
    assert made() == resumed and "index.html" not in resumed
    assert (tmp_path / "results/run/test_latest/index.html").read_text() == page
    assert times(tmp_path) != before        # without the flag all are overwritten


def test_skip_existing_sees_what_changed(run, made, tmp_path):
    photos = tmp_path / "photos"
    paint(photos, "a.png", "b.png", "c.png")
    run("--dataroot", str(photos))
    paint(photos, "b.png", size=(30, 20))
    (tmp_path / "results/run/test_latest/images/real_A/c.png").unlink()
    before = times(tmp_path)
    assert "1 of 3 images are done" in run("--dataroot", str(photos), "--skip_existing")
    assert {name for name, time in times(tmp_path).items() if time != before[name]} == {"b", "c"}
    assert Image.open(io.BytesIO(made()["images/fake_B/b.png"])).size == (30, 20)


def test_skip_existing_goes_by_weights_and_options(run, tmp_path):
    photos, folder = tmp_path / "photos", tmp_path / "checkpoints"
    paint(photos, "a.png", "b.png")
    run("--dataroot", str(photos))
    assert "2 of 2" in run("--dataroot", str(photos), "--skip_existing", "--num_threads", "1")
    out = run("--dataroot", str(photos), "--skip_existing", "--eval")
    assert "is translated anew, as --eval was False and is True" in out and "0 of 2 images are done" in out
    other = make_run(tmp_path / "other", seed=1) / "latest_net_G.pth"
    (folder / "run" / "latest_net_G.pth").write_bytes(other.read_bytes())
    out = run("--dataroot", str(photos), "--skip_existing", "--eval")
    assert "is translated anew, as other weights made it" in out and "translated 2 of 2" in out


def test_images_that_cannot_be_read_are_tried_again(run, tmp_path, made):
    photos = tmp_path / "photos"
    paint(photos, "a.png", "b.png", "b.bmp")
    whole = (photos / "b.bmp").read_bytes()
    (photos / "b.bmp").write_bytes(whole[:40])
    assert "translated 2 of 3 images, 1 could not be read" in run("--dataroot", str(photos))
    assert {name for name in made() if "fake_B" in name} == {"images/fake_B/a.png", "images/fake_B/b_2.png"}
    (photos / "b.bmp").write_bytes(whole)
    assert "2 of 3 images are done" in run("--dataroot", str(photos), "--skip_existing")
    assert "images/fake_B/b.png" in made()
