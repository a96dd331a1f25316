"""Sliced Wasserstein distance between the patches of two sets of images: compares texture, without a network.

Karras et al. 2018 (Progressive Growing of GANs), section 5 and appendix, but at the images' own size alone
(no Laplacian pyramid). Patches are 7 x 7 pixels.
"""

from collections.abc import Iterable

import numpy as np

Image = np.ndarray  # [H, W, C], any numeric type


def patch_descriptors(images: Iterable[Image], patches_per_image: int, patch_size: int,
                      generator: np.random.Generator) -> np.ndarray:
    """Patches at random places of every image, each channel scaled to mean 0 and std 1 over the whole set.

    Returns float32 [images * patches_per_image, patch_size * patch_size * C]. By the scaling, the overall
    tint and contrast of the set do not count.
    Raises ValueError for no images, an image smaller than a patch, or channels that differ.
    """
    patches = []
    for image in images:
        height, width, channels = image.shape
        if min(height, width) < patch_size:
            raise ValueError(f"an image of {width} x {height} is smaller than a patch of {patch_size}")
        if patches and patches[0].shape[-1] != channels:
            raise ValueError(f"images have {patches[0].shape[-1]} and {channels} channels in one set")
        tops = generator.integers(height - patch_size + 1, size=patches_per_image)
        lefts = generator.integers(width - patch_size + 1, size=patches_per_image)
        offsets = np.arange(patch_size)
        patches.append(image[tops[:, None, None] + offsets[:, None], lefts[:, None, None] + offsets])
    if not patches:
        raise ValueError("there are no images to take patches from")
    stack = np.concatenate(patches).astype(np.float32)              # N, patch, patch, C
    stack -= stack.mean(axis=(0, 1, 2), dtype=np.float64)
    std = stack.std(axis=(0, 1, 2), dtype=np.float64)
    stack /= np.where(std > 0, std, 1)                              # a channel of one value stays 0
    return stack.reshape(len(stack), -1)


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, directions: int,
                       generator: np.random.Generator) -> float:
    """Mean over random directions of the 1-D Wasserstein distance between the projections of two point sets.

    a: [N, D], b: [M, D]. N and M may differ: the distance of the two step-shaped quantile functions is exact.
    Directions are uniform on the unit sphere. Symmetric; 0 for equal sets.
    """
    # Between neighbouring cuts i/N and j/M (here as whole multiples of 1/NM) both quantiles stay the same.
    n, m = len(a), len(b)
    cuts = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    share = np.diff(cuts, prepend=0) / (n * m)
    rank_a, rank_b = (cuts - 1) // m, (cuts - 1) // n
    axes = generator.standard_normal((a.shape[1], directions)).astype(np.float32)
    axes /= np.linalg.norm(axes, axis=0)
    total = 0.0
    for axis in np.array_split(axes, max(1, directions // 64), axis=1):  # 64 at a time bound the memory
        gaps = np.abs(np.sort(a @ axis, axis=0)[rank_a] - np.sort(b @ axis, axis=0)[rank_b])
        total += float((share @ gaps).sum())
    return total / directions


def patch_distance(a: Iterable[Image], b: Iterable[Image], *, patches_per_image: int = 128,
                   patch_size: int = 7, directions: int = 512, seed: int = 0) -> float:
    """Sliced Wasserstein distance between the patches of two sets of images, times 1000 as published.

    Lower is nearer. Two samples of one set are a little above 0, because their patches differ. The same seed
    gives the same places and directions. Raises ValueError for images that it cannot take.
    """
    places_a, places_b, directions_generator = (np.random.default_rng([seed, i]) for i in range(3))
    descriptors_a = patch_descriptors(a, patches_per_image, patch_size, places_a)
    descriptors_b = patch_descriptors(b, patches_per_image, patch_size, places_b)
    if descriptors_a.shape[1] != descriptors_b.shape[1]:
        raise ValueError("the two sets of images have different numbers of channels")
    return 1000 * sliced_wasserstein(descriptors_a, descriptors_b, directions, directions_generator)
