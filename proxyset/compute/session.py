"""What a process knows while it works: where it runs, what it has compiled and measured, what it has said."""

import logging
from typing import Any, Literal

from torch import nn

from proxyset.compute.features import Embedding, Features, View
from proxyset.compute.footprint import Footprint, measure_footprint
from proxyset.compute.gradients import Gradients
from proxyset.compute.memory import keep_freed_memory
from proxyset.compute.plan import COMPILE_SECONDS, Engine, Work, has_bf16, resolve_devices, saving
from proxyset.data.spec import Shape
from proxyset.nets.build import outline
from proxyset.settings import Compute

LOG = logging.getLogger("proxyset")


class Session:
    """Made once by whoever starts the work, and passed on, so that a network is compiled and measured once.

    Attributes:
        devices: all that work can be shared out to.
        device: the first of them, where everything runs that is not shared out.
        kept: what was made in this process and may be used again, by a hash of what it was made from.

    Args:
        compute: device, precision and the rest; or give its fields by name: `Session(device="cpu")`.

    Raises:
        InputError: no such device here.
    """

    def __init__(self, compute: Compute | None = None, **settings: Any) -> None:
        self.compute = compute or Compute(**settings)
        self.devices = resolve_devices(self.compute.device)
        self.device = self.devices[0]
        if self.device.type == "cpu":
            keep_freed_memory()
        self.kept: dict[str, Any] = {}
        self._footprints: dict[tuple[str, int, int], Footprint] = {}
        self._gradients: dict[Any, Gradients] = {}
        self._features: dict[Any, Features] = {}
        self._said: set[str] = set()
        self._compiler: bool | None = None

    def plan(self, work: Work | None = None) -> Engine:
        """Decide how `work` runs (None: work that only ever runs eagerly in fp32)."""
        compute = self.compute
        limit = None if compute.memory_limit is None else int(compute.memory_limit * 2**30)
        if work is None:
            return Engine(self.device, memory_limit=limit)
        precision: Literal["fp32", "bf16"] = "bf16" if compute.precision == "bf16" else "fp32"
        if precision == "bf16" and not has_bf16(self.device):
            self.say_once(f"bf16 will be slow: {self.device} has no units for it")
        worth = compute.compile == "auto" and saving(work, self.device, precision) > COMPILE_SECONDS
        if work.batch_norm and compute.compile == "on":
            self.say_once("not compiled: the network has BatchNorm, whose statistics change outside of compiled code")
        compiled = (compute.compile == "on" or worth) and not work.batch_norm and self._has_compiler()
        return Engine(self.device, precision, compiled, limit)

    def footprint(self, net: nn.Module, channels: int, size: int) -> Footprint:
        """What one image costs a network (or its outline), measured once."""
        key = repr(net), channels, size
        if key not in self._footprints:  # measuring takes as long as ten steps of a small network
            self._footprints[key] = measure_footprint(net, channels, size)
        return self._footprints[key]

    def gradients(self, engine: Engine, name: str, shape: Shape, condensing: bool = False) -> Gradients:
        """The gradients of the network called `name`: compiled once, however many networks are made of it."""
        key = engine, name, tuple(shape.items()), condensing
        if key not in self._gradients:
            net = outline(name, **shape, condensing=condensing)
            self._gradients[key] = self.gradients_of(engine, net, shape["channels"], shape["size"])
        return self._gradients[key]

    def gradients_of(self, engine: Engine, net: nn.Module, channels: int, size: int) -> Gradients:
        """The gradients of any network, or of others of its structure."""
        return Gradients(engine, net, self.footprint(net, channels, size))

    def features(
        self, engine: Engine, name: str, shape: Shape, view: View = Embedding, condensing: bool = True
    ) -> Features:
        """The features of the network called `name`, compiled once."""
        key = engine, name, tuple(shape.items()), view, condensing
        if key not in self._features:
            net = outline(name, **shape, condensing=condensing)
            cost = self.footprint(net, shape["channels"], shape["size"])
            self._features[key] = Features(engine, net, cost, view)
        return self._features[key]

    def say_once(self, line: str) -> None:
        """Tell the user something the first time that it comes up."""
        if line not in self._said:
            self._said.add(line)
            LOG.warning(line)

    def _has_compiler(self) -> bool:
        """Whether torch finds the C++ compiler that it needs; where not, one line says so."""
        if self._compiler is None:
            self._compiler = True
            try:
                from torch._inductor.cpp_builder import get_cpp_compiler

                get_cpp_compiler()
            except ImportError:  # another version of torch: it will be seen when the first step is compiled
                pass
            except Exception as error:
                self._compiler = False
                self.say_once(f"not compiled: {str(error).strip().splitlines()[0]}")
        return self._compiler
