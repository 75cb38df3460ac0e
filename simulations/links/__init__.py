"""Thin links on one machine: a rate and a delay each way, and outages, without root or netem."""
