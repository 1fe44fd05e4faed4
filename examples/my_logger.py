"""A logger that prints every number. Use it with `--log-to my_logger:Lines`."""

from collections.abc import Mapping

from proxyset.loggers import Subject


class Lines:
    def __init__(self, subject: Subject) -> None:
        self.name = subject.name

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            print(f"{self.name} {step} {name} {value:.4g}")

    def close(self) -> None:
        print(f"{self.name} is done")
