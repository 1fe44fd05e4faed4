"""The `search` program: `python -m search`."""

from typing import NoReturn

from proxyset.cli.start import start


def main() -> NoReturn:
    start("search", "search.cli")


if __name__ == "__main__":
    main()
