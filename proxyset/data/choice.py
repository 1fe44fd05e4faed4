"""Which dataset is meant, and in which form."""

from pydantic import Field

from proxyset.settings import Settings


class DataChoice(Settings):
    """What you condense."""

    dataset: str = Field("digits", description="name, or path of a folder, .npz or .parquet")
    size: int | None = Field(None, description="resize to this many pixels, 8 to 64 (default: as they are)")
    channels: int | None = Field(None, description="1 or 3: convert to grey or colour (default: as they are)")
    flip: bool | None = Field(
        None, description="whether a mirrored image keeps its label (default: yes, but not for known digits)"
    )
    test_fraction: float = Field(0.2, description="share held out as test where the dataset has no split of its own")
