"""The proxy set that learning starts from, where `init` names its file."""

from pathlib import Path
from typing import Any

from proxyset.artefact.proxy_set import ProxySet
from proxyset.artefact.same import form_of
from proxyset.data.images import ImageSet
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.methods.base import Method
from proxyset.methods.synthesis import SUFFIX


def read_start(method: Method, dataset: Dataset) -> ImageSet | None:
    """The images of the file that `method.init` names; None for a method that has no `init`, or another one.

    Raises:
        InputError: the file holds no whole proxy set, or one of other images than `dataset` has.
    """
    init: Any = getattr(method, "init", None)
    if not isinstance(init, str) or not init.endswith(SUFFIX):
        return None
    try:
        proxy = ProxySet.load(Path(init))
    except InputError as error:
        raise InputError(f"`init`: {error}") from None
    theirs, ours = form_of(proxy.spec), form_of(dataset.spec)
    if differing := [name for name, value in ours.items() if theirs[name] != value]:
        raise InputError(f"`init`: {init!r} is of other images than {dataset.spec.name}: its {differing[0]} differs")
    source = proxy.provenance.get("dataset", {})
    if source.get("sha256") != dataset.sha256:
        origin = source.get("source") or "unknown data"
        raise InputError(f"`init`: {init!r} was made from {origin}, not from these images of {dataset.spec.name}")
    return proxy.data
