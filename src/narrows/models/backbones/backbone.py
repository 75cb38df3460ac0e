"""The common form of a cut network: `rest(front(x))` is the unsplit network."""

from torch import Tensor, nn


class Backbone(nn.Module):
    """A classifier cut where its features have 1/8 of the picture's side.

    front: (batch, 3, height, width), normalised -> (batch, cut_channels, height/8, width/8)
    body: that -> the last feature map (batch, body_channels, height/32, width/32)
    classify: that -> logits (batch, labels)
    rest: body and classify, what a tail keeps
    """

    STRIDE = 8

    def __init__(
        self,
        front: nn.Module,
        body: nn.Module,
        classify: nn.Module,
        cut: str,
        channels: tuple[int, int],
    ):
        """`channels`: of the cut and of the last feature map."""
        super().__init__()
        self.front = front
        self.rest = nn.Sequential(body, classify)
        self.cut = cut
        self.cut_channels, self.body_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.front(x))
