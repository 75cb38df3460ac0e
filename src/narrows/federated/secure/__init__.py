"""Secure aggregation: the server learns the sum of the clients' updates, and no single one.

An update is clipped, cut to what all clients send and quantised (`updates`), so that sums are sums
of small integers, proved not to wrap (`terms`). Each client hides its integers under masks that
cancel in the sum (`masks`); what takes away the masks of those who vanish is shared among holders
(`shares`). `member` is a client's part of the protocol, `round` the server's; neither knows a
transport. `mod` and `strategy` carry their messages over Flower's Message API, `privacy` adds
differential privacy by Flower's wrappers. docs/federated.md says what is protected from whom.

Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning" (CCS 2017).
"""
