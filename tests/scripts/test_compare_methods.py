"""compare_methods.py: a real run of one method, and the page from scores that are known."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from options.train_options import TrainOptions
from scripts.benchmarks.cases import MODELS
from scripts.comparison.protocol import METHODS, NETWORKS, SETS, Protocol
from scripts.comparison.runs import measure_costs, read_costs
from tests.exported import exported, write_images

PROGRAM = Path(__file__).parents[2] / "scripts" / "compare_methods.py"
TINY = ("--ngf 2 --ndf 2 --crop_size 16 --load_size 16 --netG resnet_4blocks --netD n_layers --n_layers_D 1 "
        "--max_dataset_size 4 --n_epochs 1 --n_epochs_decay 0 --evaluation_freq 4 --gpu_ids -1 "
        "--num_threads 0")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, PROGRAM, "--data", folder / "data", "--features", exported(),
               "--runs", folder / "runs", "--page", folder / "docs" / "results.md", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def table(page: str, title: str) -> dict[str, list[str]]:
    """First column -> the others, of the table under a title."""
    lines = page.split(f"## {title}\n")[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in rows if not row[0].startswith("-")}


def made_run(folder: Path, name: str, scores: list[float], level: int = 200) -> None:
    """A finished run with these scores by every metric, and one translation of this grey."""
    run_folder = folder / "checkpoints" / name
    images = folder / "results" / name / "test_latest_ema" / "images"
    run_folder.mkdir(parents=True)
    metrics = [name + ending for name in ("kid", "fid", "swd") for ending in ("", "_ema")]
    rows = [{"total_images": 10 * number, "metrics": dict.fromkeys(metrics, score), "fake": 3, "real": 5}
            for number, score in enumerate(scores, 1)]
    (run_folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run_folder / "finished.txt").write_text("")
    for shown, grey in (("real_A", 10), ("fake_B", level)):
        (images / shown).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(images / shown / "a.png")


def test_a_method_is_trained_scored_and_shown(tmp_path):
    for number, folder in enumerate(("trainA", "trainB", "testA", "testB")):
        write_images(tmp_path / "data" / "emoji" / folder, 4, seed=number)
    (tmp_path / "docs").mkdir()
    command = ("--sets", "emoji", "--methods", "fastcut", "--seeds", "7", "--more", TINY)
    done = run(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "emoji" / "checkpoints" / "fastcut_seed7"
    last = json.loads((folder / "evaluations.jsonl").read_text().splitlines()[-1])["metrics"]
    page = (tmp_path / "docs" / "results.md").read_text()
    rows = table(page, SETS["emoji"].title)
    assert list(rows) == ["", "the input, untouched", "FastCUT"]
    assert rows["FastCUT"][:2] == [f"{last['kid']:.1f}", f"{last['kid_ema']:.1f}"]
    assert TINY in page and "(results_emoji.png)" in page
    assert "4 translations are compared with 4 images" in page
    with Image.open(tmp_path / "docs" / "results_emoji.png") as image:    # 2 rows of 4 images, 4 apart
        assert image.size == (4 * 16 + 3 * 4, 2 * 16 + 4)
    assert "FastCUT, 1 run" in (tmp_path / "docs" / "results_emoji.svg").read_text()
    weights = folder / "latest_net_G.pth"
    made = weights.stat().st_mtime_ns
    assert run(tmp_path, *command).returncode == 0
    assert weights.stat().st_mtime_ns == made       # not trained again


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """Two seeds of CUT, whose KID ends at 40 and 50 and was 30 and 50 at best; nothing else."""
    (tmp_path / "docs").mkdir()
    folder = tmp_path / "runs" / "horse2zebra"
    made_run(folder, "cut_seed0", [60, 30, 40])
    made_run(folder, "cut_seed1", [60, 70, 50])
    (folder / "checkpoints" / "hdce_src_seed0").mkdir()     # begun, not finished
    (folder / "untouched.json").write_text(
        json.dumps({"figures": {"kernel distance x 1000": {"value": 90, "images": 5}, "SWD x 1000": 7}}))
    return tmp_path


def test_means_and_stds_are_those_of_the_finished_seeds(known):
    done = run(known, "--report")
    assert done.returncode == 0, done.stderr
    rows = table((known / "docs" / "results.md").read_text(), SETS["horse2zebra"].title)
    assert rows["the input, untouched"] == ["90.0", "90.0", "90.0", "", "7.0"]
    # 10 / sqrt(2), and 20 / sqrt(2)
    assert rows["CUT"] == ["45.0 ± 7.1 (2)", "45.0 ± 7.1 (2)", "40.0 ± 14.1 (2)", *["45.0 ± 7.1 (2)"] * 2]
    assert list(rows) == ["", "the input, untouched", "CUT"]        # no score is made up
    pixels = np.asarray(Image.open(known / "docs" / "results_horse2zebra.png"))
    assert pixels.shape[:2] == (8, 8) and (pixels == 200).all()     # the translation; horses are not shown


def test_words_above_the_mark_are_kept(known):
    page = known / "docs" / "results.md"
    page.write_text("# Mine\n\nA verdict.\n\n")
    for _ in range(2):
        assert run(known, "--report").returncode == 0
    text = page.read_text()
    assert text.startswith("# Mine\n\nA verdict.\n\n<!-- ")
    assert text.count("# Mine") == text.count("## How") == 1


def test_scores_of_other_machines_are_kept(known):
    """A page from this machine's runs, then on a machine that has other ones, then on one that has none."""
    page, title = known / "docs" / "results.md", SETS["horse2zebra"].title
    (known / "runs" / "costs.json").write_text(json.dumps({"cut": 0.2}))
    assert run(known, "--report").returncode == 0
    shutil.rmtree(known / "runs")
    made_run(known / "runs" / "horse2zebra", "cut_seed1", [20], level=100)
    made_run(known / "runs" / "horse2zebra", "monce_seed0", [10])
    assert run(known, "--report").returncode == 0
    rows = table(page.read_text(), title)
    assert rows["CUT"][0] == "30.0 ± 14.1 (2)" and rows["MoNCE"][0] == "10.0"       # 40 and 20
    assert rows["the input, untouched"][0] == "90.0" and rows["CUT"][-1] == "1.00"
    written, image = page.read_text(), page.with_name("results_horse2zebra.png").read_bytes()
    shutil.rmtree(known / "runs")
    assert run(known, "--report", "--sets", "horse2zebra").returncode == 0
    assert page.read_text() == written and page.with_name("results_horse2zebra.png").read_bytes() == image


def test_scores_under_other_conditions_are_dropped(known):
    assert run(known, "--report").returncode == 0
    made_run(known / "runs" / "horse2zebra", "monce_seed0", [10])
    shutil.rmtree(known / "runs" / "horse2zebra" / "checkpoints" / "cut_seed0")
    shutil.rmtree(known / "runs" / "horse2zebra" / "checkpoints" / "cut_seed1")
    assert run(known, "--report", "--more", TINY).returncode == 0
    rows = table((known / "docs" / "results.md").read_text(), SETS["horse2zebra"].title)
    assert "MoNCE" in rows and "CUT" not in rows


def test_times_are_relative_to_cut(known):
    (known / "runs" / "costs.json").write_text(json.dumps({"cut": 0.2, "hdce_src": 0.25}))
    made_run(known / "runs" / "horse2zebra", "hdce_src_seed1", [20])
    assert run(known, "--report").returncode == 0
    rows = table((known / "docs" / "results.md").read_text(), SETS["horse2zebra"].title)
    assert [rows[title][-1] for title in ("", "CUT", "hDCE + SRC")] == ["time of a step", "1.00", "1.25"]


def test_a_step_of_methods_of_any_model_is_timed(tmp_path):
    protocol = Protocol(tmp_path, tmp_path, tmp_path, "fp32")
    measure_costs(protocol, ["enco"], rounds=1, steps=1)
    found = read_costs(protocol)
    assert found["cut"] == 1 and found["enco"] > 0 and len(found) == 2
    written = (tmp_path / "costs.json").stat().st_mtime_ns
    measure_costs(protocol, ["cut", "enco"])        # known already
    assert (tmp_path / "costs.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("method", METHODS)
def test_train_and_the_timing_understand_a_method(method, tmp_path):
    """Flags for the timing stand behind those of the benchmark's CUT."""
    for begin in ("", MODELS["CUT"]):
        TrainOptions().parse(f"{begin} --dataroot {tmp_path} {NETWORKS} {METHODS[method].flags}".split())


def test_every_method_is_a_command_line_of_its_own():
    assert len({method.flags for method in METHODS.values()}) == len(METHODS)
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("arguments", [("--sets", "emoji"), ("--report",)])
def test_what_is_missing_is_said(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "there is no" in done.stderr or "holds no finished run" in done.stderr
