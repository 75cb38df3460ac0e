"""Federated rounds: devices improve the shared model with data that stays where it is."""
