"""The processors that a graph is rendered with: one object a type, and the further outlets of splitters."""

from __future__ import annotations

from torch import Tensor, nn

from mixgraph.processors.base import Processor
from mixgraph.processors.parameter import Parameters


class Outlet(Processor):
    """A further outlet of a splitter as a processor of its own, which cuts where the splitter is switched off.

    Args:
        splitter: the splitter that the outlet belongs to, whose parameters it takes.
        outlet: the number of the outlet, from 1.
    """

    linear = True
    cuts = True

    def __init__(self, splitter: Processor, outlet: int) -> None:
        super().__init__(splitter.sample_rate)
        self.splitter, self.outlet = splitter, outlet
        self.name, self.channels, self.keeps_mono = splitter.name, splitter.channels, splitter.keeps_mono  # type: ignore[misc]

    @property
    def before(self) -> int:
        return self.splitter.before

    @property
    def after(self) -> int:
        return self.splitter.after

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return self.splitter.outlet_response(parameters, self.outlet)


class Processors(nn.ModuleDict):
    """One processor of each type, by name; `"NAME/1"` is the second outlet of a splitter."""

    def __getitem__(self, key: str) -> Processor:
        name, _, outlet = key.partition("/")
        processor = super().__getitem__(name)
        assert isinstance(processor, Processor)
        if not outlet:
            return processor
        if key not in self:
            raise KeyError(key)
        return Outlet(processor, int(outlet))

    def __contains__(self, key: str) -> bool:
        name, slash, outlet = key.partition("/")
        if not super().__contains__(name):
            return False
        return not slash or (outlet.isdecimal() and 0 < int(outlet) < self[name].outlets)


def base_type(node_type: str) -> str:
    """Returns the type whose parameters a node has: its own type without the number of an outlet."""
    return node_type.partition("/")[0]
