"""The loggers that a run reports to, by name. The text files and the terminal are always there besides."""

import importlib.util
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from util.errors import UsageError
from util.loggers.base import Logger
from util.loggers.gallery import open_gallery
from util.loggers.services.tensorboard import TensorBoard
from util.loggers.services.visdom import connect_visdom
from util.loggers.services.wandb import open_wandb

# Those of every run: (options, folder of the run) -> logger, or None where the options turn it off or it
# cannot be reached.
LOGGERS: dict[str, Callable[[Namespace, Path], Logger | None]] = {
    "gallery": open_gallery,
}
# Those that --logger names.
SERVICES: dict[str, Callable[[Namespace, Path], Logger | None]] = {
    "tensorboard": TensorBoard,
    "visdom": connect_visdom,
    "wandb": open_wandb,
}
# Those without which a run does not begin if their package, of the same name, is missing. Not so visdom, the
# default: one line says that it is not shown.
PACKAGES = ("tensorboard", "wandb")


def create_loggers(opt: Namespace, folder: Path) -> dict[str, Logger]:
    """Every logger that is on, by name. folder: of the run, <checkpoints_dir>/<name>."""
    chosen = LOGGERS | {name: SERVICES[name] for name in names_in(opt.logger)}
    created = {name: create(opt, folder) for name, create in chosen.items()}
    return {name: logger for name, logger in created.items() if logger}


def names_in(text: str) -> list[str]:
    """The names in "visdom,wandb"; none in "none"."""
    return [] if text == "none" else list(dict.fromkeys(text.split(",")))


def logger_names(text: str) -> str:
    """The type of --logger: names of SERVICES joined by commas, or none. Raises UsageError."""
    for name in names_in(text):
        if name not in SERVICES:
            raise UsageError(f"--logger is {text!r}, but {name!r} is none of {', '.join(SERVICES)}; join "
                             "several by commas, or give none")
    return text


def check_packages(text: str) -> None:
    """Raise UsageError for a logger in "visdom,wandb" whose package is not installed."""
    for name in set(names_in(text)) & set(PACKAGES):
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:       # a mere folder has no origin
            raise UsageError(f"--logger {name} needs a package that is not installed: pip install -r "
                             f"requirements-{name}.txt, or leave {name} out")
