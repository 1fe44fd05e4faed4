"""What Ray reads from the environment, set before it is imported; a user's own values win."""

import logging
import os
import secrets
import sys

LOG = logging.getLogger("proxyset")

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # trials are the work itself, not something to do in the background
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",  # a small /dev/shm is no reason to refuse
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray's words about its own processes, which go to stdout where results belong
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run's folder keeps the rows; Tune's own logs cost most of its time
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command's to handle
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}


LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # by which Ray listens on the loopback only, on any system
}


def prepare_ray(local: bool = True) -> None:
    """Make Ray and Tune quiet; keep a Ray of our own on this machine to itself.

    It listens on the loopback only, and asks for a token that only this process and what it starts have. Without one in
    the environment Ray would write it under the home directory, which may be read-only. A token, or the wish for none,
    that the user has chosen is left as it is.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not local:
        return
    for name, value in LOCAL.items():
        os.environ.setdefault(name, value)
    chosen = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if "ray" in sys.modules and not chosen and os.environ.get("RAY_AUTH_MODE") != "token":
        _make_local_late()
    elif not chosen and os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _make_local_late() -> None:
    """Where a script has imported Ray itself, whose mind is then made up: the loopback can be had, a token cannot."""
    constants = sys.modules.get("ray._private.ray_constants")
    if constants is not None and os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0":
        constants.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]
    LOG.info("ray was imported before proxyset used it: it starts without a token")
