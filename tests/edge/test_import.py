"""A device needs neither torch nor ray, and little memory."""

import json
import subprocess
import sys
from pathlib import Path

BLOCKED = ("torch", "torchvision", "ray", "compressai", "cv2", "sqlite3")
BLOCK = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(name + " must not be needed here")
sys.meta_path.insert(0, Refuse())
"""
REPORT = """
import json
status = open("/proc/self/status").read()
rss = int(status.split("VmRSS:")[1].split()[0]) * 1024
kept_out = ("narrows.models", "narrows.training", "narrows.server")
rooms = [m for m in sys.modules if m.startswith(kept_out)]
print(json.dumps({"rss": rss, "modules": list(sys.modules), "rooms": rooms}))
"""
EVERYTHING = """
import numpy, pathlib
import narrows.edge.device, narrows.edge.fetch, narrows.cli._edge_run
from narrows.codec.manifest import Manifest
from narrows.edge.encoder import load_feature_encoder
from PIL import Image
bundle = pathlib.Path(sys.argv[1])
encoder = load_feature_encoder(bundle, Manifest.load(bundle))
assert len(encoder.encode(Image.new("RGB", (640, 480)), 0).data) > 22
"""


def in_a_process(code: str, *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-c", BLOCK + code + REPORT, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def test_importing_the_edge_loads_no_network_runtime() -> None:
    found = in_a_process("import narrows.edge, narrows.edge.device\n")
    modules = found["modules"]
    assert isinstance(modules, list)
    assert not {*BLOCKED, "onnxruntime"} & set(modules)
    assert found["rooms"] == []


def test_a_loaded_and_used_head_needs_no_runtime_and_little_memory(tiny_bundle: Path) -> None:
    found = in_a_process(EVERYTHING, str(tiny_bundle))
    rss, modules = found["rss"], found["modules"]
    assert isinstance(rss, int)
    assert isinstance(modules, list)
    assert not {*BLOCKED, "onnxruntime"} & set(modules)
    assert found["rooms"] == []
    libraries = in_a_process("import numpy, grpc.aio, PIL.Image, PIL.ImageOps\n")["rss"]
    assert isinstance(libraries, int)
    assert rss - libraries < 20e6  # what numpy and gRPC themselves take, machines differ in
