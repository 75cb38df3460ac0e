"""Mutual TLS for gRPC from the folder that `narrows pki` wrote for a device or a server."""

from pathlib import Path

import grpc

from narrows.security.files import read_credentials


def device_credentials(folder: Path) -> grpc.ChannelCredentials:
    """Trust the fleet's authority alone, and show this device's certificate.

    Raises:
        ConfigError: a file is missing, or others may read the key.
    """
    authority, key, certificate = read_credentials(folder, "device")
    return grpc.ssl_channel_credentials(authority, key, certificate)


def server_credentials(folder: Path) -> grpc.ServerCredentials:
    """Show this server's certificate, and talk to none without one of the fleet's authority.

    Raises:
        ConfigError: a file is missing, or others may read the key.
    """
    authority, key, certificate = read_credentials(folder, "server")
    return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
