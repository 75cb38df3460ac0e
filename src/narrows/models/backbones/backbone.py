"""The common form of a cut network: `rest(front(x))` is the unsplit network."""

from torch import Tensor, nn


class Backbone(nn.Module):
    """A classifier cut where its features have 1/8 of the picture's side.

    front: (batch, 3, height, width), normalised -> (batch, cut_channels, height/8, width/8)
    rest: that -> logits (batch, labels)
    """

    STRIDE = 8

    def __init__(self, front: nn.Module, rest: nn.Module, cut_channels: int, cut: str):
        super().__init__()
        self.front, self.rest = front, rest
        self.cut_channels, self.cut = cut_channels, cut

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.front(x))
