"""DCLGAN and SimDCL: Han et al., Dual Contrastive Learning for Unsupervised I2I Translation, NTIRE 2021."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adversarial import AdversarialModel, build_discriminator, build_generator
from models.base_model import Batch
from models.contrastive.patch_nce import INPUT, Features, PatchNCE, stack_domains
from models.nce_flags import add_nce_flags, check_nce_flags, chosen, gamma_of, layer_numbers
from models.networks import GENERATORS, PROJECTORS
from models.networks.patch_sampler import SimilarityHead
from util.errors import UsageError
from util.flags import number

MODES = ("dcl", "simdcl")
# SimDCL: images -> the projection head of their domain, and the network that makes one vector of them.
CODES = {"real_A": ("F1", "F3"), "fake_B": ("F2", "F4"), "real_B": ("F2", "F5"), "fake_A": ("F1", "F6")}


class DCLGANModel(AdversarialModel):
    """CUT both ways, with an encoder and a projection head for each domain.

    A and B are the domains themselves: G_A translates A to B, G_B translates B to A, D_A judges images of B,
    D_B images of A; patches of A are embedded by G_A's encoder and F1, those of B by G_B's and F2. A run
    learns both ways; --direction says which one is translated, and then that G alone is needed.
    features: image label -> its features in its domain's encoder, within a step.
    """

    loss_names = ("D_A", "G_A", "NCE_A", "SRC_A", "idt_A", "D_B", "G_B", "NCE_B", "SRC_B", "idt_B", "sim",
                  "G")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the flags, with the defaults of the --dcl_mode and --netG that were typed."""
        if not is_train:
            return parser
        add, weight = parser.add_argument, number(at_least=0)
        add("--dcl_mode", choices=MODES, default="dcl", architecture=True,
            help="dcl, or simdcl, which also keeps the real and the generated images of a domain alike (Han "
                 "et al. 2021; a step takes 1.7 and 1.8 times as long as CUT's)")
        add("--lambda_GAN", type=weight, default=1.0, help="weight of the GAN losses")
        add("--lambda_NCE", type=number(above=0), default=2.0,
            help="weight of the NCE losses of G_A(A) and A, and of G_B(B) and B; default: 2, with --dcl_mode "
                 "simdcl 1")
        add("--lambda_IDT", type=weight, default=1.0,
            help="weight of the identity losses |G_A(B) - B| and |G_B(A) - A|")
        add("--lambda_SIM", type=number(above=0), default=10.0,
            help="of --dcl_mode simdcl: weight of the similarity loss")
        add("--lr_F", type=number(above=0), default=1e-3,
            help="learning rate of F; default: 0.001, with --dcl_mode simdcl that of --lr")
        add("--beta1_F", type=number(at_least=0, below=1), default=0.9,
            help="of F, Adam's decay of the mean; default: 0.9, with --dcl_mode simdcl that of --beta1")
        add_nce_flags(parser)
        parser.set_defaults(pool_size=0, gan_mode="hinge_real")
        typed, _ = parser.parse_known_args()
        if typed.netG in GENERATORS:
            parser.set_defaults(nce_layers=GENERATORS[typed.netG].nce_layers.removeprefix("0,"))
        if typed.dcl_mode == "simdcl":
            parser.set_defaults(lambda_NCE=1.0, lr_F=typed.lr, beta1_F=typed.beta1)
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        if not opt.isTrain:
            self.add_network(self.translating, build_generator(opt))
            return
        check_dclgan(opt)
        backward = opt.direction == "BtoA"      # --input_nc is then of domain B
        self.netG_A = self.add_network("G_A", build_generator(opt, backward=backward))
        self.netG_B = self.add_network("G_B", build_generator(opt, backward=not backward))
        self.layers = self.netG_A.resolve_layers(layer_numbers(opt.nce_layers))
        channels = (opt.output_nc, opt.input_nc) if backward else (opt.input_nc, opt.output_nc)
        for name, netG, images in zip(("F1", "F2"), (self.netG_A, self.netG_B), channels, strict=True):
            self.add_network(name, PROJECTORS[opt.netF](
                channels=netG.feature_channels(self.layers, images), width=opt.netF_nc))
        for _, name in CODES.values() if opt.dcl_mode == "simdcl" else ():
            self.add_network(name, SimilarityHead(layers=len(self.layers)))
        self.netD_A = self.add_network("D_A", build_discriminator(opt, backward=backward))
        self.netD_B = self.add_network("D_B", build_discriminator(opt, backward=not backward))
        self.add_optimizers()
        self.gan_weight = opt.lambda_GAN
        self.nce_gamma = gamma_of(opt)
        A, B = ((self.networks[G], self.networks[F]) for G, F in (("G_A", "F1"), ("G_B", "F2")))
        self.nce_A, self.nce_B = (
            PatchNCE(*queries, key_networks=keys, layers=self.layers,
                     **chosen(opt, keys[1], netD, self.nce_gamma))
            for keys, queries, netD in ((A, B, self.netD_A), (B, A, self.netD_B)))

    def add_optimizers(self) -> None:
        """An optimizer for every network that learns; those of F begin with --lr_F and have --beta1_F."""
        for name, net in self.networks.items():
            if not any(True for _ in net.parameters()):
                continue
            optimizer = self.add_optimizer(name, net.parameters())
            if name.startswith("F"):
                optimizer.param_groups[0]["betas"] = (self.opt.beta1_F, self.opt.beta2)

    def first_rate(self, name: str) -> float:
        return self.opt.lr_F if name.startswith("F") else super().first_rate(name)

    def start_epoch(self, epoch: int) -> None:
        super().start_epoch(epoch)
        self.nce_gamma.start_epoch(epoch)

    @property
    def translating(self) -> str:
        """The name of the network that --direction asks for."""
        return "G_B" if self.opt.direction == "BtoA" else "G_A"

    def translator(self) -> nn.Module:
        return self.networks[self.translating]

    def visuals(self) -> dict[str, Tensor]:
        shown = {"real_A": self.real_A, "fake_B": self.fake_B, "idt_B": self.idt_B,
                 "real_B": self.real_B, "fake_A": self.fake_A, "idt_A": self.idt_A}
        return {label: images for label, images in shown.items() if images is not None}

    def graph_obstacle(self) -> str:
        return ""

    def remember(self) -> list[Callable[[], None]]:
        return [*super().remember(), self.nce_A.forget_step, self.nce_B.forget_step]

    # ---- the step

    def set_input(self, batch: Batch) -> None:
        """real_A of domain A and real_B of domain B, whatever --direction says."""
        super().set_input(batch)
        if self.opt.direction == "BtoA":
            self.real_A, self.real_B = self.real_B, self.real_A

    def optimize_parameters(self) -> None:
        """Forward; update D_A and D_B on detached images; update all others together against them."""
        self.forward()
        self.update("D_A", "D_B", loss=self.compute_D_loss())
        others = [name for name in self.networks if not name.startswith("D")]
        self.update(*others, loss=self.compute_G_loss())
        self.features.clear()       # or their memory would be kept until the next step has made its own

    def forward(self) -> None:
        """Both translations and, with --lambda_IDT, what each generator makes of its own target."""
        self.features: dict[str, Features] = {}
        self.fake_B, self.idt_A = self.generate("G_A", "real_A", self.real_A, self.real_B)
        self.fake_A, self.idt_B = self.generate("G_B", "real_B", self.real_B, self.real_A)

    def generate(self, name: str, label: str, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """G's outputs for its source, whose features are kept, and for its target."""
        images = [source, target] if self.opt.lambda_IDT > 0 else [source]
        passes = [self.networks[name].forward_with_features(x, self.layers)
                  for x in (stack_domains(images) if self.repeatable[name] else images)]
        self.features[label] = [f[:len(source)] for f in passes[0][1]]
        outputs = [output for outputs, _ in passes for output in outputs.split(len(source))]
        return outputs[0], outputs[1] if len(outputs) == 2 else None

    def compute_D_loss(self) -> Tensor:
        """The sum of what D_A and D_B minimise."""
        D_A = self.discriminator_loss("D_A", self.real_B, self.fake_B)
        D_B = self.discriminator_loss("D_B", self.real_A, self.fake_A)
        self.losses |= {"D_A": D_A, "D_B": D_B}
        return D_A + D_B

    def compute_G_loss(self) -> Tensor:
        """The means of both ways' GAN, NCE and identity losses, and SRC; with simdcl, + sim."""
        opt = self.opt
        self.features |= {"fake_B": self.netG_B.encode(self.fake_B, self.layers),
                          "fake_A": self.netG_A.encode(self.fake_A, self.layers)}
        losses = {"G_A": opt.lambda_GAN * self.objective.generator(self.netD_A(self.fake_B)),
                  "G_B": opt.lambda_GAN * self.objective.generator(self.netD_B(self.fake_A)),
                  **self.calculate_NCE_losses()}
        if opt.lambda_IDT > 0:
            losses["idt_A"] = opt.lambda_IDT * F.l1_loss(self.idt_A, self.real_B)
            losses["idt_B"] = opt.lambda_IDT * F.l1_loss(self.idt_B, self.real_A)
        loss = torch.stack(list(losses.values())).sum() / 2
        if opt.dcl_mode == "simdcl":
            losses["sim"] = opt.lambda_SIM * self.similarity_loss()
            loss = loss + losses["sim"]
        self.losses |= losses
        return loss

    def calculate_NCE_losses(self) -> dict[str, Tensor]:
        """NCE_A of fake_B and real_A, NCE_B of fake_A and real_B; with --lambda_SRC, SRC_A and SRC_B too."""
        losses = {}
        for way, nce, source, output in (("A", self.nce_A, "real_A", "fake_B"),
                                         ("B", self.nce_B, "real_B", "fake_A")):
            sources, outputs = [getattr(self, source)], [getattr(self, output)]
            nce.keep(sources, [self.features[source]])
            (loss,), relation = nce(sources, outputs, domains=[INPUT], features=[self.features[output]])
            losses[f"NCE_{way}"] = self.opt.lambda_NCE * loss
            if relation is not None:
                losses[f"SRC_{way}"] = self.opt.lambda_SRC * relation
        return losses

    def similarity_loss(self) -> Tensor:
        """How far apart the codes of real and of generated images of a domain are, both domains added up."""
        codes = {label: self.code(label) for label in CODES}
        return F.l1_loss(codes["real_A"], codes["fake_A"]) + F.l1_loss(codes["fake_B"], codes["real_B"])

    def code(self, label: str) -> Tensor:
        """SimDCL's unit vectors, [B, 64], of the images of that label, from places of their own."""
        netF, head = (self.networks[name] for name in CODES[label])
        features = self.features[label]
        locations = netF.locations(features, self.opt.num_patches, shared=self.opt.nce_shared_locations)
        return head(netF(features, locations))


def check_dclgan(opt: Namespace) -> None:
    """Raise UsageError for flags with which the losses cannot be computed."""
    check_nce_flags(opt)
    if opt.lambda_IDT > 0 and opt.input_nc != opt.output_nc:
        raise UsageError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ, but the "
                         "identity loss gives each generator its own target: use --lambda_IDT 0")
    if opt.nce_negatives != "internal":
        raise UsageError(f"--nce_negatives {opt.nce_negatives} keeps earlier keys of one G and one F, but "
                         "--model dclgan has two of each: use --nce_negatives internal")
    if opt.netF != "mlp_sample" and (opt.dcl_mode == "simdcl" or opt.input_nc != opt.output_nc):
        raise UsageError(f"--netF {opt.netF} leaves features their own widths, which --dcl_mode simdcl and "
                         "unequal --input_nc and --output_nc do not fit: use --netF mlp_sample")
    for name in ("num_patches", "netF_nc"):
        if opt.dcl_mode == "simdcl" and getattr(opt, name) < 3:
            raise UsageError(f"--{name} is {getattr(opt, name)}, but --dcl_mode simdcl convolves the "
                             "embeddings with 3x3: give 3 or more")
