"""gpu_report.py: its rehearsal for real, the page that it writes, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from scripts import gpu_report
from scripts.gpu.page import REHEARSAL
from util.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_report.py"


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole rehearsal: gpu.md, record.json."""
    work = tmp_path_factory.mktemp("report")
    before = (ROOT / "docs" / "gpu.md").read_bytes()
    done = subprocess.run([sys.executable, str(SCRIPT), "--rehearsal", "--work", str(work)],
                          capture_output=True, text=True, cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    (work / "said").write_text(done.stdout)
    assert (ROOT / "docs" / "gpu.md").read_bytes() == before
    return work


def cells(page: str, title: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    lines = page.split(f"## {title}")[1].split("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_every_part_came_to_its_end(rehearsal):
    parts = json.loads((rehearsal / "record.json").read_text())["parts"]
    assert list(parts) == list(gpu_report.PARTS)
    assert {name: data["problem"] for name, data in parts.items() if "problem" in data} == {}
    assert parts["speed"]["failed"] == {} and parts["speed"]["not_reached"] == []
    tests = parts["tests"]["outcomes"]
    assert any("test_precision.py::test_every_precision_trains_on_a_gpu" in name for name in tests)
    assert set(tests.values()) <= {"PASSED", "SKIPPED"}


def test_the_steps_agree_with_float64(rehearsal):
    """In fp32 as its 24 bits let them; in bf16, of 8 bits, losses within 3 %."""
    rows = cells((rehearsal / "gpu.md").read_text(), "Agreement with float64")
    models = "CUT", "FastCUT", "SinCUT", "CycleGAN"
    assert [row[:2] for row in rows] == [[model, precision] for model in models
                                         for precision in ("fp32", "bf16")]
    for model, precision, loss, gradients, changes, _, agrees in rows:
        assert agrees == "yes", model
        assert float(loss.split()[0]) < (1e-5 if precision == "fp32" else 0.03), model
        assert float(gradients.split()[0]) < (1e-4 if precision == "fp32" else 0.6), model
        assert float(changes) > (0.99 if precision == "fp32" else 0.7), model


def test_the_page_holds_what_was_measured(rehearsal):
    page, record = (rehearsal / "gpu.md").read_text(), json.loads((rehearsal / "record.json").read_text())
    assert page.startswith(REHEARSAL) and torch.__version__ in page
    timed = cells(page, "Speed")
    assert [row[0] for row in timed] == ["CUT auto, batch 1", "CUT bf16, batch 1",
                                         "CUT auto --channels_last, batch 4"]
    for shown, row in zip(timed, record["parts"]["speed"]["rows"], strict=False):
        value, unit = shown[2].split()
        assert float(value) / (1000 if unit == "ms" else 1) == pytest.approx(row["seconds"], rel=0.01)
    assert [row[1] for row in timed] == ["fp32", "bf16", "fp32"]
    choices = {row[0]: row for row in cells(page, "What `auto` chose")}
    assert choices["`--precision`"][1:3] == ["fp32", "bf16"]
    assert choices["`--precision`"][3] in ("holds", "contradicted")
    assert choices["`--compile`"][3] == "not measured"


def test_the_training_was_killed_and_went_on(rehearsal):
    training = json.loads((rehearsal / "record.json").read_text())["parts"]["training"]
    killed, ended = training["killed"], training["ended"]
    assert killed["saved"] <= killed["images"] < ended["images"]
    assert killed["images"] - killed["saved"] <= 4 + 1      # --save_latest_freq, and a save under way
    assert ended["code"] == 143 and ended["saved"] == ended["images"]
    assert ended["in_order"] and ended["largest_gap"] == 1 and ended["lines"] == ended["images"]
    assert f"exit code 143, saved after {ended['saved']}" in (rehearsal / "gpu.md").read_text()


def test_the_pages_images_are_there_and_whole(rehearsal):
    page = (rehearsal / "gpu.md").read_text()
    names = re.findall(r"!\[[^]]+\]\((\S+?)\)", page)
    assert names == ["gpu_speed.svg", "gpu_losses.svg", "gpu_sheet.png"]
    bars, losses = ("".join(ElementTree.parse(rehearsal / name).getroot().itertext())
                    for name in names[:2])
    assert "CUT auto --channels_last, batch 4" in bars and "NCE_Y" in losses and "D_fake" in losses
    with Image.open(rehearsal / "gpu_sheet.png") as sheet:  # 2 test images of 32 pixels, 2 translations
        assert sheet.size == (2 * 32 + 4, 2 * 32 + 4)


def test_the_end_says_what_to_read(rehearsal):
    said = (rehearsal / "said").read_text()
    assert f"read {rehearsal / 'gpu.md'}" in said and "nothing to commit" in said


@pytest.mark.parametrize(("arguments", "message"), [
    (["--minutes", "0"], "--minutes is 0; give at least 1"),
    (["--dataroot", "/no"], "--dataroot /no holds no trainA; it needs trainA, trainB, testA, testB"),
    (["--output", "page.html"], "--output is page.html; give a page's name that ends in .md"),
    (["--reference", "/nowhere"], "--reference /nowhere holds no options/train_options.py"),
    (["--output", str(ROOT / "docs" / "gpu.md")], "is no rehearsal's page, and a rehearsal may not replace")])
def test_mistakes_are_said_in_one_line(arguments, message):
    done = subprocess.run([sys.executable, str(SCRIPT), "--rehearsal", *arguments],
                          capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_rehearsal_may_replace_a_rehearsal_alone(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text("# On a GPU: NVIDIA H100\n")
    args = gpu_report.parse(["--rehearsal", "--output", str(page)])
    with pytest.raises(UsageError, match="no rehearsal's page"):
        gpu_report.check(args)
    page.write_text(f"{REHEARSAL}\nMade on some day.\n")
    gpu_report.check(args)


def test_without_a_gpu_it_rehearses(monkeypatch):
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert gpu_report.parse([]).rehearsal is not there


def test_an_interruption_leaves_the_page(tmp_path):
    """SIGTERM while a part runs: what that part started ends, and the page tells of it."""
    code = ("import os, signal, sys\nsys.path.insert(0, sys.argv.pop(1))\n"
            "from scripts import gpu_report\nfrom util.errors import run_command\n"
            "def part(context, data):\n    data['outcomes'] = {'a': 'PASSED'}\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n    signal.pause()\n"
            "gpu_report.PARTS['tests'] = part\nrun_command(gpu_report.main)\n")
    done = subprocess.run([sys.executable, "-c", code, str(ROOT), "--rehearsal", "--work", str(tmp_path)],
                          capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 130, done.stderr
    page = (tmp_path / "gpu.md").read_text()
    assert "| tests marked `cuda` | 1 passed; **interrupted** |" in page and "| speed | not run |" in page
