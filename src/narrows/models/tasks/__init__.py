"""Tasks beside classification: what their heads are, and how their outputs are read."""

from narrows.models.tasks.heads import HEADS, TaskHeads

__all__ = ["HEADS", "TaskHeads"]
