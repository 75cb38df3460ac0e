"""When a connection may do without TLS."""

import ipaddress
import logging

from narrows.errors import ConfigError

log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def allow_plain_text(host: str, insecure: bool, force: bool) -> None:
    """Nothing on loopback; beyond it only where `insecure` and `force` say so, and loudly.

    Raises:
        ConfigError: TLS is needed.
    """
    if is_loopback(host):
        if insecure:
            log.warning("PLAIN TEXT on %s: everybody on this machine is let in", host)
        return
    if not insecure:
        raise ConfigError(
            f"{host} is beyond this machine: give --tls (`narrows pki` makes certificates), or "
            "--insecure --force where the network is trusted"
        )
    if not force:
        raise ConfigError(
            f"--insecure on {host}: anybody who reaches it is let in and reads along; add --force "
            "if the network is trusted"
        )
    log.warning("PLAIN TEXT on %s: anybody who reaches it is let in and reads along", host)
