"""The `proxyset` program: `python -m proxyset`."""

from typing import NoReturn

from proxyset.cli.start import start


def main() -> NoReturn:
    start("proxyset", "proxyset.cli.app")


if __name__ == "__main__":
    main()
