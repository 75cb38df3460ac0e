"""A recipe at another budget: all methods at the same one, or minutes on a laptop."""

from narrows.training.recipe import Rated, Recipe, Views

EPOCHS, RATES = 2, 3


def quick(recipe: Recipe) -> Recipe:
    """Two epochs a phase of one view at 96 pixels, at most three rates: no result to quote."""
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


def of_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe's split phases, each its share of `epochs` and at least one; rates as they are."""
    total = sum(phase.epochs for phase in recipe.split)
    shares = [max(1, round(phase.epochs * epochs / total)) for phase in recipe.split]
    phases = zip(recipe.split, shares, strict=True)
    return recipe.model_copy(
        update={"split": tuple(p.model_copy(update={"epochs": n}) for p, n in phases)}
    )
