"""The device: a picture becomes features, features a packet, the server's answer one record.

source -> encoder (head, codec) -> session (link) -> record. Nothing here needs torch; ONNX Runtime
is loaded with the first network.
"""
