"""EnCo: Cai et al., Rethinking the Paradigm of Content Constraints in Unpaired I2I Translation, AAAI 2024."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adversarial import AdversarialModel, build_discriminator, build_generator
from models.contrastive.patch_nce import stack_domains
from models.contrastive.sampling import discriminative_locations
from models.nce_flags import MAPS, layer_numbers
from models.networks import GENERATORS
from models.networks.patch_sampler import PairedHeads, sample_locations
from models.precision import in_float32
from util.errors import UsageError
from util.flags import integer, number


class EnCoModel(AdversarialModel):
    """G's decoder keeps what its encoder saw at the same place: features of one pass, without negatives."""

    loss_names = ("G_GAN", "D", "G", "content", "idt")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            add = parser.add_argument
            add("--lambda_GAN", type=number(at_least=0), default=1.0, help="weight of the GAN loss of G(X)")
            add("--lambda_NCE", type=number(at_least=0), default=2.0,
                help="weight of the content loss, between G's encoder and decoder; half of it counts (Cai et "
                     "al. 2024; a step takes two thirds of CUT's time)")
            add("--lambda_IDT", type=number(at_least=0), default=10.0,
                help="weight of the L1 loss of G(Y) to Y in the first --n_epochs epochs; half of it counts")
            add("--nce_layers", default="", architecture=True,
                help="numbers of layers of G, separated by commas: the first and the last are compared, the "
                     "second and the last but one, and so on; the default depends on --netG")
            add("--netF_nc", type=integer(at_least=2), default=256, architecture=True, help="width of F")
            add("--num_patches", type=integer(at_least=1), default=256, help="patches a layer and image")
            add("--nce_sampling", choices=["random", "dag"], default="dag",
                help="places at random, or half of them where D finds the output the least real (dag)")
            parser.set_defaults(pool_size=0)
            netG = parser.parse_known_args()[0].netG
            parser.set_defaults(nce_layers=GENERATORS[netG].pairs)
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.netG = self.add_network("G", build_generator(opt))
        if opt.isTrain:
            check_enco_flags(opt)
            self.gan_weight, self.with_identity = opt.lambda_GAN, opt.lambda_IDT > 0
            self.layers = self.netG.resolve_layers(layer_numbers(opt.nce_layers))
            shapes = self.netG.feature_shapes(self.layers, opt.input_nc)
            check_pairs(opt, self.layers, shapes)
            channels = [shape[0] for shape in shapes]
            self.netF = self.add_network("F", PairedHeads(channels=channels, width=opt.netF_nc))
            self.netD = self.add_network("D", build_discriminator(opt))
            self.add_optimizer("G", self.netG.parameters())
            self.add_optimizer("D", self.netD.parameters())
            self.add_optimizer("F", (p for p in self.netF.parameters() if p.requires_grad))

    def translator(self) -> nn.Module:
        return self.netG

    def visuals(self) -> dict[str, Tensor]:
        images = {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
        return images | ({"idt_B": self.idt_B} if self.idt_B is not None else {})

    def graph_obstacle(self) -> str:
        return ""

    def remember(self) -> list[Callable[[], None]]:
        return super().remember()

    # ---- the step

    def start_epoch(self, epoch: int) -> None:
        """The identity loss holds as long as the learning rate does not fall."""
        super().start_epoch(epoch)
        self.with_identity = self.opt.lambda_IDT > 0 and epoch <= self.opt.n_epochs

    def draw_choices(self) -> tuple[Any, ...]:
        return (self.with_identity,)

    def optimize_parameters(self) -> None:
        """Forward; update D on detached images; update G and F together against the new D."""
        self.forward()
        self.update("D", loss=self.compute_D_loss())
        self.update("G", "F", loss=self.compute_G_loss())

    def forward(self) -> None:
        """fake_B = G(real_A) with its features and, for the identity loss, idt_B = G(real_B)."""
        images = [self.real_A, self.real_B] if self.with_identity else [self.real_A]
        passes = stack_domains(images) if self.repeatable["G"] else images
        outputs, features = self.netG.forward_with_features(passes[0], self.layers)
        size = len(self.real_A)
        self.fake_B, self.features = outputs[:size], [f[:size] for f in features]
        self.idt_B = None
        if self.with_identity:
            self.idt_B = outputs[size:] if len(passes) == 1 else self.netG(self.real_B)

    def compute_D_loss(self) -> Tensor:
        """What D minimises on real_B and on detached fake_B."""
        self.losses["D"] = self.discriminator_loss("D", self.real_B, self.fake_B)
        return self.losses["D"]

    def compute_G_loss(self) -> Tensor:
        """G_GAN + half of the content and identity losses: what G and F minimise."""
        scores = self.netD(self.fake_B)
        losses = {"G_GAN": self.opt.lambda_GAN * self.objective.generator(scores),
                  "content": self.opt.lambda_NCE * self.content_loss(scores)}
        if self.idt_B is not None:
            losses["idt"] = self.opt.lambda_IDT * F.l1_loss(self.idt_B, self.real_B)
        self.losses |= losses
        return losses["G_GAN"] + (losses["content"] + losses.get("idt", 0.0)) / 2

    def content_loss(self, scores: Tensor) -> Tensor:
        """How badly F predicts the encoder's features from the decoder's: the mean over pairs of layers.

        scores: D's of fake_B, whose lowest choose places (--nce_sampling dag). Under --diffaugment they are
        of changed images, so D is asked about the image itself.
        """
        encoder = self.features[:len(self.features) // 2]
        if self.opt.nce_sampling == "random":
            locations = sample_locations(encoder, self.opt.num_patches, shared=False)
        else:
            # forward runs none of the hooks, of which one augments.
            judge = self.netD.forward if self.opt.diffaugment else lambda _: scores
            locations = discriminative_locations(encoder, self.fake_B, num_patches=self.opt.num_patches,
                                                 discriminator=judge)
        pairs = self.netF(self.features, locations)
        return torch.stack([disagreement(*pair) for pair in pairs]).mean()


@in_float32
def disagreement(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared distance |p - t|^2 = 2 - 2 cos(p, t) of unit vectors [B, S, C]: the mean, a scalar."""
    return 2 - 2 * (prediction * target.detach()).sum(2).mean()


# ---- flags


def check_enco_flags(opt: Namespace) -> None:
    """Raise UsageError for flags with which the losses cannot be computed, or teach nothing."""
    if opt.lambda_GAN == 0 and opt.lambda_NCE == 0:
        raise UsageError("--lambda_GAN and --lambda_NCE are both 0: G would learn nothing; raise one of them")
    if opt.lambda_IDT > 0 and opt.input_nc != opt.output_nc:
        raise UsageError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ, but the "
                         "identity loss gives G its own target: use --lambda_IDT 0")
    if opt.num_patches * opt.batch_size == 1:
        raise UsageError("--num_patches 1 leaves nothing to normalise over: raise it, or --batch_size")
    if opt.nce_sampling == "dag" and opt.netD not in MAPS:
        raise UsageError(f"--nce_sampling dag needs scores of D all over the image, and --netD {opt.netD} "
                         f"gives none: use --netD {', '.join(MAPS[:-1])} or {MAPS[-1]}, or --nce_sampling "
                         "random")
    if not opt.nce_layers:
        able = ", ".join(name for name, choice in GENERATORS.items() if choice.pairs)
        raise UsageError(f"--netG {opt.netG} has no pairs of layers in encoder and decoder that --model enco "
                         f"knows: use {able}, or name them by --nce_layers")


def check_pairs(opt: Namespace, layers: tuple[int, ...], shapes: list[tuple[int, int, int]]) -> None:
    """Raise UsageError where layers are left over, or a pair's maps have two sizes."""
    if len(layers) % 2:
        raise UsageError(f"--nce_layers {opt.nce_layers} names {len(layers)} layers, but --model enco "
                         "compares two at a time: name one more or one less")
    for first, last, (_, *size), (_, *other) in zip(layers, layers[::-1], shapes, shapes[::-1], strict=True):
        if size != other:
            raise UsageError(f"--nce_layers {opt.nce_layers} compares layers {first} and {last} of G, whose "
                             "maps differ in size: choose layers of equal size")
