"""The fixed test images of a run on disk: the inputs once, and what was made of them at different moments."""

import re
import shutil
from pathlib import Path

from util.images import save_image
from util.loggers.base import NamedImages

KEEP = 60               # moments
TIMED = re.compile(r"(.+)_(\d{9,})\.png")


class Moments:
    """Files `<folder>/<name>/<label>.png` of inputs, and `<label>_<images seen, 9 digits>.png` of the rest.

    At most `keep` moments stay: of more, the one goes whose neighbours are nearest to each other, never the
    first or the newest, so those that stay cover the run evenly.
    """

    def __init__(self, folder: Path, keep: int = KEEP):
        self.folder, self.keep = folder, keep
        self.names: list[str] = []
        self.inputs: list[str] = []         # labels
        self.outputs: list[str] = []
        self.times: list[int] = []          # images seen in all, oldest first

    def start(self, images: int) -> None:
        """Take up what is on disk until `images` images were seen, and delete what is later; 0: a new run."""
        if images == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        names, labels, inputs, times = set(), set(), set(), set()
        for path in self.folder.rglob("*.png"):
            if not (match := TIMED.fullmatch(path.name)):
                inputs.add(path.stem)
            elif int(match[2]) > images:
                path.unlink()
            else:
                names.add(path.parent.relative_to(self.folder).as_posix())
                labels.add(match[1])
                times.add(int(match[2]))
        self.names, self.inputs, self.outputs = sorted(names), sorted(inputs), sorted(labels)
        self.times = sorted(times)

    def add(self, images: int, shown: NamedImages) -> None:
        """Write the images of a moment; labels of inputs begin with "real"."""
        labels = list(next(iter(shown.values())))
        self.inputs = [label for label in labels if label.startswith("real")]
        self.outputs = [label for label in labels if label not in self.inputs]
        self.names = list(shown)
        for name, of in shown.items():
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            for label, pixels in of.items():
                path = self.folder / name / (f"{label}.png" if label in self.inputs else file(label, images))
                save_image(path, pixels)
        self.times = sorted({*self.times, images})
        while len(self.times) > self.keep:
            gaps = [later - earlier for earlier, later in zip(self.times, self.times[2:], strict=False)]
            self._remove(self.times.pop(1 + gaps.index(min(gaps))))

    def _remove(self, images: int) -> None:
        for name in self.names:
            for path in (self.folder / name).glob(f"*_{images:09d}.png"):
                path.unlink()


def file(label: str, images: int) -> str:
    return f"{label}_{images:09d}.png"
