"""Print what an install with extras depends on, a line each, for an image's layer of its own.

python3 requirements.py pyproject.toml server > requirements.txt
"""

import sys
from pathlib import Path

import tomllib


def main(project: Path, *extras: str) -> None:
    """The bare install's and the extras' requirements, extras of our own resolved."""
    told = tomllib.loads(project.read_text())["project"]
    for requirement in told["dependencies"]:
        print(requirement)
    for extra in extras:
        needs(told, extra)


def needs(project: dict, extra: str) -> None:  # type: ignore[type-arg]
    for requirement in project["optional-dependencies"][extra]:
        own = requirement.partition(f"{project['name']}[")[2]
        if own:
            needs(project, own.partition("]")[0])
        else:
            print(requirement)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
