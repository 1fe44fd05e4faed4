"""Which dataset is meant, and in which form."""

from typing import Any, Literal, TypedDict

from pydantic import Field

from proxyset.settings import Settings

SIZES = range(8, 257)  # pixels
Background = Literal["white", "black"]
Resize = Literal["crop", "fit", "stretch"]
OnError = Literal["stop", "skip"]


class Form(TypedDict, total=False):
    """In which form a dataset is loaded: the fields of `DataChoice` without `dataset`."""

    size: int | None
    channels: int | None
    resize: Resize
    background: Background
    on_error: OnError
    flip: bool | None
    test_fraction: float
    validation: float


class DataChoice(Settings):
    """What you condense."""

    dataset: str = Field("digits", description="name, hf:NAME of a hub, or path of a folder, .npz or .parquet")
    size: int | None = Field(
        None, description=f"resize to this many pixels, {SIZES[0]} to {SIZES[-1]} (default: as they are)"
    )
    channels: int | None = Field(None, description="1 or 3: convert to grey or colour (default: as they are)")
    resize: Resize = Field(
        "crop",
        description="how images that are not square reach the size: the centre square, the whole padded with the "
        "background, or stretched",
    )
    background: Background = Field("white", description="what shows through transparent pixels")
    on_error: OnError = Field("stop", description="at an image that cannot be read: stop, or leave it out and say so")
    flip: bool | None = Field(
        None, description="whether a mirrored image keeps its label (default: yes, but not for known digits)"
    )
    test_fraction: float = Field(0.2, description="share held out as test where the dataset has no split of its own")
    validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of every class kept out of training, for choices that the test split must not make",
    )

    def form(self) -> dict[str, Any]:
        """The arguments of `proxyset.load` that say in which form: `load(choice.dataset, **choice.form())`."""
        return {name: getattr(self, name) for name in Form.__annotations__}
