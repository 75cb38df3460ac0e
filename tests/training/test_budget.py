import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.training.budget import of_epochs, quick
from narrows.training.recipe import RECIPES, load_recipe

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("epochs", [2, 12, 31])
@pytest.mark.parametrize("name", NAMES)
def test_every_method_gets_the_same_epochs(name, epochs):
    recipe = load_recipe(name)
    scaled = of_epochs(recipe, epochs)
    phases = len(recipe.split)
    assert abs(sum(p.epochs for p in scaled.split) - max(epochs, phases)) < phases
    assert all(phase.epochs >= 1 for phase in scaled.split)
    assert scaled.coding == recipe.coding
    restored = zip(scaled.split, recipe.split, strict=True)
    assert [s.model_copy(update={"epochs": r.epochs}) for s, r in restored] == list(recipe.split)


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_recipe_is_still_a_valid_one(name):
    short = quick(load_recipe(name))
    assert type(short).model_validate(short.model_dump()) == short
    assert len(short.coding.rates) <= max(3, short.points)
