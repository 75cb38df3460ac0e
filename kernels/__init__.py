"""Native code and its thin Python binding; a reference in plain Python where it is not built."""

from narrows.kernels.coder import BACKEND

__all__ = ["BACKEND"]
