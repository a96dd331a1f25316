"""A pool of earlier generated images, so that a discriminator sees the generator's history."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to `size` images (0: none) and mixes them into what the discriminator is shown.

    Shrivastava et al. 2017, section 2.3, in the form of CycleGAN (Zhu et al. 2017, section 4). Draws from
    torch's global CPU generator, so that nothing waits for the device.
    """

    def __init__(self, size: int):
        if size < 0:
            raise ValueError(f"--pool_size is {size}; choose 0 (no pool) or more")
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """images: [B, C, H, W], detached here. Returns as many, each the one given or one of the pool.

        Until the pool is full each image is kept and returned; then, with probability 1/2, an image takes
        the place of a random one in the pool, which is returned instead.
        """
        images = images.detach()
        if self.size == 0:
            return images
        return torch.stack([self._exchange(image) for image in images])

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if torch.rand(()).item() < 0.5:
            return image
        place = int(torch.randint(self.size, ()).item())
        old, self.images[place] = self.images[place], image.clone()
        return old

    def remember(self) -> Callable[[], None]:
        """A function that brings back what the pool holds now."""
        before = list(self.images)
        return lambda: self.images.__setitem__(slice(None), before)

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self.images)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Of a larger pool, the first `size` images are taken."""
        self.images = [image.to(device) for image in state["images"][:self.size]]
