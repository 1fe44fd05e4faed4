"""`make audit`: what its answers mean."""

import stat
import sys
from pathlib import Path

import pytest

from tools.audit import main, report

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
FOUND = {"name": "torch", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []}]}
UNKNOWN = {"name": "ray", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([CLEAN], 0, "no known vulnerability in 1 packages"),
        ([CLEAN, FOUND], 1, "torch 2.0: PYSEC-1, fixed in: 2.1"),
        ([CLEAN, UNKNOWN], 2, "1 of 2 packages checked"),
        ([FOUND, UNKNOWN], 1, "PYSEC-1"),
    ],
)
def test_findings_fail_and_what_was_not_checked_is_no_success(
    packages: list[dict[str, object]], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(packages) == code
    assert words in capsys.readouterr().out


def test_a_service_that_does_not_answer_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Name or service not known')\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert main(str(program), "constraints.txt") == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert "cannot be reached" in line
    assert "Name or service not known" in line
