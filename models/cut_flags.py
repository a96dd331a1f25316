"""The flags of CUT: their defaults for both modes, and which of them cannot be combined."""

from argparse import ArgumentParser, Namespace

from models.networks import GENERATORS, PROJECTORS
from util.errors import UsageError
from util.flags import integer, number, str2bool

FASTCUT = dict(nce_idt=False, lambda_NCE=10.0, flip_equivariance=True)
FASTCUT_TRAINING = dict(n_epochs=150, n_epochs_decay=50)


def add_cut_flags(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
    """Add the flags, with the defaults of the --CUT_mode and --netG that were typed."""
    add = parser.add_argument
    add("--CUT_mode", type=cut_mode, default="CUT", architecture=True,
        help="CUT or FastCUT, in any letter case")
    add("--lambda_GAN", type=number(at_least=0), default=1.0, help="weight of the GAN loss of G(X)")
    add("--lambda_NCE", type=number(at_least=0), default=1.0, help="weight of the NCE loss of G(X) and X")
    add("--nce_idt", type=str2bool, nargs="?", const=True, default=True,
        help="use the NCE loss on G(Y) and Y too")
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
    add("--flip_equivariance", type=str2bool, nargs="?", const=True, default=False,
        help="mirror the input of half the steps, and its features back (FastCUT does)")
    if is_train:
        parser.set_defaults(pool_size=0)
    typed, _ = parser.parse_known_args()
    if typed.netG in GENERATORS:
        parser.set_defaults(nce_layers=GENERATORS[typed.netG].nce_layers)
    if typed.CUT_mode == "FastCUT":
        parser.set_defaults(**FASTCUT, **(FASTCUT_TRAINING if is_train else {}))
    return parser


def cut_mode(text: str) -> str:
    """CUT or FastCUT from any letter case."""
    modes = {"cut": "CUT", "fastcut": "FastCUT"}
    if text.lower() not in modes:
        raise UsageError(f"--CUT_mode is {text!r}; choose CUT or FastCUT")
    return modes[text.lower()]


def layer_numbers(text: str) -> list[int]:
    """The numbers in "0,4,8"."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--nce_layers is {text!r}; give numbers separated by commas, like 0,4,8") from None


def check_cut_flags(opt: Namespace) -> None:
    """Raise UsageError for flags with which the losses cannot be computed, or teach nothing."""
    if opt.lambda_GAN == 0 and opt.lambda_NCE == 0:
        raise UsageError("--lambda_GAN and --lambda_NCE are both 0: G would learn nothing; raise one of them")
    if opt.input_nc != opt.output_nc and (opt.lambda_NCE > 0 or opt.nce_idt):
        raise UsageError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ, but the NCE "
                         "loss runs G on its output: use equal numbers (images are converted to them), "
                         "or another --model")
    if opt.nce_negatives == "external" and opt.nce_includes_all_negatives_from_minibatch:
        raise UsageError("--nce_negatives external excludes --nce_includes_all_negatives_from_minibatch, "
                         "which asks for negatives of this minibatch: use --nce_negatives both")
    alone = opt.batch_size == 1 or not opt.nce_includes_all_negatives_from_minibatch
    alone = alone and opt.nce_negatives == "internal"
    if opt.lambda_NCE > 0 and opt.num_patches == 1 and alone and opt.netF != "reshape":
        raise UsageError("--num_patches 1 leaves the NCE loss no negatives: raise it, or use "
                         "--nce_includes_all_negatives_from_minibatch with a --batch_size above 1")
