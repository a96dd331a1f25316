"""Parts of a run's page: status, test images, curves, command, options, checkpoints; folds of images."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from util.checkpoints.run_record import FILE
from util.loggers.html import image
from util.loggers.pages.curves import Point
from util.loggers.pages.document import address, element, table, text
from util.loggers.pages.moments import Moments, file
from util.runtime.progress import Progress

WEIGHTS = re.compile(r"(.+?)_net_(.+)\.pth")
NEWEST = 3          # rows of images that are not folded
FOLDED = 20         # rows in a fold
CHECKPOINTS = 40    # that are linked


def status(step: Progress, per_second: float, seconds_left: float | None, best: Mapping[str, Point],
           written: str) -> str:
    """Where the run stands. per_second: images; 0: not known yet. best: images seen and score, by metric.
    written: when, in words.
    """
    done = step.epoch > step.last_epoch
    epoch = f"{min(step.epoch, step.last_epoch)} of {step.last_epoch}"
    rows = [("epoch", epoch + (", done" if done else "")),
            ("images seen", f"{step.total_images:,}")]
    if per_second:
        rows.append(("images/s", f"{per_second:.3g}"))
    if seconds_left is not None and not done:
        rows.append(("time left", duration(seconds_left)))
    shown = [(text(name), text(value)) for name, value in rows]
    shown += [(text(f"best {name}"), f"{score:.4g} <small>at image {images:,.0f}</small>")
              for name, (images, score) in best.items()]
    shown.append(("written", text(written)))
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in shown)
    return f'<section id="status"><h2>Status</h2><dl>{cells}</dl></section>'


def duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def fixed_images(page: Path, moments: Moments, image_height: int) -> str:
    """The same test images over time, each with its input under a slider. page: the folder of the page."""
    if not (moments.times and moments.inputs and moments.outputs):
        return ""
    last, folder = len(moments.times) - 1, moments.folder.relative_to(page)
    options = "".join(element("option", text(label), value=label) for label in moments.outputs)
    seen = f'<output id="seen">{moments.times[-1]:,}</output>'
    slider = f'<input type="range" id="moment" min="0" max="{last}" value="{last}">'
    controls = (f'<p class="controls"><label>images seen {slider} {seen}</label>'
                f'<label>{text(moments.inputs[0])} | '
                f'<select id="after">{options}</select></label></p>')
    figures = "".join(_compared(page, folder / name, name, moments, image_height) for name in moments.names)
    return f'<section id="fixed"><h2>Test images</h2>{controls}<div class="row">{figures}</div></section>'


def _compared(page: Path, folder: PurePath, name: str, moments: Moments, image_height: int) -> str:
    before = folder / f"{moments.inputs[0]}.png"
    after = folder / file(moments.outputs[0], moments.times[-1])
    first = image(page, before, alt=f"{name}, {moments.inputs[0]}", image_height=image_height)
    pixelated = " small" if 'class="small"' in first else ""
    second = (f'<img class="after{pixelated}" alt="{text(name)}, translated" loading="lazy" '
              f'data-path="{address(folder)}/" src="{address(after)}">')
    slider = f'<input type="range" min="0" max="100" value="50" aria-label="before and after: {text(name)}">'
    return (f'<figure class="compare"><div class="pair">{first}{second}</div>{slider}'
            f'{element("figcaption", text(name))}</figure>')


def curves_section(panels: Sequence[Mapping[str, Any]], fallback: str = "", *, legend: bool = False) -> str:
    """The place that charts.js draws into. fallback: HTML for a browser without scripts."""
    if not panels:
        return ""
    without = f"<noscript><p>Curves need JavaScript.</p>{fallback}</noscript>"
    return f'<section id="curves"{" data-legend" if legend else ""}><h2>Curves</h2>{without}</section>'


def about_run(folder: Path, page: Path) -> str:
    """Folds with the run's command, options and checkpoints. folder: of the run."""
    record = read_record(folder)
    parts = []
    if command := record.get("command"):
        versions = {**record.get("versions", {}), "device": record.get("device"),
                    "commit": record.get("git_commit")}
        told = ", ".join(f"{name} {value}" for name, value in versions.items() if value)
        parts.append(_fold("command", "Command", f"<pre>{text(shlex.join(map(str, command)))}</pre>"
                                                 f"<p>{text(told)}</p>"))
    if options := record.get("options"):
        rows = [(text(name), text(json.dumps(value))) for name, value in sorted(options.items())]
        parts.append(_fold("options", "Options", table((), rows)))
    if rows := checkpoint_rows(folder, page):
        parts.append(_fold("checkpoints", "Checkpoints", table((), rows)))
    return f'<section id="run"><h2>Run</h2>{"".join(parts)}</section>' if parts else ""


def _fold(name: str, title: str, content: str) -> str:
    return f'<details id="{name}"><summary>{title}</summary>{content}</details>'


def read_record(folder: Path) -> dict[str, Any]:
    """A run's opt.json, or {}: a page shows what there is."""
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def checkpoint_rows(folder: Path, page: Path) -> list[tuple[str, str]]:
    """Label and links to the files of each network; latest and best first, then the newest."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.glob("*.pth")):
        if match := WEIGHTS.fullmatch(path.name):
            found.setdefault(match[1], []).append((match[2], path.name))
    first = {"latest": 0, "best": 1}
    number = {label: int(re.sub(r"\D", "", label) or 0) for label in found}
    labels = sorted(found, key=lambda label: (first.get(label, 2), -number[label], label))
    up = PurePath(*[".."] * len(page.relative_to(folder).parts))
    rows = [(text(label), " ".join(element("a", text(network), href=address(up / name))
                                   for network, name in found[label]))
            for label in labels[:CHECKPOINTS]]
    more = len(labels) - len(rows)
    return rows + ([("...", f"and {more} older ones in the folder")] if more > 0 else [])


def folded(rows: Mapping[int, str]) -> list[str]:
    """Rows of images by epoch, newest first: all but the first few in folds of equal size, which keep their
    rows while new ones come.
    """
    newest = sorted(rows, reverse=True)
    shown, older = newest[:NEWEST], sorted(newest[NEWEST:])
    chunks = [older[i:i + FOLDED] for i in range(0, len(older), FOLDED)]
    folds = []
    for chunk in reversed(chunks):
        title = f"epochs {chunk[0]} to {chunk[-1]}" if len(chunk) > 1 else f"epoch {chunk[0]}"
        content = "\n".join(rows[epoch] for epoch in reversed(chunk))
        folds.append(f'<details id="epochs-{chunk[0]}"><summary>{title}</summary>\n{content}\n</details>')
    return [rows[epoch] for epoch in shown] + folds
