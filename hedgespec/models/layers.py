"""Where a network keeps its decoder layers: in a list of modules, perhaps some modules deep."""

from torch import nn


def layers_name(network: nn.Module, count: int) -> str | None:
    """The dotted name of the decoder layers: the first list of `count` modules. None without one."""
    return next(
        (
            name
            for name, module in network.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == count
        ),
        None,
    )


def parts_of(network: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers of a network, or of one cut short, and what else it calls: its embedding,
    positions and final norm.

    No layers where they are not the network's only list, of modules of one type.
    """
    lists = [child for child in network.children() if isinstance(child, nn.ModuleList)]
    if len(lists) != 1 or len({type(layer) for layer in lists[0]}) != 1:
        return [], []
    return list(lists[0]), [child for child in network.children() if child is not lists[0]]
