"""Split computing over thin links: learned features, entropy coded, finished by a server."""
