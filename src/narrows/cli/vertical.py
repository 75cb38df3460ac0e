"""`narrows vertical`: learn together from different columns of the same records."""

from pathlib import Path
from typing import Annotated

import typer

vertical = typer.Typer(
    no_args_is_help=True,
    help="Train one model on columns that stay with their owners: secret shares, any R answers.",
)
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Plain text beyond this machine.")]
Force = Annotated[bool, typer.Option("--force", help="With --insecure: really.")]


@vertical.command()
def serve(
    records: Annotated[Path, typer.Argument(help="Table with the records' ids and labels.")],
    parties: Annotated[int, typer.Option(min=3, help="N: so many must come to begin.")],
    label: Annotated[str, typer.Option(help="The label's column.")] = "label",
    id: Annotated[
        str | None, typer.Option(help="The ids' column; the records' numbers by default.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the session; one that stands there goes on.")
    ] = Path("vertical-session"),
    predict: Annotated[
        Path | None,
        typer.Option(help="A session's folder: predict RECORDS with what it learnt. No --label."),
    ] = None,
    party: Annotated[
        list[str] | None, typer.Option(help="A party's name, again for each; any by default.")
    ] = None,
    stragglers: Annotated[int, typer.Option(min=0, help="S: so many may never answer.")] = 1,
    privacy: Annotated[int, typer.Option(min=1, help="T: so many together learn nothing.")] = 1,
    wrong: Annotated[int, typer.Option(min=0, help="A: so many wrong answers are corrected.")] = 0,
    factors: Annotated[
        int, typer.Option(min=1, max=2, help="F: parties' networks, linear or quadratic.")
    ] = 1,
    width: Annotated[int, typer.Option(min=1, help="Sums of each record.")] = 16,
    hidden: Annotated[str, typer.Option(help="Layers of the top network: 32 or 64,32.")] = "32",
    batch_rows: Annotated[
        int, typer.Option(min=1, help="b: a round takes K times so many records.")
    ] = 32,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training records.")] = 10,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Of the records, to measure with.")
    ] = 0.2,
    rate: Annotated[float, typer.Option(help="Adam's, of everybody.")] = 0.01,
    seed: Annotated[int, typer.Option(help="Of the order and the top network.")] = 0,
    data_limit: Annotated[float, typer.Option(help="Columns are held to +- this.")] = 8.0,
    weight_limit: Annotated[float, typer.Option(help="Weights are held to +- this.")] = 8.0,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Tables are in one order already: compare no ids.")
    ] = False,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="PROTECTS NOTHING: parties send their parts in the clear."),
    ] = False,
    party_hidden: Annotated[
        int, typer.Option(min=0, help="With --plain: a hidden layer at each party.")
    ] = 0,
    wait: Annotated[
        str,
        typer.Option(
            help="threshold (R + 2A answers) or all; with --plain all, drop or asynchronous."
        ),
    ] = "",
    share_wait_seconds: Annotated[
        float, typer.Option(help="For a silent party's shares, once; then its last ones do.")
    ] = 5.0,
    deadline_seconds: Annotated[float, typer.Option(help="Of a round with --wait drop.")] = 1.0,
    decoders: Annotated[int, typer.Option(min=1, help="Ray actors that decode.")] = 1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 50052,
    tls: Annotated[
        Path | None, typer.Option(help="This server's folder from `narrows pki server`.")
    ] = None,
    console: Annotated[
        int | None, typer.Option(help="A page at http://127.0.0.1:PORT/; 0: any.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster; one of its own by default.")
    ] = None,
    insecure: Insecure = False,
    force: Force = False,
    log: Annotated[str, typer.Option(help="The log on stderr: `text` or `json`.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    json: Json = False,
) -> None:
    """Coordinate: relay shares, decode sums, learn the top network. Sees no party's columns.

    Ends when all epochs are done: OUT/top.safetensors, OUT/predictions.csv of the held-out
    records, OUT/result.json. Ended before, it goes on where it was.
    """
    from narrows.cli._vertical_run import Asked, layers, run_serve
    from narrows.security.plaintext import allow_plain_text
    from narrows.server.vertical.plan import Plan

    if tls is None:
        allow_plain_text(host, insecure, force)
    plan = Plan(
        parties=parties,
        stragglers=stragglers,
        privacy=privacy,
        wrong=wrong,
        factors=factors,
        width=width,
        hidden=layers(hidden),
        batch_rows=batch_rows,
        epochs=0 if predict else epochs,
        held_out=held_out,
        rate=rate,
        seed=seed,
        data_limit=data_limit,
        weight_limit=weight_limit,
        waiting=(wait or ("all" if plain else "threshold")),  # type: ignore[arg-type]  # it checks
        protected=not plain,
        party_hidden=party_hidden,
        aligned=aligned,
        share_wait_s=share_wait_seconds,
        deadline_s=deadline_seconds,
        decoders=decoders,
    )
    asked = Asked(records, label, id, predict, out, tuple(party or ()))
    run_serve(plan, asked, host, port, tls, console, ray_address, log, log_level, json)


@vertical.command()
def demo(
    data: Annotated[
        str,
        typer.Option(help="breast_cancer or digits; with --folder adult, mfeat, fashion, ..."),
    ] = "breast_cancer",
    folder: Annotated[Path | None, typer.Option(help="That has the data's file.")] = None,
    parties: Annotated[int, typer.Option(min=3, help="N.")] = 6,
    stragglers: Annotated[int, typer.Option(min=0, help="S.")] = 1,
    privacy: Annotated[int, typer.Option(min=1, help="T.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training records.")] = 6,
    kill: Annotated[
        int, typer.Option(min=0, help="Parties that are killed after the first epoch.")
    ] = 1,
    json: Json = False,
) -> None:
    """A coordinator and parties as processes of this machine, on data that comes along."""
    from narrows.errors import ConfigError
    from narrows.server.vertical.plan import Plan
    from narrows.simulations.vertical.demo import show_demo

    if kill > stragglers:
        raise ConfigError(f"--kill {kill}: with S = {stragglers} the rest could not go on")
    plan = Plan(parties, stragglers, privacy, epochs=epochs)
    show_demo(data, folder, plan, kill, json)


@vertical.command()
def join(
    table: Annotated[Path, typer.Argument(help="This party's columns: CSV, Parquet or NPZ.")],
    name: Annotated[str, typer.Option(help="This party's; its certificate's with --tls.")],
    coordinator: Annotated[str, typer.Option(help="host:port")] = "127.0.0.1:50052",
    columns: Annotated[
        str | None, typer.Option(help="Which, with commas; all but the ids by default.")
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="The ids' column; the records' numbers by default.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="What is kept of the session, to come back with; vertical-NAME."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="FOLDER of a session before, to predict with.")
    ] = None,
    privacy: Annotated[int, typer.Option(min=1, help="Agree to no T below this.")] = 1,
    allow_plain: Annotated[
        bool, typer.Option("--allow-plain", help="Agree to send everything in the clear.")
    ] = False,
    tls: Annotated[
        Path | None, typer.Option(help="This party's folder from `narrows pki enroll`.")
    ] = None,
    insecure: Insecure = False,
    delay_ms: Annotated[
        float, typer.Option(min=0, help="To measure: mean of exponential delays of answers.")
    ] = 0.0,
    give_up_seconds: Annotated[
        float, typer.Option(help="End when no coordinator is there for so long.")
    ] = 60.0,
    json: Json = False,
) -> None:
    """Take part with a table that stays here. Ends with the session; its part is in FOLDER.

    Ended before, and started again with the same FOLDER, it comes back to the same session.
    """
    from narrows.cli._vertical_run import Joining, run_join

    run_join(
        Joining(
            table=table,
            name=name,
            coordinator=coordinator,
            columns=tuple(c.strip() for c in columns.split(",")) if columns else None,
            id_column=id,
            folder=folder or Path(f"vertical-{name}"),
            model=model,
            least_privacy=privacy,
            allow_plain=allow_plain,
            tls=tls,
            insecure=insecure,
            delay_s=delay_ms / 1e3,
            give_up_s=give_up_seconds,
            json=json,
        )
    )
