"""Generators as maps that can be computed strip by strip: which layers, which skips, which norms."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from models.networks.resnet import ResidualBlock, ResnetGenerator
from models.networks.unet import UnetGenerator, UnetLevel
from models.tiling.maps import Applied, Joined, Kept, Map, Normed, Sum
from models.tiling.moments import is_norm_of_the_image

# Multiplications for one number, from which on it is sooner read from a file than computed again.
DEAR = 2000


def behind(source: Map, layers: Iterable[nn.Module]) -> Map:
    """What the layers make of a map; those between two norms become one map."""
    waiting: list[nn.Module] = []
    for layer in layers:
        if not is_norm_of_the_image(layer):
            waiting.append(layer)
            continue
        source = Applied(source, waiting)
        source, waiting = Normed(Kept(source) if source.cost >= DEAR else source, layer), []
    return Applied(source, waiting) if waiting else source


def resnet(net: ResnetGenerator, image: Map) -> Map:
    source, waiting = image, []
    for stage in net.stages():
        if isinstance(stage, ResidualBlock):
            kept = Kept(behind(source, waiting))
            source, waiting = Sum(kept, behind(kept, stage.conv_block)), []
        else:
            waiting.append(stage)
    return behind(source, waiting)


def unet(net: UnetGenerator, image: Map) -> Map:
    return unet_level(net.model, image)


def unet_level(level: UnetLevel, source: Map) -> Map:
    made = behind(source, level.model[:level.downs])
    if level.has_inner:
        made = unet_level(level.model[level.downs], Kept(made))
    made = behind(made, level.model[level.downs + level.has_inner:])
    return made if level.outermost else Joined(source, made)


# Class of a generator -> what makes the map of its output.
NETWORKS: dict[type[nn.Module], Callable[[Any, Map], Map]] = {ResnetGenerator: resnet, UnetGenerator: unet}
