"""Signals to a real process: the first lets it finish its step, the second ends it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, time
from util.runtime.signals import StopSignals
with StopSignals() as stop:
    print("ready", flush=True)
    while not stop.received:
        time.sleep(0.01)
    print("received", stop.received.name, flush=True)
    if "stay" in sys.argv:
        time.sleep(60)
    sys.exit(stop.exit_code)
"""


def start(*words: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_the_first_is_remembered_and_gives_the_shells_exit_code(number, code):
    process = start()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == (f"received {number.name}\n", "", code)


def test_the_second_ends_the_process_at_once():
    process = start("stay")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "received SIGINT\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT


def test_what_was_there_before_comes_back():
    from util.runtime.signals import StopSignals
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    with StopSignals() as stop:
        assert signal.getsignal(signal.SIGINT) not in before.values()
    assert before == {number: signal.getsignal(number) for number in before}
    assert stop.received is None and stop.exit_code == 0
