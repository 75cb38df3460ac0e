"""Who may speak: the certificate authority of a fleet, credentials for gRPC, a peer's identity."""
