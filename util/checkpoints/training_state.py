"""The state of a run on disk: its weights, and one file with all that it needs to go on.

`<label>_net_<name>.pth` are the published weight files, for test.py and other programs. `latest_state.pth`
holds the weights once more, beside optimizers, schedules, counters and random states: one file, so that no
interruption can leave parts of two moments behind. `previous_state.pth` is the one before it, and
`earlier_state.pth` the last one of a run whose place a new run of that name took.
"""

import re
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from util.atomic import remove_temporaries
from util.checkpoints.disk_space import free_bytes
from util.checkpoints.lock import FolderLock
from util.checkpoints.tensors import first_nonfinite
from util.checkpoints.weights import Damaged, load_file, save_file
from util.console import say
from util.distributed import ranks
from util.errors import RunError, UsageError
from util.runtime.progress import Progress
from util.runtime.seed import random_state, set_random_state

FORMAT = 1
LATEST, PREVIOUS, EARLIER = "latest", "previous", "earlier"
NUMBERED = re.compile(r"(\d+|iter_\d+)_net_\w+\.pth")


def has_state(folder: Path) -> bool:
    """Whether a run in this folder can go on where it was."""
    return any((folder / f"{label}_state.pth").exists() for label in (LATEST, PREVIOUS))


class Trainable(Protocol):
    """What a model offers here; models.base_model.BaseModel is one."""

    def save_weights(self, folder: Path, label: str) -> None: ...
    def load_weights(self, folder: Path, label: str) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TrainingState:
    """The checkpoints of one run, in <checkpoints_dir>/<name>, which it owns while entered.

    Of several ranks rank 0 owns the folder and writes; all of them save and restore at the same moments.
    """

    def __init__(self, folder: Path, *, keep_last: int = 0, force: bool = False):
        """keep_last: how many numbered checkpoints to keep, 0 for all. force: see FolderLock."""
        self.folder, self.keep_last = folder, keep_last
        self.saved = ""         # which moment is kept, in words
        self._new_run = True    # whether what lies in the folder is of another run
        self._failure = ""      # why the last save failed
        self._lock = FolderLock(folder, force)

    def __enter__(self) -> "TrainingState":
        if ranks.is_main():
            self._lock.__enter__()
            remove_temporaries(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Raises RunError where the run ends well but its last save failed."""
        if ranks.is_main():
            self._lock.__exit__(kind, error, trace)
        if self._failure and (error is None or isinstance(error, SystemExit)):
            raise RunError(f"the end of this run is not saved ({self._failure}); "
                           f"{self.advice('room on the disk')}")

    def path(self, label: str) -> Path:
        return self.folder / f"{label}_state.pth"

    @property
    def last_good(self) -> str:
        return self.saved or "nothing of this run"

    def advice(self, remedy: str) -> str:
        """What is kept of a run that an error ends, and how to go on: with a remedy (`a lower --lr`)."""
        if self.saved:
            return f"kept is {self.saved}: go on from there with --continue_train and {remedy}"
        return f"nothing of this run is saved yet: start it again with {remedy}"

    # ---- saving

    def save(self, label: str, model: Trainable, progress: Progress) -> None:
        """Keep this moment: everything under `latest`, the weights alone under another label.

        Where the disk refuses, that is said, what was kept before stays, and the run goes on: the next
        save tries again. Raises RunError for weights that are not finite, and for a folder that was taken.
        """
        content = model.state_dict()
        broken = first_nonfinite([content["networks"], content["optimizers"]])
        if broken:
            raise RunError(f"at {progress.moment} a number in the networks or their optimizers is NaN or "
                           f"infinite, so this is not saved; {self.advice('a lower --lr')}")
        if ranks.is_main():
            self._write(label, content, model, progress)
        elif label == LATEST:
            self.saved, self._new_run = progress.moment, False
        ranks.wait_for_all()    # a rank that ended before would make torchrun end the one that writes

    def _write(self, label: str, content: dict[str, Any], model: Trainable, progress: Progress) -> None:
        try:
            self._lock.check()
            if label == LATEST:
                self._save_state(content, progress)
            model.save_weights(self.folder, label)
            self._forget()
        except OSError as error:
            self._failure = error.strerror or str(error)
            say(f"checkpoint {label} is not saved: {self._failure}, {free_bytes(self.folder) / 1e6:,.0f} MB "
                f"are free in {self.folder}; kept is {self.last_good}; the run goes on and tries again "
                "at the next save")
        else:
            self._failure = ""

    def _save_state(self, content: dict[str, Any], progress: Progress) -> None:
        if self._new_run:       # else a damaged file would be replaced by one of another run
            self.path(PREVIOUS).unlink(missing_ok=True)
        state = {"format": FORMAT, "model": content, "progress": progress.state_dict(),
                 "random": random_state()}
        save_file(self.path(LATEST), state, previous=self.path(EARLIER if self._new_run else PREVIOUS))
        self.saved, self._new_run = progress.moment, False

    def _forget(self) -> None:
        """Delete numbered checkpoints but for the last keep_last of them, by the time they were written."""
        written: dict[str, int] = {}
        for path in self.folder.iterdir() if self.keep_last else ():
            if match := NUMBERED.fullmatch(path.name):
                written[match[1]] = max(written.get(match[1], 0), path.stat().st_mtime_ns)
        for label in sorted(written, key=written.__getitem__)[:-self.keep_last or None]:
            for path in self.folder.glob(f"{label}_net_*.pth"):
                path.unlink()

    # ---- going on

    def displaced(self) -> str:
        """A line about the run whose place this one will take; '' where there is none."""
        if not self._new_run or not self.path(LATEST).exists():
            return ""
        return (f"an earlier run lies in {self.folder}: at the first save its latest state becomes "
                f"{self.path(EARLIER).name} (--continue_train --epoch {EARLIER} goes on with it)")

    def restore(self, label: str, model: Trainable, progress: Progress) -> str:
        """Go back to a moment. Returns in words what was found: everything, or the weights alone.

        A damaged or missing `latest` is replaced by the one before it; the words say so.
        """
        paths = [self.path(label)] + [self.path(PREVIOUS)] * (label == LATEST)
        if not any(path.exists() for path in paths):
            model.load_weights(self.folder, label)
            if label.isdecimal():
                progress.epoch = int(label) + 1
            return f"the weights {label} alone (no state was kept with them)"
        reasons = []
        for path in paths:
            try:
                if not path.exists():
                    raise Damaged(f"{path} is missing")
                state = load_file(path)
            except Damaged as error:
                reasons.append(str(error))
                continue
            change = self._apply(path, state, model, progress)
            self.saved, self._new_run = progress.moment, label != LATEST
            instead = f", the one before it, because {reasons[0]}" if reasons else ""
            return f"everything from {path.name}{instead}{change and f' ({change})'}"
        raise UsageError(f"{'; '.join(reasons)}; move {'both' if len(reasons) > 1 else 'it'} away to start "
                         "from the weights alone")

    def _apply(self, path: Path, state: dict[str, Any], model: Trainable, progress: Progress) -> str:
        """Load a state into model and progress. Returns a line where the data has changed since."""
        if state.get("format") != FORMAT:
            raise UsageError(f"{path} has format {state.get('format')}, this program reads {FORMAT}; use the "
                             "version that wrote it, or remove the file to start from the weights alone")
        try:
            model.load_state_dict(state["model"])
            set_random_state(state["random"])
            return progress.load_state_dict(state["progress"])
        except ValueError as error:
            raise UsageError(f"{path} is of another architecture: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path} is of another model or version: {error!r} does not fit") from error
