"""How far an image in tiles is from the same image at once, and how long each way takes."""

import time
from pathlib import Path

import torch
from torch import Tensor

from models.tiling import STATISTICS
from models.translator import Translator
from models.translator.kinds import Intake, read_path

HEAD = f"{'--tile_statistics':<18}{'largest':>9}{'mean':>9}{'CPU seconds':>13}"


def compare(run: Path, photo: Path, precision: str, tile: int, overlap: int) -> str:
    """A table of the ways to translate a photo; differences from --tile 0, in levels of 255.

    The photo must fit into memory at once.
    """
    image = read_path(photo, Intake(3, None))
    whole, seconds = timed(run, image, precision, tile=0)
    lines = [f"{photo.name}, {image.shape[2]}x{image.shape[1]}, {precision}; at once: {seconds:.1f} CPU "
             f"seconds; --tile {tile} --tile_overlap {overlap}:", HEAD]
    for name in STATISTICS:
        made, seconds = timed(run, image, precision, tile=tile, tile_overlap=overlap, tile_statistics=name)
        away = (made - whole).abs() * 127.5
        lines.append(f"{name:<18}{away.max():>9.4f}{away.mean():>9.4f}{seconds:>13.1f}")
    return "\n".join(lines)


def timed(run: Path, image: Tensor, precision: str, **flags: int | str) -> tuple[Tensor, float]:
    """The translation [C, H, W] of an image on the CPU, and the processor's seconds that it took."""
    translate = Translator.load(run, device="cpu", precision=precision, **flags)
    began = time.process_time()
    with torch.inference_mode():
        made = translate(image)
    return made, time.process_time() - began
