"""What Ray reads from the environment, set before it is imported; a user's own values win."""

import contextlib
import os
import secrets
from pathlib import Path

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # trials are the work itself, not something to do in the background
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # a small /dev/shm is no reason to refuse
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run's folder keeps the rows; Tune's own logs cost most of its time
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command's to handle
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}


def prepare_ray(local: bool = True) -> None:
    """Make Ray and Tune quiet, and give a local Ray its access token.

    Without one in the environment Ray writes it under the home directory, which may be read-only. Where there is one
    already, or the user has chosen, that is left as it is.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(RuntimeError, OSError):  # no home directory at all
        if (Path.home() / ".ray" / "auth_token").exists():
            return
    chosen = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if local and not chosen and os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
