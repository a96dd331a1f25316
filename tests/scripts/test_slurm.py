"""scripts/slurm on a stand-in for Slurm, with a torchrun that only notes what it is asked to do."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "scripts" / "slurm").glob("*.sbatch"))
# Notes its arguments, then ends with the next of the codes in codes.txt; "wait" waits for USR1, on which
# it ends as train.py does.
TORCHRUN = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time
def leave(*_):
    pathlib.Path("waits").unlink(missing_ok=True)
    sys.exit(138)
with open("calls.jsonl", "a") as stream:
    stream.write(json.dumps([os.environ["SLURM_NODEID"], *sys.argv[1:]]) + "\\n")
words = open("codes.txt").read().split()
word = words[int(os.environ["SLURM_RESTART_COUNT"])]
assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN, "Slurm would end torchrun"
if word == "wait":
    signal.signal(signal.SIGUSR1, leave)
    open("waits", "w").close()
    time.sleep(60)
sys.exit(int(word))
"""


class Place:
    """A folder to submit from, on a cluster whose clock stands still until a job waits for its signal."""

    def __init__(self, folder: Path):
        self.folder = folder / "here"
        self.folder.mkdir()
        self.cluster = Cluster(folder / "cluster", self.minutes)
        torchrun = self.cluster.path / "torchrun"
        torchrun.write_text(TORCHRUN)
        torchrun.chmod(0o755)

    def minutes(self) -> float:
        """Five minutes before the end of a day once a job waits for its signal."""
        return 24 * 60 - 5 if (self.folder / "waits").exists() else 0

    def run(self, script: str, *flags: str, codes: str, typed: tuple[str, ...] = ()):
        """The job's end, and what torchrun was asked each time."""
        (self.folder / "codes.txt").write_text(codes)
        done = self.cluster.submit(*typed, ROOT / "scripts" / "slurm" / script, *flags, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        job = self.cluster.run()
        calls = [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]
        return job, calls


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


FLAGS = ("--dataroot", "./a folder", "--name", "h2z")
ENDS = ["train.py", "--continue_train", "auto", *FLAGS]


def test_one_machine(place):
    job, calls = place.run("single.sbatch", *FLAGS, codes="0", typed=("--gpus-per-node=4",))
    assert job.codes == [0]
    assert calls == [["0", "--standalone", "--nproc_per_node", "4", *ENDS]]


def test_several_machines_meet_at_the_first(place):
    job, calls = place.run("nodes.sbatch", *FLAGS, codes="0", typed=("--nodes=3",))
    meeting = ["--nnodes", "3", "--nproc_per_node", "4", "--rdzv_id", "7", "--rdzv_backend", "c10d",
               "--rdzv_endpoint", "127.0.0.1:20007"]
    assert job.codes == [0]
    assert sorted(calls) == [[node, *meeting, *ENDS] for node in "012"]


@pytest.mark.parametrize("script", ["single.sbatch", "nodes.sbatch"])
def test_the_warning_reaches_the_run_and_the_job_ends(place, script):
    job, calls = place.run(script, *FLAGS, codes="wait")
    assert job.codes == [138] and {call[0] for call in calls} <= {"0", "1"}


def test_a_chain_goes_on_until_the_run_is_done(place):
    job, calls = place.run("chain.sbatch", *FLAGS, codes="wait wait 0")
    assert job.codes[-1] == 0 and len(job.codes) == 3
    assert len(calls) == 3 and all(call == calls[0] for call in calls)     # one command begins and goes on
    assert calls[0][-len(ENDS):] == ENDS


def test_an_error_ends_a_chain(place):
    job, calls = place.run("chain.sbatch", *FLAGS, codes="1 0")
    assert job.codes == [1] and len(calls) == 1


def test_a_run_that_ends_well_after_the_warning_ends_a_chain(place):
    torchrun = place.cluster.path / "torchrun"
    torchrun.write_text(TORCHRUN.replace("sys.exit(138)", "sys.exit(0)"))
    job, _ = place.run("chain.sbatch", *FLAGS, codes="wait 1")
    assert job.codes == [0]


def test_a_container_comes_in_front_of_the_command(place):
    (place.cluster.path / "engine").write_text('#!/bin/sh\necho "$@" >engine.txt\nshift 2\nexec "$@"\n')
    (place.cluster.path / "engine").chmod(0o755)
    place.cluster.environment["CONTAINER"] = "engine exec cut.sif"
    for script in SCRIPTS:
        place.run(script.name, *FLAGS, codes="0", typed=("--nodes=1",))
        assert (place.folder / "engine.txt").read_text().startswith("exec cut.sif torchrun --")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    if checker := shutil.which("shellcheck"):
        assert subprocess.run([checker, script]).returncode == 0


def test_a_wrong_flag_is_seen_by_the_stand_in(place):
    done = place.cluster.submit("--gpu-per-node=1", SCRIPTS[0], cwd=place.folder)
    assert done.returncode == 1 and "unrecognized option '--gpu-per-node'" in done.stderr
