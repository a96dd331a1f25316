"""One page over the runs of a folder: what it compares, what it escapes, what it refuses."""

import json
import re
import sys
from pathlib import Path

import pytest

from scripts import index_runs
from tests.browser import ask, needs_chromium

NASTY = "<i>&'\"</script>"


def make_run(folder: Path, scores: list[float], losses: int = 5, **options: object) -> None:
    folder.mkdir(parents=True)
    options = {"name": folder.name, "lr": 2e-4, "n_epochs": 3, "n_epochs_decay": 1, **options}
    (folder / "opt.json").write_text(json.dumps({"options": options}))
    rows = [{"epoch": 1 + i // 2, "total_images": 100 * (i + 1), "losses": {"G": 1 / (i + 1), "D": None}}
            for i in range(losses)]
    (folder / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"epoch": i + 1, "total_images": 100 * (i + 1), "metrics": {"kid": score, "psnr": score}}
            for i, score in enumerate(scores)]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def checkpoints(tmp_path) -> Path:
    folder = tmp_path / "checkpoints"
    make_run(folder / "b", [30.0, 20.0, 25.0], lr=1e-3)
    make_run(folder / "deep" / "a", [22.0], recipe=NASTY)
    make_run(folder / "new", [])
    (folder / "b" / "web").mkdir()
    (folder / "b" / "web" / "index.html").touch()
    return folder


def cells(page: str) -> dict[str, list[str]]:
    """The text of each cell, by run."""
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    plain = [[re.sub("<.*?>", "", cell) for cell in row] for row in rows]
    return {first: rest for first, *rest in plain}


def test_scores_and_differing_flags_of_every_run(checkpoints):
    path, count = index_runs.write_index(checkpoints)
    page = path.read_text()
    told = cells(page)
    assert count == 3 and list(told) == ["run", "b", "deep/a", "new"]
    assert told["run"] == ["epoch", "images", "best kid", "best psnr", "--lr", "--recipe"]
    assert told["b"] == ["3 of 4", "500", "20 at 200", "30 at 100", "0.001", ""]
    assert told["deep/a"][:4] == ["3 of 4", "500", "22 at 100", "22 at 100"]
    assert told["new"][2:] == ["", "", "0.0002", ""]
    assert page.count("<b>") == 2       # the lowest KID, the highest PSNR
    assert re.findall(r'href="(.*?)"', page) == ["b/web/index.html"]


def test_names_are_text(checkpoints):
    folder = checkpoints / "&<b>x"
    make_run(folder, [1.0])
    page = index_runs.write_index(checkpoints)[0].read_text()
    assert NASTY not in page and "<i>" not in page and "<b>x" not in page
    assert page.count("<script") == page.count("</script>") == 2


def test_many_long_runs_make_a_page_of_bounded_size(tmp_path):
    """60 runs of 2,000 rows: 120,000 rows of a loss become 12,000 points."""
    for i in range(60):
        make_run(tmp_path / f"run{i}", [], losses=2000)
    page = index_runs.write_index(tmp_path)[0].read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    panel = next(panel for panel in data["panels"] if panel["title"] == "G")
    assert len(panel["lines"]) == 60
    assert 6000 <= sum(len(line["points"]) for line in panel["lines"]) <= index_runs.POINTS + 60
    assert len(page) < 400_000


def test_lines_that_are_no_rows_are_said_and_left_out(checkpoints, capsys):
    with open(checkpoints / "new" / "stats.jsonl", "a") as stream:
        stream.write('{"epoch": 1}\nnonsense\n[]\n')
        stream.write('{"epoch": 9, "total_images": 900, "losses": {"G": 1}}\n{"unfinished')
    page = index_runs.write_index(checkpoints)[0].read_text()
    assert "new: 3 lines of" in capsys.readouterr().out
    assert cells(page)["new"][:2] == ["9 of 4", "900"]


@pytest.mark.parametrize("folder", ["missing", "."])
def test_folders_without_runs_are_a_line_of_error(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["index_runs.py", "--checkpoints_dir", str(tmp_path / folder)])
    with pytest.raises(SystemExit) as ended:
        index_runs.run_command(index_runs.main)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "--checkpoints_dir" in said
    assert list(tmp_path.iterdir()) == []


@needs_chromium
def test_a_browser_draws_a_line_a_run_hides_one_and_orders_the_table(checkpoints):
    found = ask(index_runs.write_index(checkpoints)[0], """
        const lines = () => document.querySelectorAll(".panel")[2].querySelectorAll(".smooth").length;
        const names = () => [...document.querySelectorAll("#runs td:nth-child(4)")].map(cell =>
          cell.parentNode.cells[0].textContent);
        const drawn = lines(), title = document.querySelectorAll(".panel h3")[2].textContent;
        document.querySelector("#curves input[type=checkbox]").click();
        const head = document.querySelectorAll("#runs th[scope=col] button")[3], given = names();
        head.click();
        const up = names();
        head.click();
        return {title, drawn, less: lines(), given, up, down: names(), errors};""")
    assert found == {"title": "G", "drawn": 3, "less": 2, "given": ["b", "deep/a", "new"],
                     "up": ["b", "deep/a", "new"], "down": ["deep/a", "b", "new"], "errors": []}
