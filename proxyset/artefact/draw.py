"""More images from the generator that a proxy set carries."""

from dataclasses import replace

import torch

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet, one_hot
from proxyset.errors import InputError, one_line
from proxyset.methods.generative_teaching import Generator
from proxyset.methods.gtn import GTN
from proxyset.seeds import make_generator

AT_ONCE = 256  # images that pass the generator together


def draw(proxy: ProxySet, ipc: int, seed: int = 0) -> ProxySet:
    """A set of freshly drawn images, `ipc` of every class, in place of those of `proxy`.

    Raises:
        InputError: it carries no generator, or one that does not fit it.
    """
    if not proxy.generator:
        raise InputError("`draw`: this set carries no generator; `method=gtn` leaves one")
    settings, spec = proxy.provenance.get("settings", {}), proxy.spec
    noise, width = settings.get("noise"), settings.get("width")
    random = make_generator(seed, "draw")
    try:
        method = GTN(noise=noise, width=width)
        net = Generator(spec, method.noise, method.width, random)
        net.load_state_dict(proxy.generator)
    except (InputError, RuntimeError) as error:
        raise InputError(
            f"`draw`: the set's generator is of an older version, or does not fit its provenance ({one_line(error)})"
        ) from None
    labels = torch.arange(spec.classes).repeat_interleave(ipc)
    codes = torch.randn((len(labels), method.noise), generator=random)
    with torch.no_grad():
        given = torch.cat([codes, one_hot(labels, spec.classes)], 1)
        images = torch.cat([net(part) for part in given.split(AT_ONCE)])
    data = ImageSet(images, labels, formation=proxy.data.formation)
    drawn = {"ipc": ipc, "drawn": {"seed": seed}, "scores": [], "settings": settings | {"targets": "hard"}}
    found = replace(proxy, data=data, provenance=proxy.provenance | drawn)
    return replace(found, provenance=found.provenance | {"bytes": found.nbytes})
