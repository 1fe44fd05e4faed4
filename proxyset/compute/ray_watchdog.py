"""Ends what a local Ray leaves behind: its own small program, which outlives a driver that is killed.

    python ray_watchdog.py FOLDER WHERE_PSUTIL_IS

Its standard input is a pipe from the driver. A line there is a JSON list of the processes that Ray began with, each as
its number and its time of creation. The end of the pipe is the end of the driver, however that came: then these
processes and all that they started are killed, and the folder is removed. Ray ends most of them itself, but its agents
outlive a killed driver by a minute, and its folder for good.
"""

import contextlib
import json
import select
import shutil
import sys
import time
from pathlib import Path
from typing import Any

POLL = 2.0  # seconds between two looks at which processes there are


def main(folder: Path, psutil: Any) -> None:
    family: dict[int, Any] = {}
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], POLL)
        line = sys.stdin.readline() if readable else ""
        if readable and not line:
            break
        for number, created in json.loads(line or "[]"):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(number)
                if abs(process.create_time() - created) < 1:
                    family[number] = process
        _add_children(family, psutil)
    for process in family.values():
        with contextlib.suppress(psutil.Error):
            process.kill()  # only if the number is still that process's
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)  # a process that is being killed still writes


def _add_children(family: dict[int, Any], psutil: Any) -> None:
    for process in list(family.values()):
        with contextlib.suppress(psutil.Error):
            for child in process.children(recursive=True):
                family.setdefault(child.pid, child)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    import psutil  # type: ignore[import-not-found, import-untyped, unused-ignore]

    main(Path(sys.argv[1]), psutil)
