"""A training on disk: its weights, and one file with all that it needs to go on.

`<label>_net_<name>.pth` are the published weight files, for test.py and other programs. `<label>_state.pth`
holds the weights once more, beside optimizers, schedules, counters and random states: one file, so that no
interruption can leave parts of two moments behind.
"""

from pathlib import Path
from typing import Any, Protocol

from util.checkpoint import load_file, save_file
from util.errors import UsageError
from util.progress import Progress
from util.seed import random_state, set_random_state

FORMAT = 1


class Trainable(Protocol):
    """What a model offers here; models.base_model.BaseModel is one."""

    def save_weights(self, folder: Path, label: str) -> None: ...
    def load_weights(self, folder: Path, label: str) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TrainingState:
    """The checkpoints of one experiment, in <checkpoints_dir>/<name>."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, label: str) -> Path:
        return self.folder / f"{label}_state.pth"

    def save(self, label: str, model: Trainable, progress: Progress) -> None:
        """Keep this moment: everything under `latest`, the weights alone under another label."""
        if label == "latest":
            save_file(self.path(label), {"format": FORMAT, "model": model.state_dict(),
                                         "progress": progress.state_dict(), "random": random_state()})
        model.save_weights(self.folder, label)

    def restore(self, label: str, model: Trainable, progress: Progress) -> bool:
        """Go back to a moment. False where only its weights were kept, which are loaded then."""
        path = self.path(label)
        if not path.exists():
            model.load_weights(self.folder, label)
            return False
        state = load_file(path)
        if state.get("format") != FORMAT:
            raise UsageError(f"{path} has format {state.get('format')}, this program reads {FORMAT}; use the "
                             "version that wrote it, or remove the file to start from the weights alone")
        try:
            model.load_state_dict(state["model"])
        except ValueError as error:
            raise UsageError(f"{path} is of another architecture: {error}") from error
        progress.load_state_dict(state["progress"])
        set_random_state(state["random"])
        return True
