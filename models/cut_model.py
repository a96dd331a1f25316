"""CUT and FastCUT: Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020."""

from argparse import ArgumentParser, Namespace

import torch
from torch import Tensor, nn

from models.adversarial import AdversarialModel, build_discriminator, build_generator
from models.base_model import Batch
from models.losses.patch_nce import patch_nce_loss
from models.networks import NCE_LAYERS, PROJECTORS
from util.errors import UsageError
from util.flags import str2bool

FASTCUT = dict(nce_idt=False, lambda_NCE=10.0, flip_equivariance=True)
FASTCUT_TRAINING = dict(n_epochs=150, n_epochs_decay=50)


class CUTModel(AdversarialModel):
    """One generator G, one discriminator D, one projection head F on G's own features."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.add_argument("--CUT_mode", type=cut_mode, default="CUT",
                            help="CUT or FastCUT, in any letter case")
        parser.add_argument("--lambda_GAN", type=float, default=1.0, help="weight of the GAN loss of G(X)")
        parser.add_argument("--lambda_NCE", type=float, default=1.0,
                            help="weight of the NCE loss of G(X) and X")
        parser.add_argument("--nce_idt", type=str2bool, nargs="?", const=True, default=True,
                            help="use the NCE loss on G(Y) and Y too")
        parser.add_argument("--nce_layers", type=str, default="0,4,8,12,16",
                            help="numbers of the layers of G whose features the NCE loss compares, separated "
                                 "by commas; the default depends on --netG")
        parser.add_argument("--nce_includes_all_negatives_from_minibatch", type=str2bool, nargs="?",
                            const=True, default=False,
                            help="take the negatives from all pictures of the minibatch, not only from the "
                                 "same picture (single-image translation does)")
        parser.add_argument("--nce_shared_locations", type=str2bool, nargs="?", const=True, default=False,
                            help="draw one set of patch locations for all pictures of a minibatch, as the "
                                 "published code did; default: one set a picture (equal at --batch_size 1)")
        parser.add_argument("--netF", choices=sorted(PROJECTORS), default="mlp_sample",
                            help="how features become patch embeddings")
        parser.add_argument("--netF_nc", type=int, default=256, help="width of netF")
        parser.add_argument("--nce_T", type=float, default=0.07, help="temperature of the NCE loss")
        parser.add_argument("--num_patches", type=int, default=256, help="patches a layer and picture")
        parser.add_argument("--flip_equivariance", type=str2bool, nargs="?", const=True, default=False,
                            help="mirror the input of half the steps, and its features back (FastCUT does)")
        if is_train:
            parser.set_defaults(pool_size=0)
        typed, _ = parser.parse_known_args()
        if typed.netG in NCE_LAYERS:
            parser.set_defaults(nce_layers=NCE_LAYERS[typed.netG])
        if typed.CUT_mode == "FastCUT":
            parser.set_defaults(**FASTCUT, **(FASTCUT_TRAINING if is_train else {}))
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.netG = self.add_network("G", build_generator(opt))
        if opt.isTrain:
            self._build_training(opt)

    def _build_training(self, opt: Namespace) -> None:
        check_cut(opt)
        self.layers = self.netG.resolve_layers(layer_numbers(opt.nce_layers))
        channels = self.netG.feature_channels(self.layers, opt.input_nc)
        self.netF = self.add_network("F", PROJECTORS[opt.netF](channels=channels, width=opt.netF_nc))
        self.netD = self.add_network("D", build_discriminator(opt))
        self.add_optimizer("G", self.netG.parameters())
        self.add_optimizer("D", self.netD.parameters())
        if any(True for _ in self.netF.parameters()):
            self.add_optimizer("F", self.netF.parameters())

    def translator(self) -> nn.Module:
        return self.netG

    def visuals(self) -> dict[str, Tensor]:
        pictures = {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
        return pictures | ({"idt_B": self.idt_B} if self.idt_B is not None else {})

    # ---- the step

    def optimize_parameters(self, batch: Batch) -> dict[str, Tensor]:
        """Forward; update D on detached pictures; update G and F together against the new D."""
        self.real_A = self.to_device(batch, self.input_key)
        self.real_B = self.to_device(batch, self.target_key)
        self.forward()
        losses_D = self.update_D()
        losses_G = self.update_G_and_F()
        return {"G_GAN": losses_G.pop("G_GAN"), **losses_D, **losses_G}

    def forward(self) -> None:
        """G(A) and, with --nce_idt, G(B); the key features come from this same pass where that is exact."""
        self.mirrored = self.opt.flip_equivariance and self.draw_mirrored()
        sources = [self.real_A, self.real_B] if self.opt.nce_idt else [self.real_A]
        inputs = [x.flip(3) for x in sources] if self.mirrored else sources
        reuse = self.uses_nce and self.repeatable["G"] and not self.mirrored
        layers = self.layers if reuse else ()
        passes = [self.netG.forward_with_features(x, layers) for x in self.joined(inputs)]
        outputs = [y for output, _ in passes for y in output.split(len(self.real_A))]
        self.fake_B, self.idt_B = outputs[0], (outputs[1] if self.opt.nce_idt else None)
        self.keys = [features for _, features in passes] if reuse else None
        self.sources = sources

    def draw_mirrored(self) -> bool:
        """True for half of the steps; drawn on the CPU, so that nothing waits for the device."""
        return bool(torch.rand(()) < 0.5)

    @property
    def uses_nce(self) -> bool:
        return self.opt.lambda_NCE > 0

    def joined(self, pictures: list[Tensor]) -> list[Tensor]:
        """As few minibatches as G's layers and the pictures' sizes allow."""
        same_size = all(p.shape == pictures[0].shape for p in pictures)
        return [torch.cat(pictures)] if same_size and len(pictures) > 1 else pictures

    def update_D(self) -> dict[str, Tensor]:
        real, fake = self.discriminator_losses("D", self.real_B, self.fake_B)
        losses = {"D_real": real, "D_fake": fake}
        self.step((real + fake) / 2 + self.discriminator_penalty(losses), "D")
        return losses

    def discriminator_penalty(self, losses: dict[str, Tensor]) -> Tensor | float:
        """What is added to D's loss besides the objective; what is to be shown goes into `losses`."""
        penalty = self.objective_penalty("D", self.real_B, self.fake_B)
        if penalty is None:
            return 0.0
        losses["D_penalty"] = penalty
        return self.objective.penalty_weight * penalty

    def update_G_and_F(self) -> dict[str, Tensor]:
        losses = self.generator_losses()
        self.step(losses["G"], "G", "F")
        return losses

    def generator_losses(self) -> dict[str, Tensor]:
        """G_GAN, G (the sum that is minimised), NCE and NCE_Y, as they are shown."""
        zero = self.fake_B.new_zeros(())
        gan = zero
        if self.opt.lambda_GAN > 0:
            gan = self.objective.generator(self.netD(self.fake_B)) * self.opt.lambda_GAN
        nce = self.nce_losses() if self.uses_nce else [zero] * len(self.sources)
        total = gan + sum(nce) / len(nce)
        return {"G_GAN": gan, "G": total, **dict(zip(("NCE", "NCE_Y"), nce, strict=False))}

    # ---- PatchNCE

    def nce_losses(self) -> list[Tensor]:
        """The loss of G(A) against A and, with --nce_idt, of G(B) against B: scalars, times --lambda_NCE."""
        outputs = [self.fake_B] + ([self.idt_B] if self.opt.nce_idt else [])
        queries = [self.netG.encode(x, self.layers) for x in self.passes(outputs)]
        if self.mirrored:
            queries = [[f.flip(3) for f in features] for features in queries]
        keys = self.keys
        if keys is None:
            with torch.no_grad():
                keys = [self.netG.encode(x, self.layers) for x in self.passes(self.sources)]
        losses = [loss for q, k in zip(queries, keys, strict=True) for loss in self.patch_nce(q, k)]
        return [loss * self.opt.lambda_NCE for loss in losses]

    def passes(self, pictures: list[Tensor]) -> list[Tensor]:
        """The minibatches in which to encode: apart where G's layers would mix the pictures of one pass."""
        return self.joined(pictures) if self.repeatable["G"] else pictures

    def patch_nce(self, queries: list[Tensor], keys: list[Tensor]) -> list[Tensor]:
        """queries, keys: [n * B, C_l, H_l, W_l] a layer, of n domains. Returns n means over layers."""
        opt = self.opt
        keys = [k.detach() for k in keys]
        locations = self.netF.locations(keys, opt.num_patches, shared=opt.nce_shared_locations)
        with torch.no_grad():
            keys = self.netF(keys, locations)
        queries = self.netF(queries, locations)
        images = len(self.real_A)
        losses = [[patch_nce_loss(q, k, opt.nce_T,
                                  minibatch_negatives=opt.nce_includes_all_negatives_from_minibatch).mean()
                   for q, k in zip(query.split(images), key.split(images), strict=True)]
                  for query, key in zip(queries, keys, strict=True)]
        return [torch.stack(domain).mean() for domain in zip(*losses, strict=True)]


# ---- flags to networks

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


def check_cut(opt: Namespace) -> None:
    """Refuse what the losses cannot be computed for."""
    if opt.lambda_GAN <= 0 and opt.lambda_NCE <= 0:
        raise UsageError("--lambda_GAN and --lambda_NCE are both 0: G would learn nothing; raise one of them")
    if opt.input_nc != opt.output_nc and (opt.lambda_NCE > 0 or opt.nce_idt):
        raise UsageError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ, but the NCE "
                         "loss runs G on its output: use equal numbers (pictures are converted to them), "
                         "or another --model")
    alone = opt.batch_size == 1 or not opt.nce_includes_all_negatives_from_minibatch
    if opt.lambda_NCE > 0 and opt.num_patches == 1 and alone and opt.netF != "reshape":
        raise UsageError("--num_patches 1 leaves the NCE loss no negatives: raise it, or use "
                         "--nce_includes_all_negatives_from_minibatch with a --batch_size above 1")
