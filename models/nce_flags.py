"""The flags of CUT's contrastive loss, and the functions that they choose.

A method more is a function in models/contrastive/ and a line in a table here.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from models.contrastive.patch_nce import CONTRASTS, Sampler, Weighting
from models.contrastive.relation import semantic_relation_loss
from models.contrastive.sampling import discriminative_locations, query_locations, random_locations
from models.contrastive.weighting import Curriculum, semantic_weighting, transport_weighting
from models.networks import PROJECTORS
from util.console import say
from util.errors import UsageError
from util.flags import integer, number, str2bool

# --nce_weighting -> what PatchNCE is given.
WEIGHTINGS: dict[str, Callable[[Namespace, Curriculum], Weighting | None]] = {
    "none": lambda opt, gamma: None,
    "semantic": lambda opt, gamma: partial(semantic_weighting, gamma=gamma.value),
    "ot": lambda opt, gamma: partial(transport_weighting, eps=opt.nce_ot_eps, amount=opt.nce_ot_amount),
}

# --nce_sampling, with netF and netD -> what PatchNCE is given.
SAMPLERS: dict[str, Callable[[Namespace, nn.Module, nn.Module], Sampler]] = {
    "random": lambda opt, netF, netD: partial(random_locations, locations=partial(
        netF.locations, num_patches=opt.num_patches, shared=opt.nce_shared_locations)),
    "query": lambda opt, netF, netD: partial(query_locations, num_patches=opt.num_patches),
    "dag": lambda opt, netF, netD: partial(discriminative_locations, num_patches=opt.num_patches,
                                           discriminator=netD),
}
MAPS = ("basic", "n_layers", "pixel")       # --netD whose scores are a map of the image


def add_nce_flags(parser: ArgumentParser) -> None:
    """The published loss's flags, then those of the methods that came after it."""
    add = parser.add_argument
    add("--nce_layers", default="0,4,8,12,16", architecture=True,
        help="numbers of the layers of G whose features the NCE loss compares, separated by commas; the "
             "default depends on --netG")
    add("--nce_includes_all_negatives_from_minibatch", type=str2bool, nargs="?", const=True, default=False,
        help="take the negatives from all images of the minibatch, not only from the same image "
             "(single-image translation does)")
    add("--nce_negatives", choices=["internal", "external", "both"], default="internal",
        help="negatives from the same image (internal), from earlier images, encoded by slow copies of "
             "G and F (external), or both")
    add("--nce_queue_size", type=integer(at_least=1), default=16384,
        help="external negatives kept for a layer of each domain")
    add("--nce_momentum", type=number(at_least=0, below=1), default=0.999,
        help="part of the slow copies' weights that stays in a step")
    add("--nce_shared_locations", type=str2bool, nargs="?", const=True, default=False,
        help="draw one set of patch locations for all images of a minibatch, as the published code did; "
             "default: one set an image (equal at --batch_size 1)")
    add("--netF", choices=sorted(PROJECTORS), default="mlp_sample", architecture=True,
        help="how features become embeddings")
    add("--netF_nc", type=integer(at_least=1), default=256, architecture=True, help="width of netF")
    add("--nce_T", type=number(above=0), default=0.07, help="temperature of the NCE loss")
    add("--num_patches", type=integer(at_least=1), default=256, help="patches a layer and image")
    add_switches(parser)


def add_switches(parser: ArgumentParser) -> None:
    """What came after CUT. Costs are those of a step at 64 pixels: docs/methods.md."""
    add = parser.add_argument
    above_0 = number(above=0)
    add("--nce_loss", choices=list(CONTRASTS), default="nce",
        help="nce: cross entropy; dce: decoupled, the positive left out of the denominator (Yeh et al. 2022; "
             "costs nothing)")
    add("--nce_weighting", choices=list(WEIGHTINGS), default="none",
        help="negatives of the same image count alike (none); each similarity is scaled by how alike the two "
             "places of the source are (semantic: Jung et al. 2022; costs next to nothing); or each term by "
             "an optimal transport plan (ot: MoNCE, Zhan et al. 2022; costs about 8%%)")
    add("--nce_gamma", type=above_0, default=50.0,
        help="of --nce_weighting semantic, in the first epoch; the lower, the more only the hardest count")
    add("--nce_gamma_last", type=above_0, default=10.0, help="the same in the last epoch, on a straight line")
    add("--nce_ot_eps", type=number(at_least=0.05), default=1.0,
        help="of --nce_weighting ot: entropy in the transport; the lower, the more only hard negatives count")
    add("--nce_ot_amount", type=above_0, default=1.0,
        help="of --nce_weighting ot: mean weight of the negatives")
    add("--lambda_SRC", type=number(at_least=0), default=0.0,
        help="weight of the loss SRC: patches of G(X) should be as alike to each other as those of X are "
             "(Jung et al. 2022, who use 0.05; costs about 2%%)")
    add("--nce_sampling", choices=list(SAMPLERS), default="random",
        help="places at random; in the smallest maps those whose attention has the least entropy, with what "
             "they attend to (query: QS-Attn, Hu et al. 2022; costs about 3%%); half of them where D finds "
             "the output the least real (dag: EnCo, Cai et al. 2024; costs about 3%%)")
    add("--nce_layer_weights", default=None,
        help="factors of the layers' NCE losses, separated by commas, as many as --nce_layers; default: 1")


# ---- what they mean


def layer_numbers(text: str) -> list[int]:
    """The numbers in "0,4,8"."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--nce_layers is {text!r}; give numbers separated by commas, like 0,4,8") from None


def layer_weights(opt: Namespace) -> list[float] | None:
    """--nce_layer_weights in the order of ascending layers; None: all 1."""
    text = opt.nce_layer_weights
    if text is None:
        return None
    try:
        weights = [number(at_least=0)(part) for part in text.split(",")]
    except ArgumentTypeError:
        weights = []
    layers = layer_numbers(opt.nce_layers)
    if len(weights) != len(layers) or not any(weights):
        raise UsageError(f"--nce_layer_weights is {text!r}; give {len(layers)} numbers from 0 on, one for "
                         f"each of --nce_layers {opt.nce_layers}, separated by commas, not all 0")
    return [weight for _, weight in sorted(zip(layers, weights, strict=True))]


def chosen(opt: Namespace, netF: nn.Module, netD: nn.Module, gamma: Curriculum) -> dict[str, Any]:
    """What PatchNCE is given for the methods and numbers that the flags choose; gamma: see `gamma_of`."""
    return {"temperature": opt.nce_T, "sampler": SAMPLERS[opt.nce_sampling](opt, netF, netD),
            "contrast": CONTRASTS[opt.nce_loss], "weighting": WEIGHTINGS[opt.nce_weighting](opt, gamma),
            "relation": semantic_relation_loss if opt.lambda_SRC > 0 else None,
            "minibatch_negatives": opt.nce_includes_all_negatives_from_minibatch,
            "layer_weights": layer_weights(opt)}


def gamma_of(opt: Namespace) -> Curriculum:
    return Curriculum(opt.nce_gamma, opt.nce_gamma_last, epochs=opt.n_epochs + opt.n_epochs_decay,
                      device=opt.device)


def check_nce_flags(opt: Namespace) -> None:
    """Raise UsageError for flags with which the contrastive loss cannot be computed, or teaches nothing."""
    if opt.nce_negatives == "external" and opt.nce_includes_all_negatives_from_minibatch:
        raise UsageError("--nce_negatives external excludes --nce_includes_all_negatives_from_minibatch, "
                         "which asks for negatives of this minibatch: use --nce_negatives both")
    one_image = opt.batch_size == 1 or not opt.nce_includes_all_negatives_from_minibatch
    one_patch = opt.num_patches == 1 and one_image and opt.netF != "reshape"
    if opt.lambda_NCE > 0 and one_patch and opt.nce_negatives == "internal":
        raise UsageError("--num_patches 1 leaves the NCE loss no negatives: raise it, or use "
                         "--nce_includes_all_negatives_from_minibatch with a --batch_size above 1")
    layer_weights(opt)
    check_weighting(opt, one_patch)
    check_sampling(opt)


def check_channels(opt: Namespace) -> None:
    """Say how images of unequal channels come into G; UsageError where they cannot."""
    flags = f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ"
    if {opt.input_nc, opt.output_nc} != {1, 3}:
        raise UsageError(f"{flags}, but the NCE loss runs G on its output, and only 1 and 3 channels can be "
                         "brought to each other: use equal numbers, or another --model")
    if opt.nce_sampling == "dag":
        raise UsageError(f"{flags}, and --nce_sampling dag asks D about what the NCE loss sees: leave one "
                         "of them out")
    how = "their luminance" if opt.input_nc == 1 else "grey in three channels"
    say(f"{flags}: G's outputs, and the images of the target domain, enter G for the NCE loss as {how}")


def check_weighting(opt: Namespace, one_patch: bool) -> None:
    """one_patch: no patch is compared with another of its image or minibatch."""
    weighted, related = f"--nce_weighting {opt.nce_weighting}", f"--lambda_SRC {opt.lambda_SRC:g}"
    if opt.nce_weighting != "none" and opt.nce_negatives == "external":
        raise UsageError(f"{weighted} weighs negatives of the same image, and --nce_negatives external takes "
                         "none: use --nce_negatives both")
    if opt.lambda_SRC > 0 and opt.lambda_NCE == 0:
        raise UsageError(f"{related} needs the patches of the NCE loss, but --lambda_NCE is 0: raise that")
    for flag, used in ((weighted, opt.nce_weighting != "none"), (related, opt.lambda_SRC > 0)):
        if used and one_patch:
            raise UsageError(f"{flag} compares the patches of an image, and --num_patches 1 leaves one: "
                             "raise it, or use --nce_includes_all_negatives_from_minibatch with a "
                             "--batch_size above 1")


def check_sampling(opt: Namespace) -> None:
    flag = f"--nce_sampling {opt.nce_sampling}"
    if opt.nce_sampling == "random":
        return
    if opt.netF == "reshape":
        raise UsageError(f"{flag} chooses places, but --netF reshape always uses all: use --netF mlp_sample")
    if opt.nce_shared_locations:
        raise UsageError(f"{flag} chooses places for each image, which --nce_shared_locations excludes: "
                         "leave one of them out")
    if opt.nce_sampling == "dag" and opt.diffaugment:
        raise UsageError(f"{flag} takes places from D's scores, but --diffaugment {opt.diffaugment} "
                         "moves what D sees: leave one of them out")
    if opt.nce_sampling == "dag" and opt.netD not in MAPS:
        raise UsageError(f"{flag} needs scores of D all over the image, and --netD {opt.netD} gives none: "
                         f"use --netD {', '.join(MAPS[:-1])} or {MAPS[-1]}")
