"""CUT and FastCUT: Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, ECCV 2020."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.adversarial import AdversarialModel, build_discriminator, build_generator
from models.base_model import Batch
from models.contrastive.momentum_queue import NCEMemory, Place
from models.cut_flags import add_cut_flags, check_cut_flags, layer_numbers
from models.early_backward import early_backward
from models.losses.patch_nce import patch_nce_loss
from models.networks import PROJECTORS

# Places of a minibatch, B * H * W, that keep a CPU busy; smaller images, one by one, take a fifth longer.
APART_FROM = 2**16


class Generated(NamedTuple):
    """What G made of the images of one domain, or of both.

    keys: the sources' features, a list a pass through G; None where they are yet to be computed.
    """

    sources: list[Tensor]
    outputs: list[Tensor]
    keys: list[list[Tensor]] | None


class CUTModel(AdversarialModel):
    """One generator G, one discriminator D, one projection head F on G's own features."""

    memory: NCEMemory | None = None

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        return add_cut_flags(parser, is_train)

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.netG = self.add_network("G", build_generator(opt))
        if opt.isTrain:
            self._build_training(opt)

    def _build_training(self, opt: Namespace) -> None:
        check_cut_flags(opt)
        self.layers = self.netG.resolve_layers(layer_numbers(opt.nce_layers))
        channels = self.netG.feature_channels(self.layers, opt.input_nc)
        self.netF = self.add_network("F", PROJECTORS[opt.netF](channels=channels, width=opt.netF_nc))
        self.netD = self.add_network("D", build_discriminator(opt))
        self.add_optimizer("G", self.netG.parameters())
        self.add_optimizer("D", self.netD.parameters())
        if any(True for _ in self.netF.parameters()):
            self.add_optimizer("F", self.netF.parameters())
        if opt.nce_negatives != "internal":
            self.memory = NCEMemory(self.netG, self.netF, size=opt.nce_queue_size, momentum=opt.nce_momentum)
        keyed_by = self.memory or self
        self.key_G, self.key_F = keyed_by.netG, keyed_by.netF

    def translator(self) -> nn.Module:
        return self.netG

    def visuals(self) -> dict[str, Tensor]:
        images = {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
        return images | ({"idt_B": self.idt_B} if self.idt_B is not None else {})

    # ---- the step

    def optimize_parameters(self, batch: Batch) -> dict[str, Tensor]:
        """Forward; update D on detached images; update G and F together against the new D."""
        self.real_A = self.to_device(batch, self.input_key)
        self.real_B = self.to_device(batch, self.target_key)
        made = self.forward()
        losses_D = self.update_D()
        losses_G = self.update_G_and_F(made)
        return {"G_GAN": losses_G.pop("G_GAN"), **losses_D, **losses_G}

    def forward(self) -> Generated:
        """G(A) and, with --nce_idt, G(B), whose loss may be differentiated here already.

        What it returns holds G's graph and features: only fake_B and idt_B outlive the step.
        """
        self.mirrored = self.opt.flip_equivariance and self.draw_mirrored()
        self.early_nce_Y = None
        if self.identity_apart:
            self.early_nce_Y = early_backward(self.identity_loss, self.learning("G", "F"))
            made = self.generate(self.real_A)
        else:
            made = self.generate(self.real_A, *([self.real_B] if self.opt.nce_idt else []))
            self.idt_B = made.outputs[1] if self.opt.nce_idt else None
        self.fake_B = made.outputs[0]
        return made

    def generate(self, *sources: Tensor) -> Generated:
        """G of each domain; the key features come from this same pass where that is exact."""
        inputs = [x.flip(3) for x in sources] if self.mirrored else list(sources)
        reuse = self.uses_nce and self.repeatable["G"] and not self.mirrored and self.key_G is self.netG
        layers = self.layers if reuse else ()
        passes = [self.netG.forward_with_features(x, layers) for x in self.joined(inputs)]
        outputs = [y for output, _ in passes for y in output.split(len(self.real_A))]
        return Generated(list(sources), outputs, [features for _, features in passes] if reuse else None)

    @property
    def identity_apart(self) -> bool:
        """Whether G(B) and its loss come first, alone, and leave nothing behind but gradients.

        That halves the memory of a step, and takes no more time once an image keeps the processor busy by
        itself. On a GPU, which can do more at a time, all images go through G together; so they do in
        fp16, whose gradients need scaling all the way, and where G's images depend on each other.
        """
        return (self.opt.nce_idt and self.uses_nce and self.device.type == "cpu" and self.repeatable["G"]
                and self.precision.name != "fp16" and self.real_A[:, 0].numel() >= APART_FROM)

    def draw_mirrored(self) -> bool:
        """True for half of the steps; drawn on the CPU, so that nothing waits for the device."""
        return bool(torch.rand(()) < 0.5)

    @property
    def uses_nce(self) -> bool:
        return self.opt.lambda_NCE > 0

    def joined(self, images: list[Tensor]) -> list[Tensor]:
        """As few minibatches as G's layers and the images' sizes allow."""
        same_size = all(p.shape == images[0].shape for p in images)
        return [torch.cat(images)] if same_size and len(images) > 1 else images

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

    def update_G_and_F(self, made: Generated) -> dict[str, Tensor]:
        losses = self.generator_losses(made)
        self.step(losses["G"], "G", "F")
        if self.memory:
            self.memory.follow(self.netG, self.netF)
        return losses

    def generator_losses(self, made: Generated) -> dict[str, Tensor]:
        """G_GAN, G (the sum that is minimised), NCE and NCE_Y, as they are shown."""
        zero = self.fake_B.new_zeros(())
        gan = zero
        if self.opt.lambda_GAN > 0:
            gan = self.objective.generator(self.netD(self.fake_B)) * self.opt.lambda_GAN
        nce = self.nce_losses(made) if self.uses_nce else [zero] * len(made.outputs)
        nce += [] if self.early_nce_Y is None else [self.early_nce_Y]
        total = gan + sum(nce) / len(nce)
        return {"G_GAN": gan, "G": total, **dict(zip(("NCE", "NCE_Y"), nce, strict=False))}

    # ---- PatchNCE

    def nce_losses(self, made: Generated, first: int = 0) -> list[Tensor]:
        """The loss of each domain's outputs against its sources: scalars, times --lambda_NCE.

        first: number of the first of these domains; 0 is the input's, 1 the target's.
        """
        queries = [self.netG.encode(x, self.layers) for x in self.passes(made.outputs)]
        if self.mirrored:
            queries = [[f.flip(3) for f in features] for features in queries]
        keys = made.keys
        if keys is None:
            with torch.no_grad():
                keys = [self.key_G.encode(x, self.layers) for x in self.passes(made.sources)]
        losses = [loss for domain, (q, k) in enumerate(zip(queries, keys, strict=True), first)
                  for loss in self.patch_nce(q, k, domain)]
        return [loss * self.opt.lambda_NCE for loss in losses]

    def identity_loss(self) -> Tensor:
        """NCE_Y on its own: of G(B) against B."""
        made = self.generate(self.real_B)
        self.idt_B = made.outputs[0].detach()
        return self.nce_losses(made, first=1)[0]

    def passes(self, images: list[Tensor]) -> list[Tensor]:
        """The minibatches in which to encode: apart where G's layers would mix the images of one pass."""
        return self.joined(images) if self.repeatable["G"] else images

    def patch_nce(self, queries: list[Tensor], keys: list[Tensor], first: int) -> list[Tensor]:
        """queries, keys: [n * B, C_l, H_l, W_l] a layer, of n domains. Returns n means over all patches.

        first: number of the first of these domains; 0 is the input's, 1 the target's.
        """
        opt = self.opt
        keys = [k.detach() for k in keys]
        locations = self.netF.locations(keys, opt.num_patches, shared=opt.nce_shared_locations)
        with torch.no_grad():
            keys = self.key_F(keys, locations)
        queries = self.netF(queries, locations)
        images = len(self.real_A)
        losses = [[self.patch_loss(q, k, (domain, layer)).mean() for domain, (q, k)
                   in enumerate(zip(query.split(images), key.split(images), strict=True), first)]
                  for layer, (query, key) in enumerate(zip(queries, keys, strict=True))]
        return [torch.stack(domain).mean() for domain in zip(*losses, strict=True)]

    def patch_loss(self, query: Tensor, key: Tensor, place: Place) -> Tensor:
        """query, key: [B, S, C] of one domain and layer. Returns [B, S]."""
        opt = self.opt
        return patch_nce_loss(query, key, opt.nce_T,
                              minibatch_negatives=opt.nce_includes_all_negatives_from_minibatch,
                              internal_negatives=opt.nce_negatives != "external",
                              negatives=self.memory.exchange(place, key) if self.memory else None)

    # ---- checkpoints

    def load_weights(self, folder: Path, label: str) -> None:
        super().load_weights(folder, label)
        if self.memory:
            self.memory.follow(self.netG, self.netF, momentum=0.0)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({"nce_memory": self.memory.state_dict()} if self.memory else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.memory and "nce_memory" not in state:
            raise ValueError(f"it was saved without --nce_negatives {self.opt.nce_negatives}")
        super().load_state_dict(state)
        if self.memory:
            self.memory.load_state_dict(state["nce_memory"])
