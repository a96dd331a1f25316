"""benchmark.py shards really, on a few images, and its counting of memory."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import benchmark
from scripts.benchmarks.shards import Read, megabytes, row
from tests.data.shards.conftest import pack_all


def test_a_folder_beside_its_shards(tmp_path, capsys, monkeypatch) -> None:
    for folder in ("trainA", "trainB"):
        (tmp_path / "f" / folder).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (16, 16), (number, 9, 9)).save(tmp_path / "f" / folder / f"{number}.png")
    pack_all(tmp_path / "f", tmp_path / "s", images=2)
    monkeypatch.setattr("sys.argv", ["benchmark.py", "shards", str(tmp_path / "f"), str(tmp_path / "s"),
                                     "--readers", "1", "2", "--rounds", "2", "--items", "5",
                                     "--load_size", "16", "--crop_size", "16"])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line[:24].strip() for line in lines] == ["folder", "shards", "shards, 4 at a time"] * 2
    assert [int(line[24:32]) for line in lines] == [1, 1, 1, 2, 2, 2]
    assert all(len(re.findall(r"\d+\.\d", line)) == 6 for line in lines)


def test_rates_are_of_all_readers_and_medians_of_rounds() -> None:
    """Two readers of 10 items in 2 s of a core each are 5 a second, and 20 in 4 s of the clock as well."""
    slow, fast = ([Read(10, cpu, [(1.0, 0.5)] * 3)] * 2 for cpu in (2.0, 1.0))
    line = row("folder", 2, [(4.0, slow), (4.0, slow), (2.0, fast)])
    assert re.fullmatch(r"folder +2 +5 +5-10 +5 +1.0, 1.0, 1.0 +0.5, 0.5, 0.5", line)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_what_no_other_process_shares_is_counted() -> None:
    """A child writes 32 MiB of its own."""
    ours, theirs = os.pipe()
    if not os.fork():
        before = megabytes()[1]
        held = np.ones(2 ** 25, np.uint8)
        os.write(theirs, str(megabytes()[1] - before).encode())
        os._exit(len(held) == 0)
    os.wait()
    assert 33 < float(os.read(ours, 99)) < 40
