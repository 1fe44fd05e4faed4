"""What to do about work that will take long: one line, the same in every command that estimates. Light."""

from collections.abc import Mapping

LONG = 600.0  # seconds


def advice(seconds: float, flags: Mapping[str, str]) -> str:
    """One line that names what would make work of so many seconds smaller, and what that costs; empty below `LONG`.

    Args:
        flags: settings as messages name them (`"nets=5"`, without the backticks), with what they cost in quality. They
            come in the order given: the best trade first.
    """
    if seconds < LONG or not flags:
        return ""
    return "less time: " + "; ".join(f"`{setting}` ({cost})" for setting, cost in flags.items())
