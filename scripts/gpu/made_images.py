"""A data set that is drawn: brown horses on green, and the same shapes in black and white stripes."""

from pathlib import Path

import numpy as np
from PIL import Image

BROWN, GREEN, WHITE, BLACK = (np.array(c, np.float32) for c in (
    (150, 90, 45), (110, 150, 80), (235, 235, 230), (25, 25, 25)))


def make_images(folder: Path, *, count: int, size: int) -> Path:
    """Write trainA, trainB (`count` images each), testA and testB (a quarter, at least two).

    Returns the folder.
    """
    for number, domain in enumerate("AB"):
        for phase, images in (("train", count), ("test", max(2, count // 4))):
            random = np.random.default_rng([number, images, size])
            target = folder / f"{phase}{domain}"
            target.mkdir(parents=True, exist_ok=True)
            for index in range(images):
                animal = draw(random, size, striped=domain == "B")
                Image.fromarray(animal).save(target / f"{index:04}.png", compress_level=1)
    return folder


def draw(random: np.random.Generator, size: int, *, striped: bool) -> np.ndarray:
    """One ellipse, the animal, on grass; uint8 [size, size, 3]."""
    y, x = np.mgrid[:size, :size] / size
    centre, axes = random.uniform(0.35, 0.65, 2), random.uniform(0.15, 0.35, 2)
    angle = random.uniform(0, np.pi)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    inside = ((along / axes[0]) ** 2 + (across / axes[1]) ** 2 < 1)[..., None]
    stripes = (np.sin(along * random.uniform(60, 100)) > 0)[..., None]
    coat = np.where(stripes, WHITE, BLACK) if striped else BROWN * random.uniform(0.7, 1.2)
    image = np.where(inside, coat, GREEN * random.uniform(0.8, 1.1))
    return np.clip(image + random.normal(0, 8, (size, size, 1)), 0, 255).astype(np.uint8)
