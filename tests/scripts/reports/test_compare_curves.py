"""compare_curves.py: lines, bands and places in the image, against hand-computed ones."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

PROGRAM = Path(__file__).parents[3] / "scripts" / "reports" / "compare_curves.py"
SVG = "{http://www.w3.org/2000/svg}"


def write_run(folder: Path, rows: dict[int, float]) -> Path:
    folder.mkdir()
    lines = [json.dumps({"total_images": x, "losses": {"G": y, "D": 1.0}}) for x, y in rows.items()]
    (folder / "stats.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], capture_output=True, text=True)


def places(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in element.get("points").split()]


def test_a_line_is_the_mean_and_a_band_the_spread(tmp_path):
    a = write_run(tmp_path / "a", {100: 4.0, 200: 2.0, 300: 9.0})
    b = write_run(tmp_path / "b", {100: 6.0, 200: 2.0})        # 300 is not common to both
    done = run(tmp_path / "c.svg", f"x<y={a},{b}", "--losses", "G", "--smooth", "1")
    assert done.returncode == 0, done.stderr
    tree = ElementTree.parse(tmp_path / "c.svg")
    line, = (places(e) for e in tree.iter(f"{SVG}polyline"))
    edge, = (places(e) for e in tree.iter(f"{SVG}polygon"))
    # From 2 to 6, a twentieth more each side: 4.4 on 156 pixels below 30. 200 images on 344 right of 62.
    down = {value: pytest.approx(30 + 156 * (6.2 - value) / 4.4, abs=0.06) for value in (2, 4, 5, 6)}
    assert line == [(234.0, down[5]), (406.0, down[2])]
    assert edge == [(234.0, down[6]), (406.0, down[2]), (406.0, down[2]), (234.0, down[4])]
    assert any("x<y, 2 runs" == (e.text or "") for e in tree.iter(f"{SVG}text"))


def test_smoothing_averages_neighbours(tmp_path):
    a = write_run(tmp_path / "a", {1: 0.0, 2: 3.0, 3: 6.0, 4: 0.0})
    assert run(tmp_path / "c.svg", f"a={a}", "--losses", "G", "--smooth", "3").returncode == 0
    line, = (places(e) for e in ElementTree.parse(tmp_path / "c.svg").iter(f"{SVG}polyline"))
    heights = [y for _, y in line]      # of 1.5, 3, 3, 3: the first and last have one neighbour
    assert heights[1] == heights[2] == heights[3] < heights[0]


@pytest.mark.parametrize(("arguments", "message"), [
    (["a"], "'a' is no group"), (["a={}/none"], "there is no"), (["a={}/a", "--losses", "Q"], "--losses Q"),
    (["a={}/a", "--smooth", "0"], "--smooth is 0")])
def test_mistakes_are_said_in_one_line(tmp_path, arguments, message):
    write_run(tmp_path / "a", {1: 1.0})
    done = run(tmp_path / "c.svg", *(argument.format(tmp_path) for argument in arguments))
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "c.svg").exists()
