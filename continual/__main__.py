"""The `continual` program: `python -m continual`."""

from typing import NoReturn

from proxyset.cli.start import start


def main() -> NoReturn:
    start("continual", "continual.cli")


if __name__ == "__main__":
    main()
