"""A logger whose server hangs, dies or refuses, or whose disk is full, changes neither result nor time.

Every step reports numbers and shows images. The table at the end holds the time of a step with each fault.
"""

import os
import shutil
import signal
import socket
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.faults.programs import Program
from tests.faults.slow_server import server
from tests.faults.table import note_steps, tally
from tests.faults.trainings import SHORT, Training, assert_equal

pytest.importorskip("visdom")
pytest.importorskip("tensorboard")
pytest.importorskip("wandb")
BUSY = [*SHORT, "--n_epochs", "8", "--display_freq", "1", "--update_html_freq", "3", "--display_id", "1",
        "--display_server", "http://127.0.0.1"]
STEPS = 60
# A step may compute so many times what it does with an idle logger: it reports as much as 100 of a real run.
# The longest may take so many seconds on a busy machine; a hang takes more.
MORE_COMPUTING, LONGEST = 1.5, 4.0
KEY = {"WANDB_API_KEY": "0" * 40}
OFFLINE = {"WANDB_MODE": "offline"}
Disturb = Callable[[Training, Program], None]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, images: Path) -> tuple[Training, float]:
    """The same training with a logger that does nothing, and what its median step computed, in milliseconds.

    The images that loggers are shown are made for it as well.
    """
    training = Training(tmp_path_factory.mktemp("calm"), images, [*BUSY, "--logger", "none"])
    return training, run(training, "idle", "", trap="note_steps_of_an_idle_logger")[0]


@pytest.fixture
def check(tmp_path: Path, images: Path, calm: tuple[Training, float]) -> Callable:
    """Trains with a logger and a fault, and compares the end and the time with the calm training's."""
    def checked(logger: str, fault: str, *flags: str, environment: dict[str, str] = OFFLINE,
                disturb: Disturb | None = None, first: str = "") -> str:
        training = Training(tmp_path, images, [*BUSY, "--logger", logger, *flags])
        with tally(f"{logger}: {fault}"):
            step, longest = run(training, logger, fault, environment, disturb, first)
            for name in ("wandb", "tensorboard", "visdom"):
                folder = training.folder / name
                if folder.is_mount():
                    subprocess.run(["umount", "-l", str(folder)], check=True)
                shutil.rmtree(folder, ignore_errors=True)       # not the training's own
            assert_equal(training, calm[0])
            assert step < MORE_COMPUTING * calm[1] and longest < LONGEST
        return (tmp_path / "run_1.out").read_text()
    return checked


def run(training: Training, logger: str, fault: str, environment: dict[str, str] = OFFLINE,
        disturb: Disturb | None = None, first: str = "", trap: str = "note_steps") -> tuple[float, float]:
    """What the median step computed in the training's thread, in ms, and the longest one by the clock, in s.

    disturb: is called after ten steps. first: must have been said before the first one.
    """
    times, go = training.folder.parent / "times.txt", training.folder.parent / "go"
    program = training.start(trap=(trap, str(times), environment, str(go)))
    assert program.until(lambda: first in program.out), program.err
    go.touch()
    if disturb:
        assert program.until(lambda: training.stepped(program, 10)), program.err
        disturb(training, program)
    assert program.end() == 0, program.err
    began = np.loadtxt(times)               # [steps, 2]
    assert len(began) == STEPS
    clock, computing = np.diff(began, axis=0).T
    found = 1000 * statistics.median(computing), max(clock)
    note_steps(logger, fault, *found)
    return found


def nobody() -> int:
    """A port that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kill_beside(module: str) -> Disturb:
    """kill -9 the process that runs a module beside the training."""
    def kill(training: Training, program: Program) -> None:
        children = [pid for path in Path(f"/proc/{program.pid}/task").glob("*/children")
                    for pid in path.read_text().split()]
        pid, = (pid for pid in children if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(int(pid), signal.SIGKILL)
    return kill


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Mounts a file system of 16 kB as a folder of the run."""
    mounted: list[Path] = []

    def mount(name: str) -> None:
        folder = tmp_path / "run" / name
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        if folder.is_mount():
            subprocess.run(["umount", "-l", str(folder)], check=True)


# ---- without a fault

@pytest.mark.parametrize("logger", ["tensorboard", "wandb"])
def test_no_fault(check: Callable, logger: str) -> None:
    assert "not all was taken" not in check(logger, "no fault")


def test_visdom_without_a_fault(check: Callable) -> None:
    with server() as port:
        check("visdom", "no fault", "--display_port", str(port))


def test_all_at_once(check: Callable) -> None:
    check("visdom,tensorboard,wandb", "no fault", "--display_server", "auto", "--display_port", str(nobody()),
          first="visdom: http://127.0.0.1:")


# ---- a server that hangs, dies, refuses

def test_visdom_hangs(check: Callable) -> None:
    with server(answers=30) as port:
        check("visdom", "hangs in the middle", "--display_port", str(port))


def test_visdom_dies(check: Callable) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(server())
        said = check("visdom", "dies in the middle", "--display_port", str(port),
                     disturb=lambda training, program: stack.close())
    assert said.count("visdom: shown no more") == 1


def test_visdom_refuses(check: Callable) -> None:
    with server(status=500) as port:
        said = check("visdom", "refuses everything", "--display_port", str(port))
    assert said.count("visdom: not shown, no server answers") == 1


def test_its_own_visdom_dies(check: Callable) -> None:
    said = check("visdom", "its own server dies", "--display_server", "auto", "--display_port", str(nobody()),
                 disturb=kill_beside("visdom_server"), first="visdom: http://127.0.0.1:")
    assert said.count("visdom: shown no more") == 1


def test_wandb_hangs(check: Callable) -> None:
    with server(answers=0) as port:
        check("wandb", "hangs from the start", environment=address(port))


def test_wandb_refuses_connections(check: Callable) -> None:
    check("wandb", "refuses connections", environment=address(nobody()))


def test_wandb_refuses_everything(check: Callable) -> None:
    with server(status=500) as port:
        check("wandb", "refuses everything", environment=address(port))


def test_wandb_dies(check: Callable) -> None:
    check("wandb", "its process dies", disturb=kill_beside("wandb_process"))


def address(port: int) -> dict[str, str]:
    return {**KEY, "WANDB_MODE": "online", "WANDB_BASE_URL": f"http://127.0.0.1:{port}"}


# ---- a full disk

@pytest.mark.parametrize("logger", ["tensorboard", "wandb"])
def test_full_disk(check: Callable, full: Callable[[str], None], logger: str) -> None:
    full(logger)
    said = check(logger, "full disk")
    assert logger != "tensorboard" or "No space left on device" in said


def test_full_disk_under_its_own_visdom(check: Callable, full: Callable[[str], None]) -> None:
    full("visdom")
    check("visdom", "full disk", "--display_server", "auto", "--display_port", str(nobody()))
