"""The base class of models with many translations of an image: content is kept, and a style is chosen."""

import hashlib
from abc import abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import PurePath

import numpy as np
import torch
from torch import Tensor

from data.image_folder import BadImage, load_image
from data.transforms import Geometry, Transform, check_preprocess
from models.adversarial import AdversarialModel
from models.base_model import Batch
from models.networks.base import fit_sides
from util.errors import UsageError
from util.flags import integer, number


class MultimodalModel(AdversarialModel):
    """A model whose translation is a decoding of an image's content with a style of the target domain.

    A subclass calls `add_style_flags`, builds its networks, and offers encode_content, encode_style and
    decode. Translation then works by itself: test.py gives fake_B, fake_B_2 ... fake_B_N with --num_styles N.
    The sides that images are padded to are those that the Network `translator()` takes.

    Styles are N(0, I), drawn from --seed and the name of the image's file, without its folder and extension.
    So they depend neither on the order of the images, nor on their number or the size of a batch; style 1 is
    the same whatever N is. In training one style an image is drawn in this way for evaluations.
    """

    @staticmethod
    def add_style_flags(parser: ArgumentParser, is_train: bool) -> None:
        """Add the flags that such models share."""
        add = parser.add_argument
        add("--style_dim", type=integer(at_least=1), default=8, architecture=True,
            help="numbers in the style of an image")
        if is_train:
            add("--weight_decay", type=number(at_least=0), default=1e-4,
                help="of all networks: this much times the weights is added to Adam's gradients")
        else:
            add("--num_styles", type=integer(at_least=1), default=1,
                help="translations of each image, each in a random style: fake_B, fake_B_2, ...")
            add("--same_styles", action="store_true",
                help="the same random styles for every image; default: each image has its own, by --seed and "
                     "the name of its file")
            add("--style_image", default=None,
                help="file of an image of the target domain, whose style all translations get")

    tiles = False

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.num_styles, self.same_styles, self.style_image = 1, False, None
        if not opt.isTrain:
            self.num_styles, self.same_styles = opt.num_styles, opt.same_styles
            if opt.style_image is not None:
                self.style_image = read_style_image(opt).to(self.device)

    # ---- what a subclass writes

    @abstractmethod
    def encode_content(self, x: Tensor) -> Tensor:
        """The content of images of the input domain, [B, C, H, W]; [B, ...]."""

    @abstractmethod
    def encode_style(self, x: Tensor) -> Tensor:
        """The styles of images of the target domain, [B, C, H, W]: [B, style_dim]."""

    @abstractmethod
    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """Images of the target domain, [B, C, H, W] in [-1, 1], of a content and a style for each."""

    # ---- losses

    def fooling(self, name: str, fakes: Tensor) -> Tensor:
        """What generators minimise on discriminator `name`."""
        return self.over_scales(self.objective.generator, self.networks[name](fakes))

    @staticmethod
    def over_scales(objective: Callable[[Tensor], Tensor], scores: Sequence[Tensor]) -> Tensor:
        """The objective's sum over D's scales, each a mean over its scores."""
        return torch.stack([objective(s) for s in scores]).sum()

    # ---- translation

    @torch.no_grad()
    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """real_A, fake_B in the first style, fake_B_2 and so on in the others, real_B where there is one."""
        real = self.to_device(batch, self.input_key)
        height, width = real.shape[-2:]
        content = self.encode_content(fit_sides(self.translator(), real))
        images = {"real_A": real}
        for i, style in enumerate(self.styles(batch), 1):
            label = "fake_B" if i == 1 else f"fake_B_{i}"
            images[label] = self.decode(content, style)[..., :height, :width]
        if self.target_key in batch:
            images["real_B"] = self.to_device(batch, self.target_key)
        return images

    def styles(self, batch: Batch) -> Tensor:
        """The styles in which a batch is translated, [--num_styles, B, style_dim].

        Images of a batch without paths count as images of one name.
        """
        images = len(batch[self.input_key])
        if self.style_image is not None:
            style = self.encode_style(fit_sides(self.translator(), self.style_image))
            return style.expand(1, images, -1)
        paths = batch.get(f"{self.input_key}_paths", [""] * images)
        names = ["" if self.same_styles else PurePath(path).stem for path in paths]
        return random_styles(self.opt.seed, names, self.num_styles, self.opt.style_dim).to(self.device)


def random_styles(seed: int, names: Sequence[str], count: int, size: int) -> Tensor:
    """`count` styles N(0, I) for each name, [count, names, size], on the CPU; a function of seed and name."""
    styles = torch.empty(count, len(names), size)
    for i, name in enumerate(names):
        digest = hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
        for style in styles:    # one by one, as torch draws many numbers in another order than few
            style[i] = torch.randn(size, generator=generator)
    return styles


def read_style_image(opt: Namespace) -> Tensor:
    """--style_image through --preprocess, [1, C, H, W] in [-1, 1]. Raises UsageError."""
    if opt.num_styles > 1:
        raise UsageError(f"--style_image {opt.style_image} gives one style: leave out --num_styles "
                         f"{opt.num_styles}")
    try:
        image = load_image(opt.style_image, opt.output_nc)
    except BadImage as error:
        raise UsageError(f"--style_image cannot be read: {error}") from error
    transform = Transform(check_preprocess(opt.preprocess), flip=False)
    geometry = Geometry(opt.load_size, opt.crop_size, opt.random_scale_max)
    return transform(image, geometry, np.random.default_rng(opt.seed))[None]
