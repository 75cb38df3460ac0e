"""Scenario files: what ships is sound, and what is wrong is told by its key."""

import pytest

pytest.importorskip("pydantic", reason="needs the server extra")
pytest.importorskip("simpy", reason="needs the server extra")

from narrows.errors import ConfigError
from narrows.simulations.links.profile import PROFILES
from narrows.simulations.scenarios.scenario import load_scenario, shipped

GOOD = """
name = "mine"
seconds = 5
deadline_ms = 200
[classes.camera]
devices = 2
fps = 1
link = "2mbit,20ms"
"""
FAULT = "[[faults]]\nat_s = 1\nfor_s = 1\n"


@pytest.mark.parametrize("name", shipped())
def test_what_ships_loads(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.about
    assert scenario.devices > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("seconds = 5", "seconds = 0"), "seconds: "),
        (("seconds = 5", "hours = 5"), "seconds: Field required|hours: "),
        (("fps = 1", "fps = 1\nspeed = 3"), r"classes.camera.speed: Extra inputs"),
        (("2mbit,20ms", "lte:x"), r"classes.camera.link: .*a whole number as the seed of lte"),
        (("fps = 1", 'fps = 1\nshared = "one"'), r"classes.camera.shared: "),
        (("2mbit,20ms", "fast"), r"classes.camera.link: .*expected a number"),
        (("fps = 1", "fps = -1"), r"classes.camera.fps: "),
        (("name =", 'ways = ["guess:1"]\nname ='), r"ways: .*expected one of fixed"),
        (("name =", 'ways = ["fixed:x"]\nname ='), r"ways: .*expected an operating point"),
        (("name =", 'ways = ["jpeg:0"]\nname ='), r"ways: .*expected a quality of 1 to 100"),
        (
            ("[classes", f'{FAULT}kind = "link"\ndevices = "bus"\n[classes'),
            r"faults.0.devices: no class 'bus'; there are camera",
        ),
        (
            ("[classes", f'{FAULT}kind = "killed"\nreplica = 3\n[classes'),
            r"faults.0.replica: 3, but server.replicas is 1",
        ),
        (("seconds = 5", "seconds = "), "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(tmp_path, change, named):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(ConfigError, match=rf"mine.toml.*({named})"):
        load_scenario(str(path))


def test_an_unknown_name_lists_what_ships():
    with pytest.raises(ConfigError, match=r"no scenario 'nowhere'; shipped: .*street"):
        load_scenario("nowhere")


@pytest.mark.parametrize("link", ["lora", "lte:7", "wifi", "2mbit,20ms", "trace.csv", "mine.toml"])
def test_a_class_has_any_link_that_the_relay_has(tmp_path, monkeypatch, link):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text("seconds,kbit/s,ms\n0,100,5\n1,0,5\n")
    (tmp_path / "mine.toml").write_text((PROFILES / "lte.toml").read_text())
    path = tmp_path / "scenario.toml"
    path.write_text(GOOD.replace("2mbit,20ms", link).replace("fps = 1", "fps = 1\nshared = true"))
    camera = load_scenario(str(path)).classes["camera"]
    assert (camera.link, camera.shared) == (link, True)
