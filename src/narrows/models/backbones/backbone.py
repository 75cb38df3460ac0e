"""The common form of a cut network: `rest(front(x))` is the unsplit network."""

from collections.abc import Iterator

from torch import Tensor, nn

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Backbone(nn.Module):
    """A classifier cut where its features have 1/stride of the picture's side.

    front: (batch, 3, height, width), normalised -> (batch, cut_channels, height/s, width/s)
    body: that -> the last feature map (batch, body_channels, height/32, width/32); its children are
        the stages whose outputs distillation compares
    classify: that -> logits (batch, labels); ends with a linear layer
    rest: body and classify, what a tail keeps
    tasks: heads beside the classifier on the body's stages, if any
    """

    def __init__(
        self,
        front: nn.Module,
        body: nn.Sequential,
        classify: nn.Sequential,
        cut: str,
        channels: tuple[int, int],
        stride: int,
        pixels: tuple[Triple, Triple] = IMAGENET,
    ):
        """`channels`: of the cut and of the last map. `pixels`: mean and deviation, of 0..1."""
        super().__init__()
        self.front = front
        self.rest = nn.Sequential(body, classify)
        self.tasks: nn.Module | None = None
        self.cut, self.stride = cut, stride
        self.cut_channels, self.body_channels = channels
        self.mean, self.std = pixels

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.front(x))

    @property
    def classifier(self) -> nn.Linear:
        """The linear layer whose outputs are the logits."""
        last = [m for m in self.rest[1].modules() if isinstance(m, nn.Linear)][-1]
        return last

    def penultimate(self, maps: Tensor) -> Tensor:
        """The last feature map (batch, body_channels, h, w) -> what `classifier` takes."""
        pool, flatten, head = self.rest[1].children()
        x: Tensor = flatten(pool(maps))
        for layer in list(head.children())[:-1]:
            x = layer(x)
        return x


def stage_outputs(body: nn.Module, features: Tensor) -> Iterator[Tensor]:
    """What every stage of a body gives, the last feature map last."""
    for stage in body.children():
        features = stage(features)
        yield features
