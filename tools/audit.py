"""Hold the pinned versions against the known vulnerabilities: `make audit`.

    python tools/audit.py PIP_AUDIT CONSTRAINTS

PIP_AUDIT is the program pip-audit, which asks PyPI for advisories. Exit codes: 0 nothing is known, 1 something is, 2
the service did not answer for every package, so that nothing is certain.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def main(pip_audit: str, constraints: str) -> int:
    flags = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(
        [pip_audit, "--requirement", constraints, *flags], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"audit: nothing was checked, the vulnerability service cannot be reached: {reason[:200]}")
        return 2
    return report(packages)


def report(packages: Sequence[dict[str, Any]]) -> int:
    """Print what pip-audit found; returns the exit code."""
    findings = [(package, advisory) for package in packages for advisory in package.get("vulns", [])]
    for package, advisory in findings:
        fixed = ", ".join(advisory.get("fix_versions", [])) or "none yet"
        print(f"{package['name']} {package['version']}: {advisory['id']}, fixed in: {fixed}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    checked = len(packages) - len(skipped)
    if skipped and not checked:
        print("audit: nothing was checked, the vulnerability service cannot be reached: it knows none of the packages")
    elif skipped:
        print(f"audit: {checked} of {len(packages)} packages checked, the service does not know {', '.join(skipped)}")
    elif not findings:
        print(f"audit: no known vulnerability in {checked} packages")
    return 1 if findings else 2 if skipped else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
