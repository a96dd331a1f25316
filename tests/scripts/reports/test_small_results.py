"""small_results.py: a real run of one method, and the page from scores that are known."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.exported import exported, write_images

PROGRAM = Path(__file__).parents[3] / "scripts" / "reports" / "small_results.py"
TINY = ("--ngf 2 --ndf 2 --crop_size 16 --load_size 16 --netG resnet_4blocks --netD n_layers --n_layers_D 1 "
        "--max_dataset_size 2 --n_epochs 1 --n_epochs_decay 0 --gpu_ids -1 --num_threads 0 --display_id 0")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, PROGRAM, "--data", folder / "data", "--features", exported(),
               "--runs", folder / "runs", "--page", folder / "docs" / "results.md", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def table(page: str, title: str) -> dict[str, list[str]]:
    """First column -> the others, of the table under a title."""
    lines = page.split(f"## {title}\n")[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in rows if not row[0].startswith("-")}


def test_a_method_is_trained_scored_and_shown(tmp_path):
    for number, folder in enumerate(("trainA", "trainB", "testA", "testB")):
        write_images(tmp_path / "data" / "emoji" / folder, 4, seed=number)
    (tmp_path / "docs").mkdir()
    done = run(tmp_path, "--sets", "emoji", "--methods", "horse2zebra_fastcut", "--seeds", "7",
               "--more", TINY)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "runs" / "emoji" / "results"
    found = json.loads((results / "horse2zebra_fastcut_seed7" / "test_latest" / "metrics.json").read_text())
    page = (tmp_path / "docs" / "results.md").read_text()
    rows = table(page, "Twemoji → OpenMoji")
    assert list(rows) == ["", "the input, untouched", "FastCUT"]
    assert rows[""] == ["SWD x 1000", "Frechet distance", "kernel distance x 1000", "PSNR, dB", "SSIM"]
    assert rows["FastCUT"][0] == f"{found['figures']['SWD x 1000']['value']:.1f}"
    assert TINY in page and "(results_emoji.png)" in page
    with Image.open(tmp_path / "docs" / "results_emoji.png") as image:    # 3 rows of 4 images, 4 apart
        assert image.size == (4 * 16 + 3 * 4, 3 * 16 + 2 * 4)


def test_means_and_stds_are_those_of_the_seeds(tmp_path):
    (tmp_path / "data" / "horse2zebra" / "testA").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    results = tmp_path / "runs" / "horse2zebra" / "results"
    for name, value in (("untouched", 90), ("horse2zebra_cut_seed0", 40), ("horse2zebra_cut_seed1", 50)):
        folder = results / name / "test_latest"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"figures": {"SWD x 1000": {"value": value}}}))
        for shown, level in (("real_A", 10), ("fake_B", 200)):
            (folder / "images" / shown).mkdir(parents=True)
            Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(folder / "images" / shown / "a.png")
    done = run(tmp_path, "--report", "--sets", "horse2zebra", "--seeds", "0", "1")
    assert done.returncode == 0, done.stderr
    rows = table((tmp_path / "docs" / "results.md").read_text(), "Horse → zebra, a part")
    assert rows["the input, untouched"][0] == "90.0"
    assert rows["CUT"] == ["45.0 ± 7.1", "", ""]       # 10 / sqrt(2)
    assert rows["GcGAN"] == ["", "", ""]                        # not run: no score is made up
    pixels = np.asarray(Image.open(tmp_path / "docs" / "results_horse2zebra.png"))
    assert pixels.shape[:2] == (8, 8) and (pixels == 200).all()    # CUT; no row of GcGAN, nor of the horses


def test_what_is_missing_is_said(tmp_path):
    done = run(tmp_path, "--sets", "emoji")
    assert done.returncode == 2 and "there is no" in done.stderr and len(done.stderr.splitlines()) == 1
