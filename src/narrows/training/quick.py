"""A recipe cut down to minutes on a laptop: the same path, no result to quote."""

from narrows.training.recipe import Rated, Recipe, Views

EPOCHS, RATES = 2, 3


def quick(recipe: Recipe) -> Recipe:
    """At most two epochs a phase of one view at 96 pixels, at most three rates."""
    coding = recipe.coding
    if isinstance(coding, Rated):
        chosen = coding.rates[:: max(1, len(coding.rates) // RATES)][:RATES]
        coding = coding.model_copy(update={"rates": chosen})
    short = {"epochs": EPOCHS, "side": 96, "batch": 18}
    return recipe.model_copy(
        update={
            "coding": coding,
            "views": Views(count=1, side=96),
            "unsplit": tuple(p.model_copy(update=short) for p in recipe.unsplit),
            "split": tuple(p.model_copy(update=short) for p in recipe.split),
        }
    )
