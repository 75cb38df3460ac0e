"""Photographs, before any network: reading sets of them and bringing them to a network's size."""
