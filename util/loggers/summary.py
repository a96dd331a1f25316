"""The last words of a run: how long it took, how good it became, where things are, what to type next."""

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from util.runtime.progress import Progress


def summary(opt: Namespace, folder: Path, progress: Progress, images: int, seconds: float,
            scores: Sequence[str]) -> str:
    """Lines for a run that has done all its epochs.

    images, seconds: of this start; a resumed run had others before. scores: a line for each metric.
    """
    command = ["python", "test.py", "--dataroot", opt.dataroot, "--name", opt.name]
    for name in ("checkpoints_dir", "dataset_mode"):
        if name in opt.parsed.typed:
            command += [f"--{name}", str(getattr(opt, name))]
    best = any(folder.glob("best_net_*.pth"))
    page = [] if opt.no_html else [("page", folder / "web" / "index.html")]
    before = progress.total_images - images
    rows = [("done", f"{progress.last_epoch} epochs, {progress.total_images:,} images"
                     + (f", {images:,} of them since it was resumed" if before else "")),
            ("time", f"{_time(seconds)}, {images / seconds:.3g} images/s, evaluations and saves included"),
            *(("score", line) for line in scores),
            ("kept", f"{folder}: latest_net_*.pth" + (", best_net_*.pth" if best else "")),
            *page, ("numbers", f"{folder / 'stats.jsonl'}, loss_log.txt"),
            ("next", shlex.join(command) + (", also with --epoch best" if best else ""))]
    return "\n".join(f"{title + ':':<9}{text}" for title, text in rows)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
