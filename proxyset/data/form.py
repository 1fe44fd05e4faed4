"""The form that images are brought to: size, channels, and how."""

from dataclasses import dataclass, field

from proxyset.data.choice import Background, OnError, Resize
from proxyset.progress import Progress

SQUARED = {"crop": "cropped to squares", "fit": "padded to squares", "stretch": "stretched to squares"}


@dataclass(frozen=True)
class Decoding:
    """How images are decoded.

    Attributes:
        size, channels: bring every image to this size and channel count; None keeps what is there.
        resize: how images that are not square reach the size.
        background: what shows through transparent pixels, and what images are padded with.
        on_error: whether an unreadable image stops the work or is left out; None: stop, and there is no choice.
        progress, title: who is told how far it is (see `proxyset.progress.shown`), and what the work is called.
    """

    size: int | None = None
    channels: int | None = None
    resize: Resize = "crop"
    background: Background = "white"
    on_error: OnError | None = "stop"
    progress: Progress | bool | None = field(default=False, compare=False)
    title: str = "reading"


def centre_square(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest square in the middle of an image: left, upper, right, lower."""
    side = min(width, height)
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def fitted(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height of an image whose longer side is brought to `size`."""
    longer = max(width, height)
    return max(1, round(width * size / longer)), max(1, round(height * size / longer))
