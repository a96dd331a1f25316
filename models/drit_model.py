"""DRIT: Lee et al., Diverse Image-to-Image Translation via Disentangled Representations, ECCV 2018.

With the mode-seeking loss, as is the default, it is DRIT++ for two domains (IJCV 2020); --no_ms is DRIT.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.base_model import Batch
from models.drit_flags import add_drit_flags, check_drit, check_images, content_layers
from models.losses.drit import (
    content_confusion,
    content_telling,
    l1,
    mean_square,
    mode_seeking,
    normal_divergence,
)
from models.multimodal import MultimodalModel, random_styles
from models.networks.base import Network
from models.networks.multimodal.drit import ContentEncoder, StyleEncoder, StyleVAE
from models.networks.multimodal.drit_discriminators import ContentDiscriminator, image_discriminator
from models.networks.multimodal.drit_generators import ConcatGenerator, TransformGenerator
from models.precision import at_least_float32

DOMAINS = {"A": "B", "B": "A"}      # each with the other
# By --no_concat: the style encoder and the generator.
STYLES = {False: (StyleVAE, ConcatGenerator), True: (StyleEncoder, TransformGenerator)}
CONTENT_RATE = 0.4                  # the learning rate of D_content, relative to D's
CONTENT_CLIP = 5.0                  # the largest norm of D_content's gradient
IMAGE_D = {"D_A": "A", "D_B": "B", "D_A2": "A", "D_B2": "B"}      # each with its domain


class Forward(NamedTuple):
    """What the generators made of the first half of a minibatch; each by domain.

    content: encoded. mean, log_variance: of the style; log_variance is None where the style is not drawn.
    fake: the other domain's content in this one's style. rec: its own content. cycle: the fakes encoded again
    and swapped back.
    """

    content: dict[str, Tensor]
    mean: dict[str, Tensor]
    log_variance: dict[str, Tensor | None]
    fake: dict[str, Tensor]
    rec: dict[str, Tensor]
    cycle: dict[str, Tensor]


class DRITModel(MultimodalModel):
    """Encoders of content and of style, a generator, four discriminators of images and one of content.

    D_A and D_B judge images with a style of a real image, D_A2 and D_B2 those with a random style; D_content
    tells whose content it is, which the encoder learns to hide. Domains are those of the data: a run
    translates both ways, and --direction only says which way is shown and scored.

    One step of three (--d_iter) updates all networks, the others D_content alone; they show the other losses
    as they were last, and 0 before there are any. The generators are updated twice in such a step, as
    published: E_c, E_a and G on encoded styles, then E_c and G on random ones. The published second update
    goes through a graph whose weights the first has changed meanwhile, which is the gradient of nothing. Here
    the second pass is computed anew, with the weights as they are. One update on the sum would halve the pace
    of E_c and G, as Adam's steps do not grow with the loss; and this way one graph at a time is in memory.

    The first half of a minibatch is encoded, the second is what D_A2 and D_B2 see as real.
    """

    groups = 2
    loss_names = ("G_A", "G_B", "content", "rec_A", "rec_B", "cycle_A", "cycle_B", "KL_style", "KL_content",
                  "G_A2", "G_B2", "latent_A", "latent_B", "ms_A", "ms_B", "G", *IMAGE_D, "D_content")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        add_drit_flags(parser, is_train)
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        channels = {self.input_key: opt.input_nc, self.target_key: opt.output_nc}
        sizes: dict[str, Any] = dict(channels=(channels["A"], channels["B"]), width=opt.ngf)
        encoder, generator = STYLES[opt.no_concat]
        self.add_network("G_enc_c", ContentEncoder(**sizes))
        self.add_network("G_enc_a", encoder(**sizes, style_dim=opt.style_dim))
        self.add_network("G_gen", generator(**sizes, style_dim=opt.style_dim))
        if opt.isTrain:
            check_drit(opt)
            for name, domain in IMAGE_D.items():
                self.add_network(name, image_discriminator(in_channels=channels[domain], width=opt.ndf,
                                                           scales=opt.dis_scale))
            self.add_network("D_content", ContentDiscriminator(in_channels=4 * opt.ngf, width=4 * opt.ndf,
                                                               layers=content_layers(opt)))
            for name, net in self.networks.items():
                self.add_optimizer(name, net.parameters(), opt.weight_decay)
            self.steps, self.content_only = 0, False
            self.kept = [name for name in self.loss_names
                         if name != "D_content" and not (opt.no_ms and name.startswith("ms"))]
            self.kept += self.auxiliary.weights if self.auxiliary else ()
            self.latest = torch.zeros(len(self.kept), device=self.device)

    def first_rate(self, name: str) -> float:
        """As BaseModel's; D_content learns more slowly."""
        return super().first_rate(name) * (CONTENT_RATE if name == "D_content" else 1)

    def graph_obstacle(self) -> str:
        return ""

    def remember(self) -> list[Callable[[], None]]:
        return super().remember()

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """As BaseModel's; the losses of a whole step, means over all parts of the minibatch, are kept."""
        losses = super().train_step(batch)
        if not self.content_only:
            self.latest.copy_(torch.stack([losses[name] for name in self.kept]))
        return losses

    def set_input(self, batch: Batch) -> None:
        super().set_input(batch)
        check_images(self.opt, self.real_A, self.real_B)

    def flag_of(self, net: Network) -> str:
        return "--model drit"

    # ---- translation

    def translator(self) -> nn.Module:
        """The content encoder: it decides the sides that images are padded to."""
        return self.networks["G_enc_c"]

    def encode_content(self, x: Tensor) -> Tensor:
        return self.networks["G_enc_c"](x, self.input_key, False)

    def encode_style(self, x: Tensor) -> Tensor:
        """The mean. (The published code draws from the distribution here too.)"""
        return at_least_float32(self.networks["G_enc_a"](x, self.target_key)[0])

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        return self.networks["G_gen"](content, style, self.target_key)

    @torch.no_grad()
    def visuals(self) -> dict[str, Tensor]:
        """The last minibatch translated in two styles, which stay the same, and decoded as it was.

        Made when asked for, as most steps make no images.
        """
        styles = random_styles(self.opt.seed, ["visuals"], 2, self.opt.style_dim).to(self.device)
        with self.precision.autocast():
            content = self.encode_content(self.real_A)
            fakes = [self.decode(content, style.expand(len(content), -1)) for style in styles]
            own = self.networks["G_enc_a"](self.real_A, self.input_key)[0]
            rec_A = self.networks["G_gen"](content, own, self.input_key)
        return {"real_A": self.real_A, "fake_B": fakes[0], "fake_B_2": fakes[1], "rec_A": rec_A,
                "real_B": self.real_B}

    # ---- the step

    def draw_choices(self) -> tuple[Any, ...]:
        """Whether the step is one of those for D_content alone: all but every --d_iter-th."""
        self.steps += 1
        self.content_only = self.steps % self.opt.d_iter != 0
        return (self.content_only,)

    def optimize_parameters(self) -> None:
        """D_content alone; or all D, then G and its encoders on encoded styles, then on random ones."""
        first, second = self.halves()
        if self.content_only:
            with torch.no_grad():
                content = self.contents(first)
            self.update_content_D(content)
            self.losses |= dict(zip(self.kept, self.latest.clone().unbind(), strict=True))
            return
        made = self.forward(first)
        self.translated = made.fake[self.target_key]
        styles = parts.normal(1 if self.opt.no_ms else 2, len(self.real_A) // 2, self.opt.style_dim,
                              like=self.real_A, dim=1)
        self.update(*IMAGE_D, loss=self.compute_D_loss(first, second, made, styles))
        self.update_content_D({domain: content.detach() for domain, content in made.content.items()})
        self.update("G_enc_c", "G_enc_a", "G_gen", loss=self.compute_G_loss(first, made))
        self.precision.end_step()       # fp16 takes one update of an optimizer between two of its scale
        self.update("G_enc_c", "G_gen", loss=self.compute_random_loss(first, styles))

    def output(self) -> Tensor:
        """The first half's translations in the styles of real_B's: what --auxiliary looks at."""
        return self.translated

    def halves(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The images that are encoded and those that are only judged, by domain, [B / 2, C, H, W].

        They are this part's of the halves of the whole minibatch.
        """
        real_A, real_B = parts.whole(self.real_A, self.real_B)
        return tuple({self.input_key: parts.own(real_A.chunk(2)[half]),
                      self.target_key: parts.own(real_B.chunk(2)[half])} for half in (0, 1))

    def contents(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        """Content of both domains' images, with the noise of training."""
        return {domain: self.networks["G_enc_c"](images[domain], domain, True) for domain in DOMAINS}

    def draw_style(self, images: Tensor, domain: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """Styles drawn for images [B, C, H, W] of `domain`, and what they are drawn by."""
        mean, log_variance = self.networks["G_enc_a"](images, domain)
        mean = at_least_float32(mean)
        if log_variance is None:
            return mean, mean, None
        log_variance = at_least_float32(log_variance)
        noise = parts.normal(*mean.shape, like=mean)
        return mean + noise * (log_variance / 2).exp(), mean, log_variance

    def forward(self, images: dict[str, Tensor]) -> Forward:
        """Swap the styles of both domains' images, and swap them back."""
        generate = self.networks["G_gen"]
        content = self.contents(images)
        styles = {domain: self.draw_style(images[domain], domain) for domain in DOMAINS}
        fake, rec = {}, {}
        for domain, other in DOMAINS.items():
            style = styles[domain][0]
            both = generate(torch.cat([content[other], content[domain]]), torch.cat([style, style]), domain)
            fake[domain], rec[domain] = both.chunk(2)
        again = self.contents(fake)
        cycle = {domain: generate(again[other], self.draw_style(fake[domain], domain)[0], domain)
                 for domain, other in DOMAINS.items()}
        return Forward(content, {d: s[1] for d, s in styles.items()}, {d: s[2] for d, s in styles.items()},
                       fake, rec, cycle)

    def random_fakes(self, content: dict[str, Tensor], styles: Tensor) -> dict[str, Tensor]:
        """The other domain's content in each of the styles [n, B / 2, S], by domain: [n B / 2, C, H, W]."""
        return {domain: self.networks["G_gen"](content[other].repeat(len(styles), 1, 1, 1),
                                               styles.flatten(0, 1), domain)
                for domain, other in DOMAINS.items()}

    def compute_D_loss(self, first: dict[str, Tensor], second: dict[str, Tensor], made: Forward,
                       styles: Tensor) -> Tensor:
        """The sum of what the image discriminators minimise."""
        with torch.no_grad():
            random = self.random_fakes(made.content, styles)
        for domain in DOMAINS:
            fakes = random[domain].chunk(len(styles))
            encoded = made.fake[domain].detach()
            self.losses |= {f"D_{domain}": self.telling(f"D_{domain}", first[domain], encoded),
                            f"D_{domain}2": self.telling(f"D_{domain}2", second[domain], *fakes)}
        return torch.stack([self.losses[name] for name in IMAGE_D]).sum()

    def telling(self, name: str, real: Tensor, *fakes: Tensor) -> Tensor:
        """The objective on real and fake images, summed over scales and fakes; real counts for each."""
        scales = [scores.chunk(1 + len(fakes)) for scores in self.networks[name](torch.cat([real, *fakes]))]
        return torch.stack([self.objective.real(of_real) + self.objective.fake(of_fake)
                            for of_real, *of_fakes in scales for of_fake in of_fakes]).sum()

    def update_content_D(self, content: dict[str, Tensor]) -> None:
        """An update of D_content, its gradient no longer than CONTENT_CLIP. content: without a graph."""
        net = self.networks["D_content"]
        self.losses["D_content"] = content_telling(net(content["A"]), net(content["B"]))
        self.update("D_content", loss=self.losses["D_content"], largest_norm=CONTENT_CLIP)

    def compute_G_loss(self, images: dict[str, Tensor], made: Forward) -> Tensor:
        """The sum of what the encoders and the generator minimise on encoded styles."""
        opt, confusion, KL_style, KL_content, losses = self.opt, [], [], [], {}
        for domain in DOMAINS:
            mean, log_variance = made.mean[domain], made.log_variance[domain]
            KL_style.append(mean_square(mean) if log_variance is None else
                            normal_divergence(mean, log_variance))
            KL_content.append(mean_square(made.content[domain]))
            confusion.append(content_confusion(self.networks["D_content"](made.content[domain])))
            losses |= {f"G_{domain}": self.fooling(f"D_{domain}", made.fake[domain]),
                       f"rec_{domain}": opt.lambda_rec * l1(made.rec[domain], images[domain]),
                       f"cycle_{domain}": opt.lambda_rec * l1(made.cycle[domain], images[domain])}
        losses |= {"content": sum(confusion), "KL_style": opt.lambda_KL * sum(KL_style),
                   "KL_content": opt.lambda_KL * sum(KL_content)}
        self.losses |= losses
        return torch.stack(list(losses.values())).sum()

    def compute_random_loss(self, images: dict[str, Tensor], styles: Tensor) -> Tensor:
        """The sum of what E_c and G minimise on random styles, from a pass with their weights as they are."""
        losses = {}
        for domain, fakes in self.random_fakes(self.contents(images), styles).items():
            found = self.networks["G_enc_a"](fakes.chunk(len(styles))[0], domain)[0]
            losses |= {f"G_{domain}2": len(styles) * self.fooling(f"D_{domain}2", fakes),
                       f"latent_{domain}": self.opt.lambda_latent * l1(found, styles[0])}
            if not self.opt.no_ms:
                both = parts.whole(*fakes.chunk(2), *styles)
                losses[f"ms_{domain}"] = self.opt.lambda_ms * mode_seeking(*both)
        self.losses |= losses
        return torch.stack(list(losses.values())).sum()

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "steps": self.steps, "latest": dict(zip(self.kept, self.latest.unbind(), strict=True))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.steps = state["steps"]
        for place, name in enumerate(self.kept):
            self.latest[place] = state["latest"].get(name, 0.0)     # --no_ms may change
