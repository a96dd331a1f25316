"""The end of a run in words; the command that it proposes works."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import train
from tests.exported import write_images

ROOT = Path(__file__).parents[3]
SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
         "--nce_layers 0,4 --crop_size 16 --load_size 16 --gpu_ids -1 --num_threads 0 --logger none "
         "--n_epochs_decay 0 --evaluation_freq 2 --ema 4").split()


def test_summary(tmp_path, monkeypatch, capsys):
    for i, (folder, count) in enumerate(dict(trainA=4, trainB=4, testA=2, testB=2).items()):
        write_images(tmp_path / "my data" / folder, count, seed=i)

    def run(*more: str) -> dict[str, list[str]]:
        places = ["--dataroot", str(tmp_path / "my data"), "--checkpoints_dir", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["train.py", *places, "--name", "run", *SMALL, *more])
        train.main()
        said: dict[str, list[str]] = {}
        for line in capsys.readouterr().out.rpartition("End of epoch")[2].splitlines()[1:]:
            title, _, text = line.partition(":")
            said.setdefault(title, []).append(text.strip())
        return said

    said = run("--n_epochs", "2")
    assert said["done"] == ["2 epochs, 8 images"]
    assert re.fullmatch(r"\d+ s, [\d.]+ images/s, evaluations and saves included", said["time"][0])
    folder = tmp_path / "run"
    rows = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    for line, name in zip(said["score"], ("swd", "swd_ema"), strict=True):
        best = min(rows, key=lambda row, name=name: row["metrics"][name])
        assert line == (f"{name} {rows[-1]['metrics'][name]:.4g}, best {best['metrics'][name]:.4g} at image "
                        f"{best['total_images']}")
    assert said["kept"] == [f"{folder}: latest_net_*.pth, best_net_*.pth"]
    assert said["page"] == [str(folder / "web" / "index.html")] and Path(said["page"][0]).exists()

    command, _, behind = said["next"][0].partition(", also with ")
    words = [sys.executable, *shlex.split(command)[1:], *shlex.split(behind), "--gpu_ids", "-1"]
    done = subprocess.run([*words, "--results_dir", str(tmp_path / "results")], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "results").rglob("fake_B/*.png"))

    said = run("--n_epochs", "3", "--continue_train", "--no_html")
    assert said["done"] == ["3 epochs, 12 images, 4 of them since it was resumed"] and "page" not in said
