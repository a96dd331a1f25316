"""gpu_report.py: its rehearsal for real, the page that it writes, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from scripts import gpu_report
from scripts.gpu.page import REHEARSAL
from scripts.gpu.plan import gpu_plan
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
    text = page.split(f"## {title}")[1]
    rows = re.search(r"(^\|.*\n)+", text, re.MULTILINE)[0].splitlines()
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
    for model, precision, loss, gradients, changes, agrees in rows:
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
    with Image.open(rehearsal / "gpu_sheet.png") as sheet:      # 2 images of 32 pixels over 2 translations
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


def test_the_commands_in_the_pages_are_understood():
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    commands = [command for page in pages for command in re.findall(
        r"python scripts/gpu_report\.py([^`|\n]*)", page.read_text(encoding="utf-8"))]
    assert len(commands) >= 3
    for command in commands:
        gpu_report.parse(command.split())


def test_without_a_gpu_it_rehearses(monkeypatch):
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert gpu_report.parse([]).rehearsal is not there


def test_what_is_told_of_a_gpu(monkeypatch):
    card = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, major=9, minor=0,
                           multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    facts = gpu_report.facts(rehearsal=False)
    assert facts["device"] == "NVIDIA H100"
    assert (facts["its memory"], facts["compute capability"]) == ("80.0 GiB", "9.0")
    assert facts["PyTorch"] == torch.__version__
    for capability, formats in (((9, 0), "fp32 tf32 bf16 fp16"), ((7, 5), "fp32 fp16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
        assert gpu_report.precisions_of_gpu() == tuple(formats.split())


def test_the_end_says_what_to_commit(tmp_path):
    """After a GPU's report, and which choice its numbers speak against."""
    (tmp_path / "gpu_speed.svg").touch()
    auto = SimpleNamespace(precision="bf16", channels_last=False, compile=False)
    timed = [{"what": "step", "model": "CUT", "subject": "ours", "batch_size": 1, "precision": "auto",
              "said": [], "changed": changed, "seconds": seconds, "quartiles": [seconds, seconds]}
             for changed, seconds in (("", 0.02), ("--channels_last", 0.01))]
    record = {"parts": {"speed": {"rows": timed}, "memory": {"problem": "no kernel"}}}
    args = SimpleNamespace(rehearsal=False, dataroot=tmp_path)
    plan = gpu_plan(10, auto, ("bf16",), False)
    said = gpu_report.closing(args, tmp_path / "gpu.md", tmp_path, record, plan, auto)
    assert f"commit: git add {tmp_path / 'gpu.md'} {tmp_path / 'gpu_speed.svg'}" in said
    assert "--channels_last false: 20.00 ms a step" in said and "memory: no kernel" in said
    assert "where their licence allows" in said


def test_an_interruption_leaves_the_page(tmp_path):
    """SIGTERM while a part runs: what that part started ends, and the page tells of it.

    Also where Ctrl-C is ignored, as in a script's background jobs.
    """
    code = ("import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "sys.path.insert(0, sys.argv.pop(1))\n"
            "from scripts import gpu_report\nfrom util.errors import run_command\n"
            "def part(context, data):\n    data['outcomes'] = {'a': 'PASSED'}\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n    signal.pause()\n"
            "gpu_report.PARTS['tests'] = part\nrun_command(gpu_report.main)\n")
    done = subprocess.run([sys.executable, "-c", code, str(ROOT), "--rehearsal", "--work", str(tmp_path)],
                          capture_output=True, text=True, timeout=100,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 130, done.stderr
    page = (tmp_path / "gpu.md").read_text()
    assert "| tests marked `cuda` | 1 passed; **interrupted** |" in page and "| speed | not run |" in page
