"""A Ray cluster for one server: an existing one, or one of its own that lets nobody else in."""

import logging
import os
import secrets
from collections.abc import Callable
from typing import Any


def connect(address: str | None, object_store_bytes: int) -> None:
    """Connect to the cluster at `address`; None: start one on this machine, with a token.

    This must come before anything else imports ray: it reads the token as it is imported.
    """
    if address is None:
        # Ray listens on every address and runs what it is told: let in only who has our token.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    namespace = f"narrows-{secrets.token_hex(4)}"  # of this server's actors alone
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        ray.init(address=address, namespace=namespace, **quiet)
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by default: whoever waits would feel it
    # `local`: else Ray would take one that somebody else started on this machine.
    own: dict[str, Any] = {
        "address": "local",
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    ray.init(object_store_memory=object_store_bytes, namespace=namespace, **own, **quiet)


def unwrapped(call: Callable[[], Any]) -> Any:
    """Ray wraps an actor's exception; the user should read the one inside."""
    from ray.exceptions import RayTaskError

    from narrows.errors import NarrowsError

    try:
        return call()
    except RayTaskError as error:
        cause = error.cause
        while isinstance(cause, RayTaskError):
            cause = cause.cause
        if isinstance(cause, NarrowsError):
            raise type(cause)(str(cause)) from None
        raise
