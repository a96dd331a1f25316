"""A stand-in for Slurm on one machine: sbatch, srun, scontrol, and a scheduler with a clock of its own.

Like Slurm it runs a job's script with #SBATCH lines as flags, a task on every node, and signals either the
batch shell alone (B:) or every process of the steps. At a job's limit it kills -9 at once, without Slurm's
grace. A flag that the scripts do not use is an error here, so that a slip of the pen is seen.

The programs are this file under their names: `Cluster.path` goes to the front of PATH.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 300.0        # seconds that a job may take by the wall's clock
FLAGS = {"job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "mem", "time", "signal",
         "requeue", "output", "open-mode"}
STEP, FOLDER = "STAND_IN_STEP", "STAND_IN_FOLDER"       # environment variables


@dataclass
class Job:
    """A script, what goes to it, and its flags without dashes; codes: how each of its starts ended."""

    number: int
    script: str
    arguments: list[str]
    flags: dict[str, str]
    codes: list[int] = field(default_factory=list)

    @property
    def limit(self) -> float:
        """Minutes."""
        hours, minutes, seconds = map(int, self.flags["time"].split(":"))
        return hours * 60 + minutes + seconds / 60

    @property
    def warning(self) -> tuple[bool, int, float]:
        """Whether the batch shell alone gets it, the signal, and at which minute."""
        shell, name, seconds = re.fullmatch(r"(B:)?(\w+)@(\d+)", self.flags["signal"]).groups()
        return bool(shell), signal.Signals[f"SIG{name}"], self.limit - int(seconds) / 60


class Cluster:
    """Runs what sbatch has queued, one job after another."""

    def __init__(self, folder: Path, clock: Callable[[], float], number: int = 7):
        """clock: minutes; only its differences count. number: of the first job."""
        self.folder, self.clock = folder, clock
        self.path = folder / "bin"
        self.path.mkdir(parents=True)
        for name in ("sbatch", "srun", "scontrol"):
            program = self.path / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
            program.chmod(0o755)
        (folder / "next").write_text(str(number))
        self.environment = os.environ | {FOLDER: str(folder), "PATH": os.pathsep.join(
            [str(self.path), str(Path(sys.executable).parent), os.environ["PATH"]])}

    def submit(self, *words: object, cwd: Path) -> subprocess.CompletedProcess:
        """sbatch, as a user calls it in the folder cwd."""
        self.cwd = cwd
        return subprocess.run(["sbatch", *map(str, words)], env=self.environment, cwd=cwd, text=True,
                              capture_output=True)

    def run(self) -> Job:
        """The job that was submitted, started again for as long as it asks for that."""
        path, = self.folder.glob("job_*.json")
        job = Job(**json.loads(path.read_text()))
        path.unlink()
        again = self.folder / f"requeue_{job.number}"
        while True:
            job.codes.append(self._start(job, again))
            if not again.exists():
                return job
            assert "requeue" in job.flags, "Slurm requeues only what --requeue allows"
            again.unlink()

    def output(self, job: Job) -> str:
        return (self.cwd / output_name(job)).read_text()

    def _start(self, job: Job, again: Path) -> int:
        nodes = job.flags.get("nodes", "1")
        environment = self.environment | {
            "SLURM_JOB_ID": str(job.number), "SLURM_JOB_NUM_NODES": nodes,
            "SLURM_JOB_NODELIST": f"n[1-{nodes}]",
            "SLURM_GPUS_ON_NODE": job.flags["gpus-per-node"], "SLURM_RESTART_COUNT": str(len(job.codes))}
        mode = "a" if job.flags.get("open-mode") == "append" else "w"
        with open(self.cwd / output_name(job), mode) as stream:
            shell = subprocess.Popen(["bash", job.script, *job.arguments], cwd=self.cwd, env=environment,
                                     stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                                     start_new_session=True)
        try:
            self._watch(job, shell, again)
        finally:
            send(f"SLURM_JOB_ID={job.number}", signal.SIGKILL)
        return shell.wait()

    def _watch(self, job: Job, shell: subprocess.Popen, again: Path) -> None:
        """Until the shell has ended, its time is over, or it has asked to be started again."""
        begin, deadline = self.clock(), time.monotonic() + PATIENCE
        alone, number, minute = job.warning
        while shell.poll() is None and not again.exists():
            if self.clock() - begin >= job.limit:
                return
            if self.clock() - begin >= minute:
                if alone:
                    shell.send_signal(number)
                else:
                    send(f"{STEP}={job.number}", number)
                minute = float("inf")
            if time.monotonic() > deadline:
                raise TimeoutError(self.output(job)[-3000:])
            time.sleep(0.01)


def send(setting: str, number: int) -> None:
    """Signal the processes that were started with a variable in their environment: a job's, a step's."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if setting.encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), number)
        except OSError:
            pass                # it has ended


def output_name(job: Job) -> str:
    return job.flags["output"].replace("%x", job.flags["job-name"]).replace("%j", str(job.number))


def parse(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Flags without dashes, and what is left from the first word that is none."""
    flags = {}
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0).removeprefix("--").partition("=")
        if name not in FLAGS:
            sys.exit(f"sbatch: unrecognized option '--{name}'")
        flags[name] = value
    return flags, words


def sbatch(*words: str) -> None:
    typed, (script, *arguments) = parse(list(words))
    text = Path(script).read_text()
    head = re.match(r"(#.*\n)*", text)[0]       # Slurm reads no further than the first command
    written = [line.split()[1] for line in head.splitlines() if line.startswith("#SBATCH ")]
    folder = Path(os.environ[FOLDER])
    number = int((folder / "next").read_text())
    (folder / "next").write_text(str(number + 1))
    copy = shutil.copy(script, folder / f"script_{number}")     # it may be edited while the job waits
    job = {"number": number, "script": str(copy), "arguments": arguments, "flags": parse(written)[0] | typed}
    (folder / f"job_{number}.json").write_text(json.dumps(job))
    print(f"Submitted batch job {number}")


def scontrol(*words: str) -> None:
    if words[:2] == ("show", "hostnames"):
        count = int(re.fullmatch(r"n\[1-(\d+)\]", words[2])[1])
        print("\n".join(["127.0.0.1"] * count))
    elif words[0] == "requeue":
        (Path(os.environ[FOLDER]) / f"requeue_{words[1]}").touch()
        time.sleep(PATIENCE)        # Slurm, too, ends whoever asks
    else:
        sys.exit(f"scontrol: {words}")


def srun(*words: str) -> None:
    """A task on every node; a signal to srun goes to all their processes."""
    strict = words[0] == "--kill-on-bad-exit=1"
    command = words[1:] if strict else words
    step = f"{STEP}={os.environ['SLURM_JOB_ID']}"
    environment = os.environ | {STEP: os.environ["SLURM_JOB_ID"]}
    signal.signal(signal.SIGUSR1, lambda number, _: send(step, number))
    tasks = [subprocess.Popen(command, env=environment | {"SLURM_NODEID": str(node)}, start_new_session=True)
             for node in range(int(os.environ["SLURM_JOB_NUM_NODES"]))]
    while any(task.poll() is None for task in tasks):
        if strict and any(task.returncode for task in tasks):
            send(step, signal.SIGKILL)
        time.sleep(0.01)
    sys.exit(max(code if code >= 0 else 128 - code for code in (task.returncode for task in tasks)))


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "scontrol": scontrol}[sys.argv[1]](*sys.argv[2:])
