"""The server's half in Flower: `flwr run` starts it, `rounds` does it."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from narrows.federated.rounds import run_rounds
from narrows.federated.settings import ServerSettings

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Rounds as the run's configuration says, to a new bundle."""
    run_rounds(grid, ServerSettings.of(context.run_config))
