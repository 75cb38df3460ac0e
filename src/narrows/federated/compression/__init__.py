"""Compressed updates: what rounds send, up and down, at a fraction of its bytes.

A model is integers on a grid that both ends hold (`model`); what goes down are differences of it,
what comes up are updates, each tensor by the compressor (`compressors`) that a dynamic programme
chooses under an error budget (`plan`). Integers become bytes by the entropy coder under tables
sorted by what both ends know (`contexts`, `coding`, `messages`); what a message left out is fed
back into the next one. `mod` and `strategy` carry all that over Flower's Message API.
docs/updates.md has every byte.
"""
