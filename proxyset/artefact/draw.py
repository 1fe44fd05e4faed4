"""More images from the generator that a proxy set carries."""

from dataclasses import replace

import torch

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.images import ImageSet, one_hot
from proxyset.errors import InputError, one_line
from proxyset.methods.generative_teaching import Generator
from proxyset.seeds import make_generator


def draw(proxy: ProxySet, ipc: int, seed: int = 0) -> ProxySet:
    """A set of freshly drawn images, `ipc` of every class, in place of those of `proxy`.

    Raises:
        InputError: it carries no generator, or one that does not fit it.
    """
    if not proxy.generator:
        raise InputError("`draw`: this set carries no generator; `method=gtn` leaves one")
    settings, spec = proxy.provenance.get("settings", {}), proxy.spec
    noise, width = settings.get("noise"), settings.get("width")
    if not (isinstance(noise, int) and isinstance(width, int)):
        raise InputError("`draw`: the set's provenance does not say what its generator is like")
    random = make_generator(seed, "draw")
    net = Generator(spec, noise, width, random)
    try:
        net.load_state_dict(proxy.generator)
    except RuntimeError as error:
        raise InputError(f"`draw`: the set's generator does not fit its provenance ({one_line(error)})") from None
    labels = torch.arange(spec.classes).repeat_interleave(ipc)
    codes = torch.randn((len(labels), noise), generator=random)
    with torch.no_grad():
        images = net(torch.cat([codes, one_hot(labels, spec.classes)], 1))
    data = ImageSet(images, labels, formation=proxy.data.formation)
    return replace(proxy, data=data, provenance=proxy.provenance | {"ipc": ipc, "drawn": {"seed": seed}, "scores": []})
