"""Federated rounds in this process: a data set dealt out, nodes, and what updates cost to send."""
