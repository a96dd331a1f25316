"""benchmark.py really, with tiny networks: what it times and counts, what it compares, what it refuses."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from scripts.benchmark import parse
from scripts.benchmarks.memory import CASES, GPUS

ROOT = Path(__file__).resolve().parents[2]
SMALL = "--ngf 2 --ndf 2 --netF_nc 4 --netG resnet_4blocks --nce_layers 0,4"


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def record(done: subprocess.CompletedProcess, folder: Path) -> list[dict]:
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text())["results"]


@pytest.mark.parametrize("what", ["step", "epoch", "translate", "data"])
def test_what_it_times(what, tmp_path):
    """The report, the image and the record agree."""
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            Image.new("RGB", (40, 40), (80 * number, 9, 9)).save(tmp_path / folder / f"{number}.png")
    small = f"{SMALL} --load_size 36"
    of_step = ["--steps", 2, "--warmup", 0, "--profile"]
    of_data = ["--dataroot", tmp_path, "--num_threads", 0, "--max_dataset_size", 2]
    done = run(what, "--size", 32, "--rounds", 1, "--threads", 1, f"--flags={small}",
               *(of_step if what == "step" else of_data),
               "--json", tmp_path / "found.json", "--plot", tmp_path / "found.svg")
    row, = record(done, tmp_path)
    images = {"step": 1, "epoch": 2, "translate": 2, "data": 2}[what]
    assert row["images_per_second"] == pytest.approx(images / row["seconds"], rel=0.01)
    assert row["samples"] == {"step": 2, "epoch": 1, "translate": 1, "data": 2}[what] and row["peak_MB"] > 100
    assert f"CUT fp32 {small}{row['seconds']:10.4f}" in done.stdout
    assert ("operations of one step" in done.stdout) == (what == "step")
    assert what != "step" or any("convolution" in one["operation"] for one in row["operations"])
    assert f"CUT fp32 {small}" in (tmp_path / "found.svg").read_text()


def test_sincut_reads_crops_of_noise_where_no_data_are_given(tmp_path):
    done = run("data", "--models", "SinCUT", "--size", 16, "--batch_size", 4, "--items", 10, "--threads", 1,
               "--num_threads", 0, "--rounds", 1, "--flags=--load_size 64", "--json", tmp_path / "found.json")
    row, = record(done, tmp_path)
    # Three batches of 4 are as few as hold 10 items.
    assert row["images_per_second"] == pytest.approx(12 / row["seconds"], rel=0.01) and row["samples"] == 2


def test_another_checkout_is_timed_beside_this_one(tmp_path):
    """A step of this one takes a second longer, so the other, the same code, must be a second faster."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("data", "models", "options", "util"):
        (old / name).symlink_to(ROOT / name)
    (old / "models").unlink()
    (old / "models").mkdir()
    for path in (ROOT / "models").iterdir():
        (old / "models" / path.name).symlink_to(path)
    (old / "models" / "__init__.py").unlink()
    (old / "models" / "__init__.py").write_text((ROOT / "models" / "__init__.py").read_text() + """
import time
_create_model = create_model
def create_model(opt):
    model = _create_model(opt)
    train_step = model.train_step
    model.train_step = lambda batch: time.sleep(1) or train_step(batch)
    return model
""")
    done = run("step", "--baseline", old, "--size", 32, "--rounds", 1, "--steps", 1, "--warmup", 1,
               "--threads", 1, f"--flags={SMALL}", "--json", tmp_path / "found.json")
    ours, baseline = record(done, tmp_path)
    assert (ours["case"], baseline["case"]) == (f"CUT fp32 {SMALL}", f"CUT fp32 {SMALL} baseline")
    assert baseline["seconds"] > 1 > ours["seconds"]
    assert ours["ratio"]["faster"] == pytest.approx(baseline["seconds"] / ours["seconds"], rel=0.01)
    assert baseline["ratio"] is None


def test_memory_is_counted_for_the_flags_given():
    done = run("memory", f"--flags={SMALL}", f"--flags={SMALL} --grad_checkpoint")
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert [row[0] for row in rows[2:]] == [f"`{SMALL}`", f"`{SMALL} --grad_checkpoint`"]
    assert float(rows[2][2]) > float(rows[3][2]) > 0      # MiB for each image


@pytest.mark.parametrize(("arguments", "message"), [
    (["epoch"], "epoch needs --dataroot"), (["data", "--models", "SinCUT", "CUT"], "data needs --dataroot"),
    (["step", "--rounds", "0"], "--rounds is 0; it must be at least 1"),
    (["step", "--baseline", "/nowhere"], "--baseline /nowhere holds no options/train_options.py")])
def test_mistakes_are_said_in_one_line(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_commands_in_the_pages_are_understood():
    commands = []
    for page in (*ROOT.glob("docs/*.md"), ROOT / "README.md"):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ").replace("\n./", " ./")
        commands += re.findall(r"python scripts/benchmark\.py ([^`|\n]+)", text)
    parsed = [parse(shlex.split(command)) for command in commands]
    assert {args.command for args in parsed} == {"step", "epoch", "translate", "data", "decoding", "shards",
                                                 "memory", "exported", "tiles", "scaling"}


def test_the_page_counts_the_memory_of_the_cases_that_are_counted():
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(--precision .*?)`", page, re.MULTILINE) == list(CASES)
    assert " | ".join(f"{gib} GiB" for gib in GPUS) in page


def test_a_failing_case_shows_its_message(tmp_path):
    done = run("data", "--dataroot", tmp_path, "--rounds", 1, "--threads", 1, "--flags=--netG nonesuch")
    assert done.returncode == 1 and "nonesuch" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("benchmark.py: error: project_worker.py failed") and "nonesuch" in last
