"""reproduce.py: which experiments it runs, what it does about failures and signals, its table by hand."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "scripts" / "experiments" / "reproduce.py"

# Stands in for Python: notes what it is asked to run, and leaves what each program would.
STUB = """#!/usr/bin/env bash
echo "$NAME $1 ${*: -2}" >>"$LOG"
case $1 in
    train.py) [ "${FAIL:-}" != "$NAME" ] || exit 1
              [ -z "${STOP:-}" ] || exit 130
              mkdir -p "$CHECKPOINTS/$NAME" ;;
    test.py) mkdir -p "$RESULTS/$NAME/test_latest" && touch "$RESULTS/$NAME/test_latest/index.html" ;;
    *) echo '{"figures": {"FID": {"value": '"${FID:-50.0}"'}, "KID x 1000": {"value": 2.5}}}' \\
           >"$RESULTS/$NAME/test_latest/metrics.json" ;;
esac
"""


class Reproduce:
    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "log"
        stub = folder / "python"
        stub.write_text(STUB)
        stub.chmod(0o755)
        (folder / "data").mkdir()
        self.environment = {**os.environ, "PYTHON": str(stub), "LOG": str(self.log),
                            "DATAROOT": str(folder / "data"), "CHECKPOINTS": str(folder / "c"),
                            "RESULTS": str(folder / "r")}

    def __call__(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, PROGRAM, *arguments], text=True, capture_output=True,
                              timeout=60, env=self.environment | environment, cwd=self.folder)
        return done.returncode, done.stdout, done.stderr

    def ran(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def reproduce(tmp_path):
    return Reproduce(tmp_path)


def rows(out: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines()
            if line.startswith("|")][2:]


def test_runs_continues_and_compares(reproduce):
    code, out, _ = reproduce("horse2zebra_cut", "horse2zebra_fastcut", "--", "--lr", "0.1")
    assert code == 0
    assert [line.split()[:2] for line in reproduce.ran()] == [
        [name, program] for name in ("horse2zebra_cut", "horse2zebra_fastcut")
        for program in ("train.py", "test.py", "scripts/evaluate.py")]
    assert reproduce.ran()[0].endswith("--lr 0.1")
    expected = [["horse2zebra_cut", "FID", "50.0", "45.5", "not said", "60-68"],
                ["horse2zebra_cut", "KID x 1000", "2.500", "", "", ""],
                ["horse2zebra_fastcut", "FID", "50.0", "73.4", "not said", ""],
                ["horse2zebra_fastcut", "KID x 1000", "2.500", "", "", ""]]
    assert rows(out) == expected
    code, out, _ = reproduce("horse2zebra_cut", "horse2zebra_fastcut", "--", "--lr", "0.1")
    assert code == 0 and len(reproduce.ran()) == 6 and rows(out) == expected      # all was there


def test_seeds_make_runs_of_their_own(reproduce):
    for seed, fid in ((0, 40), (1, 50)):
        assert reproduce("horse2zebra_cut", "--seeds", str(seed), FID=str(fid))[0] == 0
    assert [line for line in reproduce.ran() if "train.py" in line] == [
        "horse2zebra_cut_seed0 train.py --seed 0", "horse2zebra_cut_seed1 train.py --seed 1"]
    _, out, _ = reproduce("--table", "horse2zebra_cut", "--seeds", "0", "1")
    assert rows(out)[0][:4] == ["horse2zebra_cut", "FID", "45.0 ± 7.1 (2 seeds)", "45.5"]     # 10 / sqrt(2)


def test_failures_are_named_and_the_others_run(reproduce):
    code, out, err = reproduce("horse2zebra_cut", "horse2zebra_gcgan", FAIL="horse2zebra_cut")
    assert code == 1 and "failed: horse2zebra_cut;" in err
    assert [row[2] for row in rows(out) if row[1] == "FID"] == ["", "50.0"]


def test_a_stopped_experiment_ends_the_list(reproduce):
    code, _, err = reproduce("horse2zebra_cut", "horse2zebra_gcgan", STOP="1")
    assert code == 1 and "horse2zebra_cut was stopped; the same command goes on" in err
    assert len(reproduce.ran()) == 1


def test_ctrl_c_waits_for_the_run_to_save(reproduce):
    """A terminal sends SIGINT to all of the group; the run takes a while to save, then ends with 130."""
    (reproduce.folder / "python").write_text('#!/usr/bin/env bash\n'
                                             'trap \'sleep 0.7; echo saved >>"$LOG"; exit 130\' INT\n'
                                             'echo started >>"$LOG"; while :; do sleep 0.05; done\n')
    process = subprocess.Popen([sys.executable, PROGRAM, "horse2zebra_cut"], text=True,
                               env=reproduce.environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 30
    while not reproduce.ran():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and "was stopped" in err
    assert reproduce.ran() == ["started", "saved"]


def test_list_and_patterns(reproduce):
    code, out, _ = reproduce("--list", "grumpycat_*")
    assert code == 0 and out.splitlines()[0] == "grumpycat_cut" and "6 GPU hours" in out
    assert out.count("GPU hours") == 3 and not reproduce.ran()
    _, out, _ = reproduce("--table")
    assert ["cityscapes_cut", "mAP", "", "24.7 ?", "not said", ""] in rows(out)


def test_what_came_after_CUT_stands_there_with_its_protocol(reproduce):
    """The papers' best epochs beside the last epochs of users, and how sure each score is."""
    code, out, _ = reproduce("--table", "horse2zebra_*", "cityscapes_hdce_src")
    found = {row[0]: row[1:] for row in rows(out)}
    best = "best of the saved epochs"
    assert code == 0 and found["horse2zebra_hdce_src"] == ["FID", "", "34.4 ?", best, "45"]
    assert found["horse2zebra_monce"] == ["FID", "", "41.9 ?", best, ""]
    assert found["horse2zebra_qsattn"] == ["FID", "", "41.1 ?", best, ""]
    assert found["horse2zebra_enco"] == ["FID", "", "38.7 ?", best, ""]
    assert found["cityscapes_hdce_src"] == ["FID", "", "46.4 ?", best, ""]
    assert "ours, users: at the last epoch. ? recalled" in out


def test_segmentation_scores_stand_beside_the_papers(reproduce):
    folder = reproduce.folder / "r" / "cityscapes_cut" / "test_latest"
    folder.mkdir(parents=True)
    scores = {"pixAcc": 70.04, "classAcc": 30.0, "mean IoU": 25.0, "mean precision": None}
    (folder / "segmentation.json").write_text(json.dumps({"figures": scores}))
    found = {row[1]: row[2:4] for row in rows(reproduce("--table", "cityscapes_cut")[1])}
    assert found == {"FID": ["", "56.4"], "mAP": ["25.0", "24.7 ?"], "pixAcc": ["70.0", "68.8 ?"],
                     "classAcc": ["30.0", "30.7 ?"]}


@pytest.mark.parametrize("arguments,words", [
    (["horse2unicorn"], "'horse2unicorn' names no experiment"), ([], "name the experiments to run")])
def test_wrong_command_lines(reproduce, arguments, words):
    code, _, err = reproduce(*arguments)
    assert code == 2 and words in err and len(err.splitlines()) == 1
