"""The flags of --model drit, and what they must agree about."""

from argparse import ArgumentParser, Namespace

from torch import Tensor

from models.multimodal import MultimodalModel
from models.networks.multimodal.drit_discriminators import PUBLISHED_LAYERS, content_side, image_side
from util.distributed import ranks
from util.errors import UsageError
from util.flags import integer, number

TRAINING = dict(load_size=256, crop_size=216, batch_size=2, gan_mode="vanilla", lr=1e-4, n_epochs=600,
                n_epochs_decay=600)


def add_drit_flags(parser: ArgumentParser, is_train: bool) -> None:
    """Add DRIT's flags and, in place of the shared defaults, the published values."""
    add = parser.add_argument
    MultimodalModel.add_style_flags(parser, is_train)
    add("--no_concat", action="store_true", architecture=True,
        help="let the style transform features, not stand beside them: for domains whose shapes differ, such "
             "as cats and dogs. A step of all networks takes 22%% longer")
    if not is_train:
        return
    parser.set_defaults(**TRAINING)
    weight, at_least_1 = number(at_least=0), integer(at_least=1)
    add("--no_ms", action="store_true",
        help="without the mode-seeking loss: DRIT of ECCV 2018, not DRIT++. A step of all networks takes "
             "10%% less time")
    add("--d_iter", type=at_least_1, default=3,
        help="update all networks in one step of so many; in the others D_content alone")
    add("--dis_scale", type=at_least_1, default=3, architecture=True,
        help="sizes at which an image is judged; 1: one discriminator of six layers")
    add("--content_D_layers", choices=["auto", *map(str, range(PUBLISHED_LAYERS + 1))], default="auto",
        architecture=True,
        help="layers of D_content that halve the content map; auto: the published 3 for a --crop_size of 212 "
             "or more, below that as many as there is room for (2 from 100, 1 from 44, else 0)")
    add("--lambda_rec", type=weight, default=10.0,
        help="weight of the L1 losses of an image decoded again, and of one whose style was swapped twice")
    add("--lambda_latent", type=weight, default=10.0,
        help="weight of the L1 loss between a random style and that of the image made with it")
    add("--lambda_KL", type=weight, default=0.01, help="weight that pulls styles and content to N(0, I)")
    add("--lambda_ms", type=weight, default=1.0, help="weight of the mode-seeking loss")


def content_layers(opt: Namespace) -> int:
    """--content_D_layers; for auto, as many as a crop has room for, the published number at most."""
    if opt.content_D_layers != "auto":
        return int(opt.content_D_layers)
    return max((n for n in range(PUBLISHED_LAYERS + 1) if 4 * content_side(n) <= opt.crop_size), default=0)


def smallest_image(opt: Namespace) -> tuple[int, str]:
    """The smallest side of an image to train on, in pixels, and the flag that decides it."""
    layers = content_layers(opt)
    return max((image_side(opt.dis_scale), f"--dis_scale {opt.dis_scale}"),
               (4 * content_side(layers), f"--content_D_layers {layers}"))


def check_drit(opt: Namespace) -> None:
    """Raise UsageError for options that DRIT cannot be trained with."""
    if opt.batch_size % 2:
        raise UsageError(f"--batch_size {opt.batch_size} is odd, but --model drit halves each minibatch: use "
                         f"{opt.batch_size + 1}")
    halves = 2 * opt.accumulate * ranks.world_size()
    if opt.batch_size % halves:
        raise UsageError(f"--batch_size {opt.batch_size} is of {halves // 2} parts together, each of which "
                         f"--model drit halves: use a multiple of {halves}")
    if opt.grad_checkpoint:
        raise UsageError("--grad_checkpoint does not work with --model drit; leave it out")
    if opt.gan_mode == "wgangp":
        raise UsageError("--gan_mode wgangp does not work with --model drit, whose D gives scores at several "
                         "sizes; choose another, such as vanilla")
    side, flag = smallest_image(opt)
    if opt.crop_size < side:
        raise UsageError(f"--crop_size {opt.crop_size} is too small for {flag}, which needs {side}")


def check_images(opt: Namespace, *domains: Tensor) -> None:
    """Raise UsageError for minibatches [B, C, H, W] of sizes that DRIT cannot be trained on."""
    sizes = sorted({(images.shape[3], images.shape[2]) for images in domains})
    smallest = smallest_image(opt)[0]
    if len(sizes) > 1 or any(side % 4 or side < smallest for side in sizes[0]):
        shown = " and ".join(f"{width}x{height}" for width, height in sizes)
        raise UsageError(f"--preprocess {opt.preprocess} gives images of {shown} pixels, but --model drit "
                         f"takes one size, sides multiples of 4 and at least {smallest}; use a --preprocess "
                         "that crops, such as resize_and_crop")
