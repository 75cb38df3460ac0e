"""The `narrows` command. Each subcommand is a module that imports what it needs when it runs."""

import sys

import typer

# These join the commands of `bench`.
from narrows.cli import bench_energy, bench_offload, bench_policy, bench_rounds  # noqa: F401
from narrows.cli.bench import bench
from narrows.cli.bundle import bundle
from narrows.cli.demo import demo
from narrows.cli.device import device
from narrows.cli.doctor import doctor
from narrows.cli.edge import edge
from narrows.cli.evaluate import evaluate
from narrows.cli.measure import measure
from narrows.cli.pki import pki
from narrows.cli.plan import plan
from narrows.cli.rounds import rounds
from narrows.cli.serve import serve
from narrows.cli.simulate import simulate
from narrows.cli.top import top
from narrows.cli.train import train
from narrows.cli.vertical import vertical
from narrows.errors import NarrowsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Split computing over thin links: a device codes features, a server finishes the network.",
)
for command in (demo, edge, serve, top, evaluate, measure, train, simulate, plan, doctor):
    app.command()(command)
app.add_typer(bundle, name="bundle")
app.add_typer(pki, name="pki")
app.add_typer(device, name="device")
app.add_typer(vertical, name="vertical")
app.add_typer(rounds, name="rounds")
app.add_typer(bench, name="bench")


def main() -> None:
    """Run the command line; a NarrowsError becomes one line and exit code 2."""
    try:
        app()
    except NarrowsError as error:
        print(f"narrows: {error}", file=sys.stderr)
        sys.exit(2)
