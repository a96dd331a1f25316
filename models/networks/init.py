"""Initial weights by name (--init_type)."""

from torch import nn

from models.networks.base import Network, NetworkError

INITS = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain=gain),
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: nn.init.orthogonal_(weight, gain=gain),
}


def init_weights(net: nn.Module, init_type: str, gain: float) -> nn.Module:
    """Fill convolutions and linear layers by `init_type`, biases with 0, BatchNorm weights with N(1, gain).

    kaiming does not use the gain. A Network with `own_init` keeps the weights that its constructor drew.
    Raises NetworkError for a name not in INITS.
    """
    if init_type not in INITS:
        raise NetworkError(f"--init_type is {init_type!r}; choose one of {', '.join(INITS)}")
    if isinstance(net, Network) and net.own_init:
        return net
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            INITS[init_type](module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
    return net
