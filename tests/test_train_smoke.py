"""train.py and test.py as users run them, on made images: what they print, write, and how they end."""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
TINY = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
        "--crop_size 16 --load_size 18 --num_threads 0 --gpu_ids -1 --display_id 0").split()
SHORT = "--n_epochs 1 --n_epochs_decay 1 --print_freq 4 --save_epoch_freq 1".split()
LOSS_LINE = re.compile(r"^\(epoch: (\d+), iters: (\d+), time: \d+\.\d{3}, data: \d+\.\d{3}\) "
                       r"G_GAN: \d+\.\d{3} D_real: \d+\.\d{3} D_fake: \d+\.\d{3} G: \d+\.\d{3} "
                       r"NCE: \d+\.\d{3}( NCE_Y: \d+\.\d{3})?$", re.MULTILINE)


def paint(folder: Path, names: list[str], size: tuple[int, int] = (20, 20), seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def numbered(count: int) -> list[str]:
    return [f"{number}.png" for number in range(count)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """8 images of A, 7 of B to train with; 5 and 5 of the same names to translate."""
    root = tmp_path_factory.mktemp("data")
    for seed, (folder, count) in enumerate(dict(trainA=8, trainB=7, testA=5, testB=5).items()):
        paint(root / folder, numbered(count), seed=seed)
    return root


def process(script: str, *flags: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, script, *flags], cwd=cwd, capture_output=True, text=True,
                          timeout=600)


@pytest.fixture(scope="module")
def first_run(data, tmp_path_factory):
    """One run of two epochs as a real process: its folder and what it printed."""
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    done = process("train.py", *TINY, *SHORT, "--dataroot", str(data), "--checkpoints_dir", str(checkpoints),
                   "--name", "run")
    assert done.returncode == 0, done.stderr
    return checkpoints / "run", done.stdout


class Programs:
    """train.py and test.py in this process, which saves their imports; each call is one run."""

    def __init__(self, data: Path, folder: Path, monkeypatch, capsys):
        self.data, self.checkpoints, self.results = data, folder / "checkpoints", folder / "results"
        self._patch, self._capsys = monkeypatch, capsys

    def run(self, script: str, *flags: str) -> str:
        """What it printed; SystemExit where it ended otherwise than well."""
        self._patch.setattr(sys, "argv", [script, *flags])
        runpy.run_path(str(ROOT / script), run_name="__main__")
        return self._capsys.readouterr().out

    def train(self, *flags: str) -> str:
        return self.run("train.py", *TINY, *SHORT, "--dataroot", str(self.data), "--name", "run",
                        "--checkpoints_dir", str(self.checkpoints), *flags)

    def test(self, *flags: str) -> str:
        return self.run("test.py", "--gpu_ids", "-1", "--num_threads", "0", "--dataroot", str(self.data),
                        "--name", "run", "--checkpoints_dir", str(self.checkpoints),
                        "--results_dir", str(self.results), *flags)

    def fails(self, code: int, script: str, *flags: str) -> str:
        """The one line on stderr of a run that must end with this exit code."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            getattr(self, script)(*flags)
        assert ended.value.code == code
        *_, line = self._capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"{script}.py: error: ")
        return line

    @property
    def folder(self) -> Path:
        return self.checkpoints / "run"

    def labels(self) -> set[str]:
        """Of the checkpoints that are there."""
        return {path.name.removesuffix("_net_G.pth") for path in self.folder.glob("*_net_G.pth")}

    def translated(self, label: str = "fake_B", where: str = "test_latest") -> dict[str, np.ndarray]:
        """Pixels of the results, by name."""
        base = self.results / "run" / where / "images" / label
        return {path.relative_to(base).as_posix(): np.asarray(Image.open(path))
                for path in base.rglob("*.png")}


@pytest.fixture
def programs(data, tmp_path, monkeypatch, capsys) -> Programs:
    return Programs(data, tmp_path, monkeypatch, capsys)


@pytest.fixture
def trained(programs, first_run) -> Programs:
    """The first run, to be continued or translated with."""
    shutil.copytree(first_run[0], programs.folder)
    return programs


def weights(folder: Path, label: str = "latest", name: str = "G") -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{label}_net_{name}.pth", weights_only=True)


def same(first: dict, second: dict) -> bool:
    return all(torch.equal(value, second[key]) for key, value in first.items())


# ---- training

def test_a_run_prints_and_writes_what_the_reference_does(first_run):
    folder, out = first_run
    assert "starts at epoch 1 from random weights (seed 0)" in out
    assert re.search(r"^ +ngf: 2 +\t\[default: 64\]$", out, re.MULTILINE)
    assert re.search(r"^\[Network G\] 0\.\d{3} M parameters$", out, re.MULTILINE)
    assert "End of epoch 2 / 2" in out

    log = (folder / "loss_log.txt").read_text()
    found = [(int(m[1]), int(m[2])) for m in LOSS_LINE.finditer(log)]
    assert found == [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert [m[0] for m in LOSS_LINE.finditer(out)] == [m[0] for m in LOSS_LINE.finditer(log)]

    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {f"{label}_net_{name}.pth" for label in ("1", "2", "latest") for name in "GFD"}
    expected |= {"latest_state.pth", "loss_log.txt", "stats.jsonl", "train_opt.txt", "opt.json",
                 "web/index.html"}
    expected |= {f"web/images/epoch{epoch:03d}_{label}.png" for epoch in (1, 2)
                 for label in ("real_A", "fake_B", "real_B", "idt_B")}
    assert expected <= files
    assert not [name for name in files if name.endswith(".tmp")]
    assert same(weights(folder, "2"), weights(folder)) and not same(weights(folder, "1"), weights(folder))


def test_the_seed_decides_everything(first_run, programs):
    """The same run in this process: equal weights, and equal losses line by line."""
    programs.train()
    assert same(weights(programs.folder), weights(first_run[0]))
    logs = [(folder / "stats.jsonl").read_text() for folder in (programs.folder, first_run[0])]
    assert logs[0] == logs[1] and logs[0].count("\n") == 4


def test_fastcut(programs):
    programs.train("--CUT_mode", "fastcut", "--no_html", "--batch_size", "3")
    log = (programs.folder / "loss_log.txt").read_text()
    assert [(m[1], m[2], m[3]) for m in LOSS_LINE.finditer(log)] == [
        ("1", "6", None), ("2", "3", None), ("2", "6", None)]     # passing 4, 8 and 12; 2 of 8 are left out
    assert not (programs.folder / "web").exists()


def test_numbered_checkpoints_come_as_often_as_asked(programs):
    programs.train("--n_epochs", "3", "--n_epochs_decay", "0", "--save_epoch_freq", "2", "--save_by_iter",
                   "--save_latest_freq", "7", "--no_html")
    assert programs.labels() == {"2", "latest", "iter_7", "iter_14", "iter_21"}
    assert not same(weights(programs.folder, "2"), weights(programs.folder))     # the third epoch is kept too


def test_a_run_goes_on_where_it_stopped(trained):
    before = weights(trained.folder)
    out = trained.train("--continue_train", "--n_epochs", "2")
    assert "goes on at epoch 3, image 1 of it, with everything" in out
    log = (trained.folder / "loss_log.txt").read_text()
    assert [m[1] for m in LOSS_LINE.finditer(log)] == ["1", "1", "2", "2", "3", "3"]
    assert not same(before, weights(trained.folder))
    assert {"1", "2", "3", "latest"} == trained.labels()


def test_a_run_in_two_parts_equals_one_in_a_piece(programs, tmp_path):
    programs.train("--n_epochs", "1", "--n_epochs_decay", "0", "--lr_policy", "step")
    programs.train("--n_epochs", "2", "--n_epochs_decay", "0", "--lr_policy", "step", "--continue_train")
    programs.train("--n_epochs", "2", "--n_epochs_decay", "0", "--lr_policy", "step", "--name", "whole")
    for name in "GFD":
        assert same(weights(programs.folder, name=name), weights(programs.checkpoints / "whole", name=name))


def test_a_new_run_may_start_from_the_weights_of_another(trained):
    out = trained.train("--continue_train", "--pretrained_name", "run", "--epoch", "1", "--name", "next",
                        "--lr", "1e-12")
    assert "starts at epoch 1 from the weights 1 of" in out
    old, new = weights(trained.folder, "1"), weights(trained.checkpoints / "next")
    assert all(torch.allclose(value, new[key], atol=1e-6) for key, value in old.items())


def interrupt_after(path: Path) -> None:
    """Ctrl-C, from a thread, as soon as a file holds a loss line."""
    def wait():
        while not (path.exists() and LOSS_LINE.search(path.read_text())):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=wait, daemon=True).start()


def test_ctrl_c_saves_and_ends(programs, capsys):
    interrupt_after(programs.folder / "loss_log.txt")
    with pytest.raises(SystemExit) as ended:
        programs.train("--n_epochs", "100000", "--no_html")
    assert ended.value.code == 130
    out, err = capsys.readouterr()
    epoch, image = map(int, re.search(r"^SIGINT: ends; kept is epoch (\d+), image (\d+) of it .*"
                                      "--continue_train goes on$", out, re.MULTILINE).groups())
    assert err == "" and "latest" in programs.labels()
    resumed = programs.train("--continue_train", "--n_epochs", str(epoch), "--n_epochs_decay", "0")
    assert f"goes on at epoch {epoch}, image {image + 1} of it" in resumed


# ---- translation

def test_translation_as_a_process(first_run, data, tmp_path):
    done = process("test.py", "--name", "run", "--dataroot", str(data), "--results_dir", str(tmp_path),
                   "--checkpoints_dir", str(first_run[0].parent), "--gpu_ids", "-1")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "test_latest"
    assert f"translated 5 of 5 images; {folder / 'index.html'}" in done.stdout
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} == {
        f"images/{label}/{name}" for label in ("real_A", "fake_B", "real_B") for name in numbered(5)}
    assert len(re.findall(r"<img", (folder / "index.html").read_text())) == 15


def test_translations_do_not_depend_on_the_batch_size(trained):
    trained.test()
    one = trained.translated()
    trained.test("--batch_size", "3")
    three = trained.translated()
    assert one.keys() == three.keys() == set(numbered(5))
    for name, pixels in one.items():
        assert pixels.shape == (16, 16, 3) and np.abs(pixels.astype(int) - three[name]).max() <= 1


def test_a_number_of_images_and_an_epoch_can_be_chosen(trained):
    out = trained.test("--num_test", "3", "--batch_size", "2", "--epoch", "1")
    assert "translated 3 of 5 images" in out
    assert trained.translated(where="test_1").keys() == set(numbered(3))


def test_a_missing_target_domain_is_not_needed(trained, tmp_path):
    shutil.copytree(trained.data / "testA", tmp_path / "alone" / "testA")
    trained.test("--dataroot", str(tmp_path / "alone"))
    assert trained.translated("real_A").keys() == trained.translated().keys() == set(numbered(5))
    assert trained.translated("real_B") == {}


@pytest.mark.parametrize("mode", [(), ("--dataset_mode", "single")])
def test_any_folder_at_its_own_size(trained, tmp_path, mode):
    """Sub-folders are followed; equal names in one folder do not overwrite each other."""
    paint(tmp_path / "photos", ["a.png", "a.bmp", "trip/a.png", "trip/b c.png"], size=(21, 13))
    out = trained.test("--dataroot", str(tmp_path / "photos"), "--preprocess", "none", *mode)
    assert "translated 4 of 4 images" in out
    found = trained.translated()
    assert found.keys() == {"a.png", "a_2.png", "trip/a.png", "trip/b c.png"}
    assert {pixels.shape for pixels in found.values()} == {(13, 21, 3)}
    assert len({pixels.tobytes() for pixels in found.values()}) == 4


def test_the_direction_is_remembered(programs):
    programs.train("--direction", "BtoA", "--no_html")
    programs.test("--preprocess", "none")
    shown, files = programs.translated("real_A"), programs.data / "testB"
    assert all(np.array_equal(pixels, np.asarray(Image.open(files / name))) for name, pixels in shown.items())


def test_published_weights_need_no_record(trained):
    """Plain files with the keys of DataParallel and no opt.json: the flags say which network it is."""
    trained.test()
    expected = trained.translated()
    for path in trained.folder.iterdir():
        if path.name not in ("latest_net_G.pth", "web"):
            path.unlink()
    wrapped = {f"module.{key}": value for key, value in weights(trained.folder).items()}
    torch.save(wrapped, trained.folder / "latest_net_G.pth")
    trained.test("--netG", "resnet_4blocks", "--ngf", "2", "--crop_size", "16", "--load_size", "16")
    found = trained.translated()
    assert all(np.array_equal(pixels, found[name]) for name, pixels in expected.items())
    line = trained.fails(2, "test")
    assert "latest_net_G.pth does not fit the network built here" in line and "--netG" in line


# ---- how they end

@pytest.mark.parametrize("script, flags, words", [
    ("train", ["--bach_size", "2"], "there is no flag --bach_size; did you mean --batch_size?"),
    ("train", ["--dataroot", "/nowhere"], "--dataroot is '/nowhere', which does not exist"),
    ("train", ["--model", "nothing"], "there is no models/nothing_model.py; choose one of"),
    ("train", ["--batch_size", "9"], "--batch_size is 9, but an epoch has only 8 images"),
    ("train", ["--nce_layers", "0,40"], "--nce_layers names layer 40"),
    ("train", ["--crop_size", "4"], "--crop_size 4 is too small for --netG resnet_4blocks"),
    ("train", ["--continue_train"], "latest_net_G.pth"),
    ("train", ["--phase", "night"], "nightA"),
    ("test", ["--epoch", "7"], "holds --epoch 1, 2, latest: choose one with --epoch"),
    ("test", ["--name", "other"], "holds run: check --name"),
    ("test", ["--netG", "unet_128"], "does not fit the network built here"),
    ("test", ["--phase", "night"], "nightA"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_mistakes_end_with_2_and_one_line(trained, script, flags, words):
    if script == "train":
        flags = ["--name", "new", *flags]
    assert words in trained.fails(2, script, *flags)


def test_bad_images_end_with_1_and_name_them(programs, tmp_path):
    shutil.copytree(programs.data, tmp_path / "bad")
    for name in numbered(5):
        (tmp_path / "bad" / "trainA" / name).write_bytes(b"no image")
    line = programs.fails(1, "train", "--dataroot", str(tmp_path / "bad"))
    assert "cannot be read" in line and str(tmp_path / "bad" / "trainA") in line


# ---- plug-ins

# One process for several runs, which saves importing torch again.
RUN_ALL = """
import json, runpy, sys
for run in json.loads(sys.argv[1]):
    sys.argv = run
    runpy.run_path(run[0], run_name="__main__")
"""


def test_the_plug_ins_of_the_documentation_work(tmp_path):
    """Files copied out of docs/plugins.md into a copy of the program, and its commands, on tiny images."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    files = dict(re.findall(r"`((?:models|data)/[\w/]+\.py)`:\n\n```python\n(.*?)```", page, re.DOTALL))
    assert len(files) == 4
    for name in ("data", "models", "options", "util"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("*.py"):
        shutil.copy(path, tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    commands = re.findall(r"^python (train\.py|test\.py) (.*)$", page, re.MULTILINE)
    assert [script for script, _ in commands] == ["train.py", "test.py"]
    dataroot = tmp_path / commands[0][1].split()[1]
    for phase in ("train", "test"):
        paint(dataroot / phase, numbered(4), size=(40, 20))

    tiny = " ".join(TINY).replace("--netF_nc 4 --num_patches 8 ", "").split()      # CUT's own flags
    more = {"train.py": [*tiny, *SHORT, "--lambda_L1", "10"],
            "test.py": ["--gpu_ids", "-1", "--swap_halves", "--preprocess", "none"]}
    runs = [[script, *flags.split(), *more[script]] for script, flags in commands]
    done = process("-c", RUN_ALL, json.dumps(runs), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "checkpoints" / "facades" / "loss_log.txt").read_text()
    assert len(re.findall(r"G_GAN: \S+ D_real: \S+ D_fake: \S+ L1: \S+ G: \S+$", log, re.MULTILINE)) == 2
    for label, x in (("real_A", 20), ("real_B", 0)):        # the halves were swapped
        found = np.asarray(Image.open(tmp_path / f"results/facades/test_latest/images/{label}/0.png"))
        assert np.array_equal(found, np.asarray(Image.open(dataroot / "test" / "0.png"))[:, x:x + 20])

    for domain in "AB":
        paint(dataroot / f"train{domain}", numbered(2))
    smooth = ["--dataroot", str(dataroot), "--name", "smooth", "--model", "smooth",
              "--auxiliary", "brightness=2"]
    done = process("-c", RUN_ALL, json.dumps([["train.py", *smooth, *TINY, *SHORT]]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "checkpoints" / "smooth" / "loss_log.txt").read_text()
    assert re.search(r" G: \S+ NCE: \S+ NCE_Y: \S+ TV: \S+ brightness: \S+$", log, re.MULTILINE)
