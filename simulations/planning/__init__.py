"""Capacity: service times measured here, the queueing curve of one replica, a fleet of many."""
