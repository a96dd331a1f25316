"""The runs that the page offers, and their translators, loaded as they are asked for."""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from models.precision import PRECISIONS
from models.translator import Translator
from util.errors import UsageError

WEIGHTS = re.compile(r"(.+?)_net_(G(?:_[A-Za-z0-9]+)*?)(_ema)?\.pth")
TILES = (384, 768, 1536)         # sides of tiles in pixels that the page offers for large images
KEPT = 2                        # translators in memory


class Choice(NamedTuple):
    """What a visitor chose. run: as the page names it; tile: side in pixels, or None."""

    run: str
    epoch: str
    use_ema: bool
    precision: str
    tile: int | None


def checkpoints(folder: Path) -> dict[str, bool]:
    """The epochs whose generators' weights lie in a folder, and whether there are averages (--ema) of them.

    latest and best come first, then the newest.
    """
    found: dict[str, bool] = {}
    for path in folder.glob("*_net_G*.pth"):
        if match := WEIGHTS.fullmatch(path.name):
            found[match[1]] = found.get(match[1], False) or match[3] is not None
    first = {"latest": 0, "best": 1}
    numbers = {epoch: int(re.sub(r"\D", "", epoch) or 0) for epoch in found}
    return {epoch: found[epoch] for epoch in sorted(found, key=lambda e: (first.get(e, 2), -numbers[e], e))}


class Runs:
    """A run and those beside it; or the runs in a folder. May be used by several threads at once.

    first: the run that the page shows first.
    """

    def __init__(self, folder: Path, device: str = "auto"):
        """Raises UsageError where there is no run."""
        folder = folder.resolve()
        inside = {path.name: path for path in sorted(folder.glob("*/")) if checkpoints(path)}
        beside = {path.name: path for path in sorted(folder.parent.glob("*/")) if checkpoints(path)}
        self._folders: Mapping[str, Path] = beside if folder.name in beside else inside
        if not self._folders:
            raise UsageError(f"{folder} holds no generator's weights (latest_net_G.pth), and no folder in it "
                             "does; name a run's folder, as in checkpoints/h2z_CUT")
        self.first = folder.name if folder.name in beside else next(iter(inside))
        self._device, self._lock = device, threading.Lock()
        self._loaded: OrderedDict[tuple, Translator] = OrderedDict()

    def offered(self) -> dict[str, Any]:
        """What the page lets choose from, as JSON takes it; read from the disk each time, for runs go on.

        Names of runs and epochs come in lists: an object of JavaScript would put whole numbers first.
        """
        found = {name: checkpoints(folder) for name, folder in self._folders.items()}
        return {"first": self.first, "precisions": precisions(self._device), "tiles": list(TILES),
                "runs": [{"name": name, "epochs": [{"name": epoch, "averages": averages}
                                                   for epoch, averages in epochs.items()]}
                         for name, epochs in found.items() if epochs]}

    def first_choice(self) -> Choice:
        """What the page shows first."""
        epoch = next(iter(checkpoints(self._folders[self.first])))
        return Choice(self.first, epoch, use_ema=False, precision="auto", tile=None)

    def translator(self, choice: Choice) -> Translator:
        """Raises UsageError, in one line, for a choice that is not offered or cannot be loaded."""
        folder = self._folders.get(choice.run)
        if folder is None or choice.epoch not in checkpoints(folder):
            raise UsageError(f"there is no checkpoint {choice.epoch!r} of a run {choice.run!r}; load the "
                             "page again")
        if choice.precision not in precisions(self._device) or choice.tile not in (None, *TILES):
            raise UsageError(f"precision {choice.precision!r} with tile {choice.tile} is not offered; load "
                             "the page again")
        written = tuple(sorted((path.name, path.stat().st_mtime_ns)
                               for path in folder.glob(f"{choice.epoch}_net_G*.pth")))
        with self._lock:
            key = (choice, written)     # weights that training wrote anew are read anew
            if key not in self._loaded:
                self._loaded[key] = self._load(folder, choice)
            self._loaded.move_to_end(key)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[key]

    def _load(self, folder: Path, choice: Choice) -> Translator:
        tile = {} if choice.tile is None else {"tile": choice.tile}
        return Translator.load(folder, device=self._device, precision=choice.precision, epoch=choice.epoch,
                               use_ema=choice.use_ema, **tile)


def precisions(device: str) -> list[str]:
    """The values of --precision that the device has."""
    on_gpu = device.startswith("cuda") or device == "auto" and torch.cuda.is_available()
    return [name for name in PRECISIONS if on_gpu or name != "tf32"]
