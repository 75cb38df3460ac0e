"""The command line: it teaches, it is light, and its errors are one line."""

import json
import shutil
import subprocess
import sys

import pytest
from command_line import narrows
from PIL import Image

from narrows.codec.frame import load_frame_codec
from narrows.codec.manifest import Manifest

COMMANDS = [
    "demo",
    "edge",
    "serve",
    "evaluate",
    "measure",
    "train",
    "simulate",
    "plan",
    "doctor",
    "bundle",
    "bench",
]


def test_help_lists_every_command_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom narrows.cli import main\n"
        "sys.argv = ['narrows', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'ray', 'onnxruntime', 'grpc'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(command in shown.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    assert narrows(command, "--help").returncode == 0


def test_arguments_are_explained():
    assert "A picture, folder, tar of class folders" in narrows("edge", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bundle", "verify", "."), "manifest.json: expected a bundle's manifest"),
        (("serve", "absent"), "expected a bundle's manifest"),
        (("evaluate", "absent", "--data", "absent.tar"), "absent.tar: expected a folder or a tar"),
        (("train", "absent.tar", "--out", "x", "--recipe", "absent"), "no recipe 'absent'"),
        (("serve", ".", "--executor", "slurm"), "expected local or ray"),
        (("bench", "energy", "--sensor", "model:pi4"), "no sensor to fit a model to"),
        (("serve", ".", "--tail", "fast"), "--tail 'fast': expected auto, eager, compiled"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(arguments, said):
    pytest.importorskip("torch", reason="needs the server extra")
    done = narrows(*arguments)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("narrows: ")
    assert said in last
    assert "Traceback" not in done.stderr


def test_a_bundle_is_inspected_signed_and_verified(tiny_bundle, tmp_path):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    assert json.loads(narrows("bundle", "inspect", str(bundle), "--json").stdout)["name"] == "tiny"
    assert "tiny" in narrows("bundle", "inspect", str(bundle)).stdout
    assert narrows("bundle", "sign", str(bundle), "--key", str(tmp_path / "key")).returncode == 0
    key = ("--public-key", str(tmp_path / "key.pub"))
    assert json.loads(narrows("bundle", "verify", str(bundle), *key, "--json").stdout)["ok"]
    (bundle / "tables.safetensors").write_bytes(b"altered")
    assert narrows("bundle", "verify", str(bundle)).returncode == 2


def test_a_bundle_gets_tables_for_videos(tiny_bundle, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    before = Manifest.load(folder)
    for number, colour in enumerate(("red", "green", "blue")):
        photograph = tmp_path / "set" / colour / f"{number}.png"
        photograph.parent.mkdir(parents=True)
        Image.effect_noise((40, 50), 60).convert("RGB").save(photograph)
    told = narrows("bundle", "video", str(folder), "--data", str(tmp_path / "set"), "--json")
    assert json.loads(told.stdout)["sequences"] == 3
    after = Manifest.load(folder)
    after.verify_files(folder)
    assert after.digest != before.digest
    assert len(load_frame_codec(folder, after).inter) == 3


def test_doctor_says_what_works():
    command = [sys.executable, "-m", "narrows", "doctor"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0
    assert checks["onnxruntime"]["ok"]
    assert narrows("doctor").stdout.startswith("ok")
