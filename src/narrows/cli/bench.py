"""`narrows bench`: our parts and their peers, interleaved in one run, as ratios of medians."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from narrows.errors import ConfigError

bench = typer.Typer(no_args_is_help=True, help="Measure a part beside its peers, in one run.")

DEFAULT_METHODS = "ours,patch_n4,entropic_student,jpeg,webp,avif,device_only"
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


def _drawable(plot: Path | None) -> Path | None:
    """Refuse before the measuring what could not be drawn after it."""
    if plot is not None and find_spec("matplotlib") is None:
        raise ConfigError("--plot draws with matplotlib: pip install 'narrows[server]'")
    if plot is not None and not plot.parent.is_dir():
        raise ConfigError(f"--plot {plot}: {plot.parent} is no folder: make it first")
    return plot


Plot = Annotated[
    Path | None,
    typer.Option(help="Write a picture of the results.", metavar="PNG", callback=_drawable),
]


@bench.command()
def coder(
    json: Json = False,
    plot: Plot = None,
    threads: Annotated[int, typer.Option(min=2, help="Python threads to compare with one.")] = 2,
) -> None:
    """The entropy coder beside CompressAI, constriction, torchac and zstd, on the same symbols."""
    from narrows.simulations.bench.coder import run_coder_bench

    run_coder_bench(json, plot, threads)


@bench.command()
def field(
    json: Json = False,
    threads: Annotated[int, typer.Option(min=1, help="Of our kernel and of BLAS.")] = 1,
) -> None:
    """The matrix product modulo a prime beside limbs in float64, and plain float products."""
    from narrows.simulations.bench.field import run_field_bench

    run_field_bench(json, threads)


@bench.command()
def head(
    json: Json = False,
    plot: Plot = None,
    threads: Annotated[int, typer.Option(min=0, help="Of every runtime; 0: all cores.")] = 1,
    bundle: Annotated[Path, typer.Option(help="Whose head and device path.")] = Path(
        "models/zoo/classify"
    ),
    compiled: Annotated[
        bool, typer.Option("--compiled", help="torch.compile too: a minute more.")
    ] = False,
) -> None:
    """The head beside ONNX Runtime, OpenVINO, LiteRT and torch; the device path and its process."""
    try:
        from narrows.simulations.bench.head import run_head_bench
    except ImportError as error:
        raise ConfigError(
            f"{error}: heads are written as ONNX for every runtime: pip install 'narrows[server]'"
        ) from None
    run_head_bench(bundle, json, plot, threads, compiled)


@bench.command()
def rd(
    data: Annotated[
        list[Path],
        typer.Option(help="Class folders or, with --task, an annotated set; again: more."),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="Recipes, picture codecs (jpeg, webp, avif, CompressAI's), device_only; with "
            "--task codecs, bundles' folders, and device:FOLDER for a small network on the device.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A multi-task bundle: classification, detection, segmentation, or all."),
    ] = None,
    run: Annotated[
        Path, typer.Option(help="Crops, checkpoints and measurements; the same one resumes.")
    ] = Path("runs/rd"),
    unsplit: Annotated[
        Path | None,
        typer.Option(
            help="A bundle whose unsplit network every method splits, models/zoo/classify by "
            "default; with --task the multi-task bundle, models/zoo/scene by default.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Split this pretrained network instead (mobilenet_v2, resnet50, ...)."),
    ] = None,
    teacher_weights: Annotated[
        Path | None, typer.Option(help="Its weights as safetensors; torchvision's own by default.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Minutes on a laptop; shows the path, not the result.")
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Train every method, `ours` too, for this long: equal budgets."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs to measure on.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same run.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write every point as a line.")] = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Accuracy against bytes, arithmetic and device time: bottlenecks beside picture codecs.

    Trains every learned method that was not trained before (`ours` is the bundle itself unless a
    teacher is split or --epochs given), then measures all on photographs kept out, through real
    packets and files.
    Ratios are our bytes over theirs at 1 and 3 points below the unsplit network.
    """
    try:
        from narrows.simulations.rate_distortion.run import Benchmark, check_methods, run_rd_bench
    except ImportError as error:
        raise ConfigError(f"{error}: methods are trained: pip install 'narrows[train]'") from None
    if task is not None:
        from narrows.simulations.rate_distortion.scenes import SceneBenchmark, run_scene_bench

        chosen = tuple((methods or "ours,jpeg,webp,avif").split(","))
        scene = unsplit or Path("models/zoo/scene")
        run_scene_bench(SceneBenchmark(tuple(data), scene, task, chosen, limit), json, plot)
        return
    names = check_methods(methods or DEFAULT_METHODS)
    if len(data) > 1:
        raise ConfigError("several sets are measured with --task alone")
    classify = unsplit or Path("models/zoo/classify")
    asked = Benchmark(
        data[0], names, run, classify, teacher, teacher_weights, quick, epochs, limit, seed
    )
    run_rd_bench(asked, json, csv, plot)


@bench.command()
def video(
    data: Annotated[Path, typer.Option(help="A folder of class folders, or a tar of one.")],
    bundle: Annotated[Path, typer.Option(help="With tables for videos.")] = Path(
        "models/zoo/classify"
    ),
    limit: Annotated[int, typer.Option(min=1, help="Photographs to make sequences of.")] = 100,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Frames coded against the one before, beside intra coding and, with ffmpeg, H.264 and H.265.

    On cameras that stand and pan over held-out photographs: bytes a frame and accuracy.
    """
    try:
        from narrows.simulations.bench.video import run_video_bench
    except ImportError as error:
        raise ConfigError(f"{error}: the tail is run: pip install 'narrows[server]'") from None
    run_video_bench(bundle, data, limit, json, plot)


@bench.command()
def branch(
    recipe: Annotated[
        str, typer.Option(help="A recipe with tasks: its tail, untrained.")
    ] = "scene",
    bundles: Annotated[
        list[Path] | None, typer.Option(help="Trained bundles to compare instead; again: more.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Annotated sets to score them on; again: more.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Photographs to score on.")] = None,
    json: Json = False,
) -> None:
    """What it costs the server where task heads leave the shared body, and what it brings."""
    try:
        from narrows.simulations.bench.branch import run_branch_bench
    except ImportError as error:
        raise ConfigError(f"{error}: tails are built: pip install 'narrows[train]'") from None
    run_branch_bench(recipe, bundles or [], data or [], limit, json)


@bench.command()
def serve(
    scenario: Annotated[
        str, typer.Option(help="MLPerf's: single, multi, server (Poisson arrivals) or offline.")
    ] = "single",
    bundle: Annotated[Path, typer.Option(help="What to serve.")] = Path("models/zoo/classify"),
    executor: Annotated[
        str, typer.Option(help="local or ray, as `narrows serve` has it.")
    ] = "local",
    seconds: Annotated[float, typer.Option(min=1, help="Of load, in three parts.")] = 30.0,
    streams: Annotated[int, typer.Option(min=1, help="Devices (server, offline).")] = 4,
    window: Annotated[int, typer.Option(min=1, help="Frames in flight of each (offline).")] = 16,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Frames a second (server); 70 % of its throughput by default."),
    ] = None,
    deadline_ms: Annotated[int, typer.Option(min=0, help="Of every frame; 0: none.")] = 0,
    point: Annotated[int, typer.Option(min=0, help="Operating point.")] = 2,
    max_batch: Annotated[int, typer.Option(min=1, help="As `narrows serve` has it.")] = 16,
    threads: Annotated[int, typer.Option(min=1, help="Of the server and of the bare tail.")] = 1,
    json: Json = False,
) -> None:
    """A server under load from another process: throughput, latency, and what it adds to the tail.

    Beside it, in the same run: the tail fed from memory, and a bare gRPC echo of the same frames.
    """
    try:
        from narrows.simulations.bench.serve import Asked, run_serve_bench
    except ImportError as error:
        raise ConfigError(f"{error}: a server is run: pip install 'narrows[server]'") from None
    run_serve_bench(
        Asked(
            bundle, scenario, executor, seconds, streams, window, rate, deadline_ms, point,
            max_batch, threads,
        ),
        json,
    )  # fmt: skip


@bench.command()
def faults(
    fault: Annotated[
        str, typer.Option(help="kill (a replica), freeze (the server), cut (the link) or storm.")
    ] = "kill",
    bundle: Annotated[Path, typer.Option(help="What to serve.")] = Path("models/zoo/classify"),
    times: Annotated[int, typer.Option(min=1, help="Kills or outages.")] = 10,
    seconds: Annotated[float, typer.Option(min=1, help="Of cancelled frames (storm).")] = 600.0,
    json: Json = False,
) -> None:
    """What a fault costs: gaps, lost and doubled frames, how soon an outage is noticed and healed.

    Real processes and sockets: SIGKILL of replicas, SIGSTOP of a server, a link that carries
    nothing for ten seconds, half of the frames cancelled by their device.
    """
    try:
        from narrows.simulations.bench.faults import run_faults_bench
    except ImportError as error:
        raise ConfigError(f"{error}: a server is run: pip install 'narrows[server]'") from None
    run_faults_bench(fault, bundle, times, seconds, json)


@bench.command()
def tail(
    bundle: Annotated[Path, typer.Option(help="Whose tail.")] = Path("models/zoo/classify"),
    threads: Annotated[int, typer.Option(min=1, help="Of the tail.")] = 1,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`.")] = "auto",
    build: Annotated[
        bool, typer.Option("--build", help="Compile first what is not in the cache: minutes.")
    ] = False,
    json: Json = False,
) -> None:
    """The ways this machine can run a tail: eager or compiled, in float32 or bfloat16."""
    try:
        from narrows.simulations.bench.tail import run_tail_bench
    except ImportError as error:
        raise ConfigError(f"{error}: a tail is run: pip install 'narrows[server]'") from None
    run_tail_bench(bundle, device, threads, build, json)


@bench.command()
def inversion(
    data: Annotated[Path, typer.Option(help="Photographs with parts train and val.")],
    bundle: Annotated[Path, typer.Option(help="Whose packets are attacked.")] = Path(
        "models/zoo/classify"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Of the attacker's training.")] = 12,
    limit: Annotated[
        int | None, typer.Option(min=16, help="Photographs it trains on; all by default.")
    ] = None,
    kept_out: Annotated[int, typer.Option(min=4, help="Photographs it is measured on.")] = 200,
    run: Annotated[Path, typer.Option(help="Checkpoints; the same one resumes.")] = Path(
        "runs/inversion"
    ),
    json: Json = False,
    plot: Plot = None,
    drawn: Annotated[
        Path | None, typer.Option(help="A set whose first photographs are plotted instead.")
    ] = None,
) -> None:
    """How much of a picture an attacker gets back from its packet, at every operating point.

    Trains a network from packets to pixels (one core: a minute or two an epoch of 5,000), and
    measures PSNR and SSIM on photographs kept out, beside the mean photograph, JPEG and WebP files
    of as many bytes, and thumbnails.
    """
    try:
        from narrows.simulations.bench.inversion import Attack, run_inversion_bench
    except ImportError as error:
        raise ConfigError(
            f"{error}: an attacker is trained: pip install 'narrows[server]'"
        ) from None
    run_inversion_bench(Attack(bundle, data, epochs, limit, kept_out, run), json, plot, drawn)


@bench.command()
def straggling(
    data: Annotated[
        Path | None, typer.Option(help="The folder with the sets' files; breast_cancer needs none.")
    ] = None,
    sets: Annotated[
        str, typer.Option(help="breast_cancer, credit_default, adult, mfeat, fashion, ...")
    ] = "breast_cancer",
    parties: Annotated[str, typer.Option(help="N; several by commas.")] = "10",
    ways: Annotated[
        str, typer.Option(help="Who straggles: none, some (S), everyone, slow (one), dying (S).")
    ] = "some",
    stragglers: Annotated[
        int | None, typer.Option(min=0, help="S; a fifth of the parties by default.")
    ] = None,
    privacy: Annotated[int, typer.Option(min=1, help="T: so many together learn nothing.")] = 1,
    factors: Annotated[
        int, typer.Option(min=1, max=2, help="Of a party's network: 1 linear, 2 quadratic.")
    ] = 1,
    delay_ms: Annotated[float, typer.Option(min=0, help="Of a straggler, on average.")] = 100.0,
    deadline_ms: Annotated[
        float, typer.Option(min=1, help="Of dropping, and for late shares of weights.")
    ] = 50.0,
    compute_ms: Annotated[
        float, typer.Option(min=0.1, help="Arithmetic and both ways of any answer.")
    ] = 10.0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of every set; each set's own by default.")
    ] = None,
    records: Annotated[int | None, typer.Option(min=50, help="At most, of every set.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs that figures are means of.")] = 3,
    csv: Annotated[Path | None, typer.Option(help="Write every row as a line.")] = None,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """Vertical training under stragglers: accuracy and time of secret shares beside other waits.

    Time is virtual: delays, and a fixed figure for any answer. What is learnt is computed with the
    parties' and the coordinator's own code, on the integers that shares decode to.
    """
    try:
        from narrows.simulations.vertical.straggling import Asked, run_straggling_bench
    except ImportError as error:
        raise ConfigError(f"{error}: networks are trained: pip install 'narrows[server]'") from None
    try:
        counts = tuple(int(n) for n in parties.split(","))
    except ValueError:
        raise ConfigError(f"--parties {parties}: expected numbers, as 6,10") from None
    asked = Asked(
        data, tuple(sets.split(",")), counts, tuple(ways.split(",")), stragglers, privacy, factors,
        delay_ms, deadline_ms, compute_ms, epochs, records, seeds,
    )  # fmt: skip
    run_straggling_bench(asked, json, csv, plot)


@bench.command()
def vertical(
    json: Json = False,
    parties: Annotated[int, typer.Option(min=3, help="N.")] = 10,
    stragglers: Annotated[int, typer.Option(min=0, help="S: the least that may never answer.")] = 2,
    privacy: Annotated[int, typer.Option(min=1, help="T.")] = 1,
    wrong: Annotated[int, typer.Option(min=0, help="A: wrong results a round corrects.")] = 0,
    data: Annotated[
        str,
        typer.Option(help="digits or breast_cancer; with --folder adult, mfeat, fashion, ..."),
    ] = "digits",
    folder: Annotated[Path | None, typer.Option(help="That has the data's file.")] = None,
    delay_ms: Annotated[
        float, typer.Option(min=1, help="Mean of the exponential delay of each party's results.")
    ] = 500.0,
    rounds: Annotated[int, typer.Option(min=1, help="About so many with delays.")] = 30,
    epochs: Annotated[int, typer.Option(min=1, help="Of the session that is scored.")] = 10,
) -> None:
    """Sessions on secret shares with late parties: rounds ended by any R, beside waiting for all.

    And what is learnt beside one network over all columns, and whether decoding is exact.
    """
    from narrows.server.vertical.plan import Plan
    from narrows.simulations.vertical.bench import RECORDS_A_ROUND, run_vertical_bench

    plan = Plan(parties, stragglers, privacy, wrong, epochs=epochs, aligned=True)
    plan = replace(plan, batch_rows=max(1, RECORDS_A_ROUND // plan.code.segments))
    run_vertical_bench(data, folder, plan, delay_ms / 1e3, rounds, json)


@bench.command()
def leakage(
    data: Annotated[
        str,
        typer.Option(help="breast_cancer or digits; with --folder adult, mfeat, fashion, ..."),
    ] = "breast_cancer",
    folder: Annotated[Path | None, typer.Option(help="That has the data's file.")] = None,
    limit: Annotated[int | None, typer.Option(min=100, help="So many records at most.")] = None,
    parties: Annotated[int, typer.Option(min=2, help="Who share the columns.")] = 6,
    epochs: Annotated[int, typer.Option(min=1, help="Of the training that is looked at.")] = 20,
    width: Annotated[int, typer.Option(min=1, help="Numbers of an embedding.")] = 16,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 0,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """What vertical training gives away: columns to the server, labels to the parties.

    Beside a split network whose server is sent every party's embedding: how well columns and
    labels are guessed, and how well without having seen anything.
    """
    try:
        from narrows.simulations.vertical.datasets import load_vertical
        from narrows.simulations.vertical.leakage import run_leakage_bench
        from narrows.simulations.vertical.leakage_training import Training
    except ImportError as error:
        raise ConfigError(f"{error}: networks are trained: pip install 'narrows[server]'") from None
    found = load_vertical(data, parties, folder, limit, seed)
    run_leakage_bench(found, Training(epochs, width, seed=seed), json, plot)


@bench.command()
def parties(
    count: Annotated[
        list[int] | None,
        typer.Option("--parties", min=10, help="N; again: more. 10 to 1000 by default."),
    ] = None,
    groups: Annotated[int, typer.Option(min=1, help="Processes that play them.")] = 10,
    json: Json = False,
    plot: Plot = None,
) -> None:
    """A round on secret shares of up to a thousand parties, on Ray: times, bytes, formulas.

    Every share is made, sent and used; the sums are checked against those in the clear.
    """
    if find_spec("ray") is None:
        raise ConfigError("parties run on Ray: pip install 'narrows[server]'")
    from narrows.simulations.vertical.scale import PARTIES, run_parties_bench

    run_parties_bench(count or PARTIES, groups, json, plot)
