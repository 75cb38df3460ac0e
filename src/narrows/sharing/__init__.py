"""Secret sharing over a prime field: sums of many owners' data that no straggler can stall.

A table and a model are quantised (`fixed_point`), proved small enough (`bounds`), cut into
segments (`segments`), shared (`code`), computed on as shares (`evaluation`), and the sum is decoded
from any R responses (`decoding`), wrong ones among them corrected (`correction`). Which records all
have is found before that (`intersection`). docs/sharing.md has the maths with the names used here.
No sockets and no torch: plain functions on numpy arrays.
"""
