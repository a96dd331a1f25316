"""Every experiment script: its head against the paper, a dry run, a real run of two steps."""

import json
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.exported import exported, write_images

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts" / "experiments"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.sh") if path.stem != "common")

# FID on horse -> zebra, cat -> dog, Cityscapes (DCLGAN's and UNSB's tables repeat them).
TABLE_1 = {"cyclegan": (77.2, 85.9, 76.3), "distancegan": (72.0, 155.3, 81.8), "gcgan": (86.7, 96.6, 105.2),
           "selfdistance": (80.8, 144.4, 78.8), "cut": (45.5, 76.2, 56.4), "fastcut": (73.4, 94.0, 68.8),
           "munit": (133.8, 104.4, 91.4), "drit": (140.0, 123.4, 155.3)}
SECONDS = {"cyclegan": 0.40, "distancegan": 0.15, "selfdistance": 0.16, "gcgan": 0.26, "cut": 0.24,
           "fastcut": 0.15, "munit": 0.39, "drit": 0.70}
# Recalled: FID on horse -> zebra and Cityscapes, and the flags that make the row.
ABLATION = {
    "no_identity": (39.3, 68.5, "--nce_idt False"),
    "no_identity_15_negatives": (44.1, 59.7, "--nce_idt False --num_patches 16"),
    "no_identity_15_negatives_last_layer": (38.1, 114.1, "--nce_idt False --num_patches 16 --nce_layers 16"),
    "last_layer": (441.7, 141.1, "--nce_layers 16"),
    "both_negatives": (56.4, 64.4, "--nce_negatives both"),
    "external_negatives": (53.0, 110.3, "--nce_negatives external"),
    "external_negatives_last_layer": (60.1, 389.1, "--nce_negatives external --nce_layers 16"),
}
# Recalled: FID on horse -> zebra of methods that came after CUT, and the flags that make the row.
SUCCESSORS = {"hdce_src": (34.4, "--recipe hdce_src"), "monce": (41.9, "--recipe monce --batch_size 12"),
              "qsattn": (41.1, "--recipe qsattn"),
              "enco": (38.7, "--recipe enco --warmup_epochs 20 --n_epochs 100 --n_epochs_decay 100")}
# The same on Cityscapes and cat -> dog.
ELSEWHERE = {"cityscapes_hdce_src": (46.4, "--recipe hdce_src --lambda_SRC 0.1"),
             "cityscapes_qsattn": (53.5, "--recipe qsattn"), "cat2dog_qsattn": (72.8, "--recipe qsattn"),
             "cityscapes_enco": (45.4, "--recipe enco --warmup_epochs 20 --n_epochs 100"),
             "cat2dog_enco": (54.7, "--recipe enco --warmup_epochs 20 --n_epochs 100")}
# What users of the published codes report for horse -> zebra, at the last epoch.
USERS = {"horse2zebra_cut": "FID 60-68", "horse2zebra_hdce_src": "FID 45"}
# FID on horse -> zebra, cat -> dog, Cityscapes, seconds of a step, flags (the README of Han et al. 2021).
DCLGAN = {"dclgan": (43.2, 60.7, 49.4, 0.41, "--model dclgan"),
          "simdcl": (47.1, 65.5, 51.3, 0.47, "--model dclgan --dcl_mode simdcl")}
TASKS = ["horse2zebra", "cat2dog", "cityscapes"]


def head(script: str) -> dict[str, str]:
    lines = (FOLDER / f"{script}.sh").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    return dict(line[2:].split(": ", 1) for line in lines[2:6])


def commands(script: str, *flags: str, **environment: str) -> list[list[str]]:
    """The commands of a dry run, without the Python they start with."""
    result = subprocess.run(["bash", str(FOLDER / f"{script}.sh"), *flags], capture_output=True, text=True,
                            check=True, env={**os.environ, "DRY_RUN": "1", **environment})
    return [line.split()[1:] for line in result.stdout.splitlines() if ".py " in line]


def value(words: list[str], flag: str) -> str:
    """What a flag is set to, where it stands last."""
    return words[len(words) - words[::-1].index(flag)]


def test_all_rows_of_the_tables_have_a_script():
    wanted = {f"{task}_{method}" for task in TASKS for method in TABLE_1}
    wanted |= {f"{task}_ablation_{row}" for task in ("horse2zebra", "cityscapes") for row in ABLATION}
    wanted |= {f"{task}_{method}" for task in ("grumpycat", "paris2burano")
               for method in ("cut", "fastcut", "cyclegan")}
    wanted |= {f"horse2zebra_{method}" for method in SUCCESSORS} | set(ELSEWHERE)
    wanted |= {f"{task}_{method}" for task in TASKS for method in DCLGAN}
    assert set(SCRIPTS) == wanted | {"gta2cityscapes_cut", "single_image_sincut"}


@pytest.mark.parametrize("method", TABLE_1)
def test_table_1(method):
    for task, fid in zip(TASKS, TABLE_1[method], strict=True):
        assert re.match(rf"FID {fid}(,|$)", head(f"{task}_{method}")["Expected"])
        assert f" {SECONDS[method]:.2f} " in head(f"{task}_{method}")["Cost"]


@pytest.mark.parametrize("row", ABLATION)
def test_ablation(row):
    *fids, flags = ABLATION[row]
    for task, fid in zip(("horse2zebra", "cityscapes"), fids, strict=True):
        script = f"{task}_ablation_{row}"
        assert head(script)["Expected"].startswith(f"FID {fid} ?")
        assert flags in " ".join(commands(script)[0])


@pytest.mark.parametrize("script", [*(f"horse2zebra_{method}" for method in SUCCESSORS), *ELSEWHERE])
def test_successors(script):
    fid, flags = ELSEWHERE.get(script) or SUCCESSORS[script.removeprefix("horse2zebra_")]
    assert head(script)["Expected"] == f"FID {fid} ?"
    assert flags in " ".join(commands(script)[0])
    assert "\n# Protocol: best of the saved epochs\n" in (FOLDER / f"{script}.sh").read_text()


def test_users_scores():
    found = {script: re.search(r"\n# Users: (.*) at the last epoch\n", (FOLDER / f"{script}.sh").read_text())
             for script in SCRIPTS}
    assert {script: match[1] for script, match in found.items() if match} == USERS


@pytest.mark.parametrize("method", DCLGAN)
def test_dclgan(method):
    *fids, seconds, flags = DCLGAN[method]
    for task, fid in zip(TASKS, fids, strict=True):
        assert head(f"{task}_{method}")["Expected"] == f"FID {fid}"
        assert f" {seconds:.2f} s " in head(f"{task}_{method}")["Cost"]
        assert flags in " ".join(commands(f"{task}_{method}")[0])


@pytest.mark.parametrize("script", SCRIPTS)
def test_cost_follows_from_epochs_steps_and_seconds(script):
    cost, train = head(script)["Cost"], commands(script)[0]
    assert set(head(script)) == {"Expected", "Source", "Cost", "Data"}
    if "GPU hours" not in cost:
        assert cost.startswith("not known")
        return
    epochs = int(re.search(r"(\d+) epochs", cost)[1])
    assert epochs == int(value(train, "--n_epochs")) + int(value(train, "--n_epochs_decay"))
    steps = re.search(r"epochs of (?:about )?([\d,]+) steps", cost)
    steps = int(steps[1].replace(",", "")) if steps else 1000      # Paris -> Burano: for 1,000 images
    seconds = float(re.search(r"(\d\.\d+)(?: \?)? s", cost)[1]) * (4 if "4 x" in cost else 1)
    hours = int(re.search(r"(\d+) GPU hours", cost)[1])
    assert hours == pytest.approx(epochs * steps * seconds / 3600, abs=0.6)


def test_overrides_reach_the_commands(tmp_path):
    train, test, score = commands(
        "cityscapes_fastcut", "--n_epochs", "7", DATAROOT=str(tmp_path), NAME="mine",
        CHECKPOINTS=str(tmp_path / "c"), RESULTS=str(tmp_path / "r"), TRANSLATE_FLAGS="--num_test 3",
        EVALUATE_FLAGS="--size 64")
    assert (train[0], test[0], score[0]) == ("train.py", "test.py", "scripts/evaluate.py")
    assert value(train, "--n_epochs") == "7" and value(train, "--n_epochs_decay") == "50"
    for words in (train, test):
        assert value(words, "--dataroot") == str(tmp_path) and value(words, "--name") == "mine"
        assert value(words, "--checkpoints_dir") == str(tmp_path / "c")
        assert value(words, "--direction") == "BtoA"
    assert value(test, "--num_test") == "3" and value(score, "--size") == "64"
    assert value(score, "--real") == str(tmp_path / "testA")     # BtoA: photos are in domain A
    assert value(score, "--fake") == str(tmp_path / "r" / "mine" / "test_latest" / "images" / "fake_B")


def test_relative_paths_are_those_of_the_caller(tmp_path):
    result = subprocess.run(["bash", str(FOLDER / "horse2zebra_cut.sh")], cwd=tmp_path, capture_output=True,
                            text=True, check=True, env={**os.environ, "DRY_RUN": "1", "DATAROOT": "data"})
    assert f"--dataroot {tmp_path}/data " in result.stdout


def test_missing_data_are_one_line_before_any_work(tmp_path):
    folders = {"DATAROOT": str(tmp_path / "none"), "CHECKPOINTS": str(tmp_path)}
    result = subprocess.run(["bash", str(FOLDER / "horse2zebra_cut.sh")], capture_output=True, text=True,
                            env={**os.environ, **folders})
    assert result.returncode == 2
    assert result.stderr.startswith(f"horse2zebra_cut: error: there is no {tmp_path}/none; get it")
    assert len(result.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


# ---- real runs: bash asks this process, which has imported torch already, to run each Python program

CLIENT = """#!{python} -SE
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
server.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
sys.exit(int(server.makefile().readline()))
"""


class Python:
    """A program for PYTHON=... that has this process run what it is given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.program, self.monkeypatch, self.ran = folder / "python", monkeypatch, []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(folder / "socket"))
        self.server.listen()
        self.server.settimeout(0.05)
        self.program.write_text(CLIENT.format(python=sys.executable, address=str(folder / "socket")))
        self.program.chmod(0o755)

    def bash(self, script: str, *flags: str, **environment: str) -> int:
        process = subprocess.Popen(["bash", str(FOLDER / f"{script}.sh"), *flags],
                                   env={**os.environ, "PYTHON": str(self.program), **environment})
        while process.poll() is None:
            try:
                connection, _ = self.server.accept()
            except TimeoutError:
                continue
            with connection, connection.makefile("rw") as stream:
                stream.write(f"{self.run(json.loads(stream.readline()))}\n")
        return process.returncode

    def run(self, argv: list[str]) -> int:
        self.ran.append(argv)
        self.monkeypatch.setattr(sys, "argv", argv)
        self.monkeypatch.chdir(ROOT)
        try:
            runpy.run_path(str(ROOT / argv[0]), run_name="__main__")
        except SystemExit as stop:
            return stop.code or 0
        return 0


@pytest.fixture
def python(tmp_path, monkeypatch):
    client = Python(tmp_path, monkeypatch)
    yield client
    client.server.close()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four images in each folder that a script may read; B holds colours of Cityscapes' road and sky."""
    root = tmp_path_factory.mktemp("images")
    for folder in ("trainA", "testA"):
        write_images(root / folder, 4, seed=1)
    for folder in ("trainB", "testB"):
        (root / folder).mkdir()
        for number in range(4):
            pixels = np.full((16, 16, 3), (128, 64, 128), dtype=np.uint8)
            pixels[:4 + number] = (70, 130, 180)
            Image.fromarray(pixels).save(root / folder / f"{number:02}.png")
    return root


TINY = ("--ngf 2 --ndf 2 --crop_size 16 --load_size 16 --n_epochs 1 --n_epochs_decay 0 --save_epoch_freq 9 "
        "--gpu_ids -1 --num_threads 0 --display_id 0").split()
TINY_CUT = "--netG resnet_4blocks --netD n_layers --n_layers_D 1 --max_dataset_size 2 --batch_size 1".split()
TINY_STYLES = {"munit": "--crop_size 64 --load_size 64".split(),
               "drit": "--crop_size 64 --load_size 64 --batch_size 2 --d_iter 1".split()}
TINY_SINCUT = "--netG smallstylegan2 --crop_size 16 --batch_size 2 --crops_per_epoch 4 --no_html".split()


def environment(tmp_path: Path, dataroot: Path) -> dict[str, str]:
    return dict(DATAROOT=str(dataroot), CHECKPOINTS=str(tmp_path / "c"), RESULTS=str(tmp_path / "r"),
                TRANSLATE_FLAGS="--gpu_ids -1 --num_threads 0 --load_size 16 --crop_size 16",
                EVALUATE_FLAGS=f"--gpu_ids -1 --features {exported()}")


@pytest.mark.parametrize("script", SCRIPTS)
def test_two_steps_of_every_experiment(script, python, images, tmp_path, capfd):
    flags, dataroot = [*TINY, *TINY_CUT], images
    flags += TINY_STYLES.get(script.split("_")[-1], [])
    if script == "single_image_sincut":
        flags, dataroot = [*TINY, *TINY_SINCUT], tmp_path / "single"
        write_images(dataroot / "trainA", 1, size=(40, 32))
        write_images(dataroot / "trainB", 1, size=(36, 40))
    assert python.bash(script, *flags, **environment(tmp_path, dataroot)) == 0, capfd.readouterr()
    folder, = (tmp_path / "r" / script).iterdir()
    assert len(list((folder / "images" / "fake_B").iterdir())) == (1 if "single" in script else 4)
    assert (tmp_path / "c" / script / "finished.txt").exists()
    if "single" in script:
        assert [argv[0] for argv in python.ran] == ["train.py", "test.py"]
    else:
        scores = json.loads((folder / "metrics.json").read_text())["figures"]
        assert scores["Frechet distance"]["value"] >= 0


class Road(torch.nn.Module):
    """photos: [B, 3, H, W]. Returns scores [B, 19, H, W] by which all is road, Cityscapes' first class."""

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        one = torch.ones_like(photos[:, :1])
        return torch.cat([one, torch.zeros_like(one).expand(-1, 18, -1, -1)], dim=1)


def test_cityscapes_photos_are_segmented(python, images, tmp_path, capfd):
    folders = environment(tmp_path, images) | {"SEGMENTER": str(exported(Road))}
    assert python.bash("cityscapes_fastcut", *TINY, *TINY_CUT, **folders) == 0
    output = tmp_path / "r" / "cityscapes_fastcut" / "test_latest" / "segmentation.json"
    scores = json.loads(output.read_text())["figures"]
    # Of 16 rows, 4 to 7 are sky and the rest is road.
    assert scores["pixAcc"] == pytest.approx(100 * (12 + 11 + 10 + 9) / 64, abs=1)
    assert scores["classAcc"] == pytest.approx(50)
    assert python.bash("cityscapes_fastcut", *TINY, *TINY_CUT, **folders) == 0
    assert len(python.ran) == 4 and "segmentation.json: evaluated already" in capfd.readouterr().out


def test_a_second_run_skips_what_is_done_and_refuses_other_flags(python, images, tmp_path, capfd):
    folders = environment(tmp_path, images)
    assert python.bash("horse2zebra_cut", *TINY, *TINY_CUT, **folders) == 0
    ran = len(python.ran)
    assert python.bash("horse2zebra_cut", *TINY, *TINY_CUT, **folders) == 0
    assert len(python.ran) == ran == 3
    assert capfd.readouterr().out.count(" already\n") == 3
    assert python.bash("horse2zebra_cut", *TINY, *TINY_CUT, "--lr", "0.1", **folders) == 2
    assert "was trained with other flags" in capfd.readouterr().err


def test_an_interrupted_run_goes_on(python, images, tmp_path):
    folders = environment(tmp_path, images)
    flags = [*TINY, *TINY_CUT]
    folder = tmp_path / "c" / "horse2zebra_cut"
    assert python.bash("horse2zebra_cut", *flags, **folders) == 0
    (folder / "finished.txt").unlink()        # as if it had been killed behind its last save
    assert python.bash("horse2zebra_cut", *flags, **folders) == 0
    (folder / "finished.txt").unlink()        # and now before its end
    longer = [*flags, "--n_epochs_decay", "1", "--save_epoch_freq", "1"]
    assert python.bash("horse2zebra_cut", *longer, **folders) == 0
    assert [argv[-1] for argv in python.ran if argv[0] == "train.py"][1:] == ["--continue_train"] * 2
    assert [path.name for path in folder.glob("[0-9]*_net_G.pth")] == ["2_net_G.pth"]     # not 1 again
    assert len(python.ran) == 9               # translated and evaluated again, too


def test_a_failing_step_ends_the_script(python, images, tmp_path):
    folders = environment(tmp_path, images)
    assert python.bash("horse2zebra_cut", *TINY, "--crop_size", "15", **folders) == 2
    assert [argv[0] for argv in python.ran] == ["train.py"]
    assert not (tmp_path / "c" / "horse2zebra_cut" / "finished.txt").exists()
