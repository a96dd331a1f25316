"""CUT and FastCUT: Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.adversarial import AdversarialModel, build_discriminator, build_generator
from models.base_model import Batch
from models.contrastive.momentum_queue import MomentumQueue
from models.contrastive.patch_nce import INPUT, TARGET, PatchNCE, as_input, stack_domains
from models.execution.early_backward import early_backward
from models.nce_flags import add_nce_flags, check_channels, check_nce_flags, chosen, gamma_of, layer_numbers
from models.networks import GENERATORS, PROJECTORS
from util.errors import UsageError
from util.flags import number, str2bool

FASTCUT = dict(nce_idt=False, lambda_NCE=10.0, flip_equivariance=True)
FASTCUT_TRAINING = dict(n_epochs=150, n_epochs_decay=50)

# Pixels of a minibatch from which one domain at a time keeps a CPU busy; below, it takes a fifth longer.
BUSY_PIXELS = 2**16
# The methods of a step. A subclass that overrides one may use idt_B, so the identity pass then waits for it.
STEP = ("optimize_parameters", "forward", "compute_D_loss", "compute_G_loss", "calculate_NCE_losses",
        "calculate_NCE_loss")


class CUTModel(AdversarialModel):
    """One generator G, one discriminator D, one projection head F on G's own features.

    identity_first: let the identity pass G(B) and its loss come first where that saves memory: see
    `forward`. A subclass sets it to False to have idt_B with its graph under all circumstances.
    """

    loss_names = ("G_GAN", "D_real", "D_fake", "D_penalty", "G", "NCE", "NCE_Y", "SRC")
    identity_first: bool = True

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the flags, with the defaults of the --CUT_mode and --netG that were typed."""
        add = parser.add_argument
        add("--CUT_mode", type=cut_mode, default="CUT", architecture=True,
            help="CUT or FastCUT, in any letter case")
        add("--lambda_GAN", type=number(at_least=0), default=1.0, help="weight of the GAN loss of G(X)")
        add("--lambda_NCE", type=number(at_least=0), default=1.0, help="weight of the NCE loss of G(X) and X")
        add("--nce_idt", type=str2bool, nargs="?", const=True, default=True,
            help="use the NCE loss on G(Y) and Y too")
        add_nce_flags(parser)
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

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.mirror = self.flipped_for_equivariance = False
        self.netG = self.add_network("G", build_generator(opt))
        if opt.isTrain:
            check_cut_flags(opt)
            self.gan_weight = opt.lambda_GAN
            layers = self.netG.resolve_layers(layer_numbers(opt.nce_layers))
            channels = self.netG.feature_channels(layers, opt.input_nc)
            self.netF = self.add_network("F", PROJECTORS[opt.netF](channels=channels, width=opt.netF_nc))
            self.netD = self.add_network("D", build_discriminator(opt))
            self.add_optimizer("G", self.netG.parameters())
            self.add_optimizer("D", self.netD.parameters())
            if any(True for _ in self.netF.parameters()):
                self.add_optimizer("F", self.netF.parameters())
            self.nce_gamma = gamma_of(opt)
            self.patch_nce = self.build_patch_nce(layers)
            self.chosen = self.patch_nce.weighting, self.patch_nce.relation     # by the flags

    def build_patch_nce(self, layers: tuple[int, ...]) -> PatchNCE:
        """The contrastive loss as the options say, on these layers of G."""
        opt, queue = self.opt, None
        if opt.nce_negatives != "internal":
            queue = MomentumQueue(self.netG, self.netF, size=opt.nce_queue_size, momentum=opt.nce_momentum)
        return PatchNCE(
            self.netG, self.netF, layers=layers, queue=queue, one_pass=self.repeatable["G"],
            channels=opt.input_nc, internal_negatives=opt.nce_negatives != "external",
            **chosen(opt, self.netF, self.netD, self.nce_gamma))

    def start_epoch(self, epoch: int) -> None:
        super().start_epoch(epoch)
        self.nce_gamma.start_epoch(epoch)

    def translator(self) -> nn.Module:
        return self.netG

    def visuals(self) -> dict[str, Tensor]:
        images = {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
        return images | ({"idt_B": self.idt_B} if self.idt_B is not None else {})

    def remember(self) -> list[Callable[[], None]]:
        return [*super().remember(), self.patch_nce.forget_step]

    def graph_obstacle(self) -> str:
        return "the host counts the keys in the queues of --nce_negatives" if self.queue else ""

    # ---- the step

    def draw_choices(self) -> tuple[Any, ...]:
        self.mirror = self.opt.flip_equivariance and self.draw_flip()
        return (self.mirror,)

    def set_input(self, batch: Batch) -> None:
        super().set_input(batch)
        self.idt_B = self.early_NCE_Y = None

    def optimize_parameters(self) -> None:
        """Forward; update D on detached images; update G and F together against the new D."""
        self.forward()                                              # fake_B, idt_B
        self.update("D", loss=self.compute_D_loss())
        self.update("G", "F", loss=self.compute_G_loss())
        self.patch_nce.momentum_update()

    def forward(self) -> None:
        """fake_B = G(real_A) and, with --nce_idt, idt_B = G(real_B), in one pass where their sizes agree.

        Where `uses_identity_first`, G(real_B) and its loss come first, alone, and leave nothing behind but
        gradients; idt_B is then a plain image without a graph.
        """
        self.flipped_for_equivariance = self.mirror
        if self.uses_identity_first:
            self.early_NCE_Y = early_backward(self.identity_loss, self.parameters_of("G", "F"))
            self.fake_B, = self.generate(self.real_A)
        elif self.opt.nce_idt:
            self.fake_B, self.idt_B = self.generate(self.real_A, self.real_B)
        else:
            self.fake_B, = self.generate(self.real_A)

    def generate(self, *sources: Tensor) -> list[Tensor]:
        """G of the images of each domain, mirrored in a flipped step.

        The NCE loss's key features are kept from this same pass where that gives what another would.
        """
        images = [as_input(x.flip(3) if self.flipped_for_equivariance else x, self.opt.input_nc)
                  for x in sources]
        nce = self.patch_nce
        keep = (self.opt.lambda_NCE > 0 and nce.one_pass and not nce.queue
                and not self.flipped_for_equivariance and not self.overrides("calculate_NCE_loss"))
        passes = [self.netG.forward_with_features(x, nce.layers if keep else ())
                  for x in stack_domains(images)]
        if keep:
            nce.keep(sources, [features for _, features in passes])
        return [output for outputs, _ in passes for output in outputs.split(len(self.real_A))]

    def output(self) -> Tensor:
        """fake_B, mirrored back in a flipped step."""
        return self.fake_B.flip(3) if self.flipped_for_equivariance else self.fake_B

    def compute_D_loss(self) -> Tensor:
        """Half of D's losses on real_B and on detached fake_B, and the gradient penalty of --gan_mode."""
        real, fake = self.discriminator_losses("D", self.real_B, self.fake_B)
        self.losses |= {"D_real": real, "D_fake": fake}
        loss = (real + fake) / 2
        penalty = self.objective_penalty("D", self.real_B, self.fake_B)
        if penalty is not None:
            self.losses["D_penalty"] = penalty
            loss = loss + self.objective.penalty_weight * penalty
        return loss

    def compute_G_loss(self) -> Tensor:
        """G_GAN + the mean of NCE and, with --nce_idt, NCE_Y, + SRC: what G and F minimise."""
        G_GAN = self.fake_B.new_zeros(())
        if self.opt.lambda_GAN > 0:
            G_GAN = self.objective.generator(self.netD(self.fake_B)) * self.opt.lambda_GAN
        nce = self.calculate_NCE_losses()
        self.losses |= {"G_GAN": G_GAN, **nce}
        loss = G_GAN + sum(nce.values()) / len(nce)
        return loss + self.losses["SRC"] if "SRC" in self.losses else loss

    def calculate_NCE_losses(self) -> dict[str, Tensor]:
        """NCE and, with --nce_idt, NCE_Y: calculate_NCE_loss of each, in one pass where that is exact."""
        pairs = {"NCE": (self.real_A, self.fake_B)}
        if self.opt.nce_idt:
            pairs["NCE_Y"] = (self.real_B, self.idt_B)
        if self.opt.lambda_NCE == 0:
            return {name: self.fake_B.new_zeros(()) for name in pairs}
        if self.overrides("calculate_NCE_loss"):
            return {name: self.calculate_NCE_loss(*pair) for name, pair in pairs.items()}
        if self.early_NCE_Y is not None:
            return {"NCE": self.calculate_NCE_loss(*pairs["NCE"]), "NCE_Y": self.early_NCE_Y}
        sources, outputs = zip(*pairs.values(), strict=True)
        losses = self._nce(sources, outputs, (INPUT, TARGET)[:len(pairs)])
        return dict(zip(pairs, losses, strict=True))

    def calculate_NCE_loss(self, source: Tensor, output: Tensor, domain: int | None = None) -> Tensor:
        """The NCE loss of G's output, [B, C, H, W], against its source: a scalar, times --lambda_NCE.

        domain: INPUT or TARGET, whose queue of negatives is used; by default that of real_A or real_B.
        """
        if domain is None:
            domain = TARGET if source is self.real_B else INPUT
        return self._nce([source], [output], [domain])[0]

    def _nce(self, sources: Sequence[Tensor], outputs: Sequence[Tensor],
             domains: Sequence[int]) -> list[Tensor]:
        """The same for several domains; with the input's among them, the loss SRC too."""
        losses, relation = self.patch_nce(sources, outputs, domains=domains,
                                          flipped=self.flipped_for_equivariance)
        if relation is not None:
            self.losses["SRC"] = relation * self.opt.lambda_SRC
        return [loss * self.opt.lambda_NCE for loss in losses]

    def draw_flip(self) -> bool:
        """True for half of the steps; drawn on the CPU, so that nothing waits for the device."""
        return bool(torch.rand(()) < 0.5)

    @property
    def uses_identity_first(self) -> bool:
        """Whether G(B) and its loss come before G(A).

        That halves the memory of a step, and takes no more time once an image keeps the processor busy by
        itself. On a GPU, which can do more at a time, all images go through G together; so they do in fp16,
        whose gradients need scaling all the way, where G mixes the images of a pass, where a subclass has a
        step of its own and may learn from idt_B, and where it has put a weighting or a relation of its own in
        the place of those that the flags chose, which learn nothing and take each domain by itself.
        """
        return (self.identity_first and self.opt.nce_idt and self.opt.lambda_NCE > 0 and self.repeatable["G"]
                and (self.patch_nce.weighting, self.patch_nce.relation) == self.chosen
                and not self.overrides(*STEP) and self.device.type == "cpu" and self.precision.name != "fp16"
                and self.real_A[:, 0].numel() * parts.count() >= BUSY_PIXELS)

    def overrides(self, *methods: str) -> bool:
        """Whether a subclass, or this very object, has its own form of one of CUTModel's methods."""
        return any(method in vars(self) or getattr(type(self), method) is not getattr(CUTModel, method)
                   for method in methods)

    def identity_loss(self) -> Tensor:
        """NCE_Y on its own: of G(B) against B."""
        output, = self.generate(self.real_B)
        self.idt_B = output.detach()
        return self.calculate_NCE_loss(self.real_B, output)

    # ---- checkpoints

    def load_weights(self, folder: Path, label: str) -> None:
        super().load_weights(folder, label)
        if self.queue:
            self.queue.momentum_update(self.netG, self.netF, momentum=0.0)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({"nce_memory": self.queue.state_dict()} if self.queue else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.queue and "nce_memory" not in state:
            raise ValueError(f"it was saved without --nce_negatives {self.opt.nce_negatives}")
        super().load_state_dict(state)
        if self.queue:
            self.queue.load_state_dict(state["nce_memory"])

    @property
    def queue(self) -> MomentumQueue | None:
        return self.patch_nce.queue if self.opt.isTrain else None


# ---- flags


def cut_mode(text: str) -> str:
    """CUT or FastCUT from any letter case."""
    modes = {"cut": "CUT", "fastcut": "FastCUT"}
    if text.lower() not in modes:
        raise UsageError(f"--CUT_mode is {text!r}; choose CUT or FastCUT")
    return modes[text.lower()]


def check_cut_flags(opt: Namespace) -> None:
    """Raise UsageError for flags with which the losses cannot be computed, or teach nothing."""
    if opt.lambda_GAN == 0 and opt.lambda_NCE == 0:
        raise UsageError("--lambda_GAN and --lambda_NCE are both 0: G would learn nothing; raise one of them")
    check_nce_flags(opt)
    if opt.input_nc != opt.output_nc and (opt.lambda_NCE > 0 or opt.nce_idt):
        check_channels(opt)
