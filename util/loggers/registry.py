"""The loggers that a run reports to, by name. The text files and the terminal are always there besides."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from util.loggers.base import Logger
from util.loggers.gallery import open_gallery
from util.loggers.visdom import connect_visdom

# (options, folder of the run) -> logger, or None where the options turn it off or it cannot be reached.
LOGGERS: dict[str, Callable[[Namespace, Path], Logger | None]] = {
    "gallery": open_gallery,
    "visdom": connect_visdom,
}


def create_loggers(opt: Namespace, folder: Path) -> dict[str, Logger]:
    """Every logger that is on, by name. folder: of the run, <checkpoints_dir>/<name>."""
    created = {name: create(opt, folder) for name, create in LOGGERS.items()}
    return {name: logger for name, logger in created.items() if logger}
