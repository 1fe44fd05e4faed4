"""A validation split: images held out of training, for choices that the test split must not make."""

from dataclasses import replace

from proxyset.data.images import stratified_split
from proxyset.data.spec import Dataset
from proxyset.errors import InputError
from proxyset.seeds import make_generator


def with_validation(dataset: Dataset, share: float) -> Dataset:
    """The dataset with `share` (0..1) of every class of its training split as its validation split.

    Which images are held out depends on the data alone and not on a run's seed, so that every run, and every proxy set
    that was made without them, means the same images. At least one image of a class is held out, and one is left.

    Raises:
        InputError: no such share; a class with a single image; other images are held out already.
    """
    if not 0 <= share < 1:
        raise InputError(f"`validation` must be at least 0 and below 1, got {share}")
    spec = dataset.spec
    if dataset.validation is not None and dataset.source.get("validation") != share:
        raise InputError(f"`validation={share}`, but {spec.name} has a validation split already: leave it out")
    if share == 0 or dataset.validation is not None:
        return dataset
    counts = dataset.train.labels.bincount(minlength=spec.classes).tolist()
    if min(counts) < 2:
        name = spec.class_names[counts.index(min(counts))]
        raise InputError(
            f"`validation={share}` holds out an image of every class, but {name!r} has {min(counts)} to train on"
        )
    rest, held_out = stratified_split(dataset.train, spec.classes, share, make_generator(0, "validation"))
    source = dataset.source | {"validation": share} if dataset.source else {}
    return replace(dataset, train=rest, validation=held_out, source=source)
