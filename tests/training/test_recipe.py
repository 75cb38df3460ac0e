import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.errors import ConfigError
from narrows.training.recipe import RECIPES, load_recipe

CLASSIFY = (RECIPES / "classify.toml").read_text()


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_load(path):
    assert load_recipe(path.stem).name == path.stem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CLASSIFY.replace("freeze_norms", "freeze_norm"), "freeze_norm"),
        (CLASSIFY.replace("deep_blocks", "depp_blocks"), "depp_blocks"),
        (CLASSIFY.replace('kind = "patch"', 'kind = "pitch"'), "pitch.*choose one of: patch"),
        (CLASSIFY.replace("up = 2", "up = 2\ndown = 3"), "'slim'.*down"),
        (CLASSIFY.replace('kind = "rated"', 'kind = "rate"'), "coding"),
        (CLASSIFY.replace("learning_rate = 3e-3", "learning_rate = -1"), r"learning_rate"),
        (CLASSIFY.replace("batch = 18", "batch = 17", 1), "17: not a multiple"),
        (CLASSIFY.replace("[[unsplit]]", "[[unspilt]]"), "unspilt"),
        ("= nonsense", "not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_what_is_wrong(tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_recipe(str(tmp_path / "mine.toml"))


def test_an_unknown_recipe_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match=r"shipped: .*classify"):
        load_recipe("absent")
