import pytest

pytest.importorskip("torch", reason="needs the server extra")

from narrows.errors import ConfigError
from narrows.training.recipe import RECIPES, load_recipe

SMALL = (RECIPES / "small.toml").read_text()


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_load(path):
    assert load_recipe(path.stem).name == path.stem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL.replace("decoder_blocks", "decoder_block"), "decoder_block"),
        (SMALL.replace("width = 64", "width = 0"), r"head\.width"),
        (SMALL.replace("batch = 30", "batch = 31", 1), "31: not a multiple"),
        (SMALL.replace("[1.0, 2.5,", "[2.5,"), "same number of rates"),
        ("= nonsense", "not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_what_is_wrong(tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_recipe(str(tmp_path / "mine.toml"))


def test_an_unknown_recipe_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match=r"shipped: .*small"):
        load_recipe("absent")
