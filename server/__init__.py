"""The server: replicas that finish networks, and the director that keeps them running on Ray."""
