"""`suimon detect replay`: what the detectors find in stored flow records."""

from datetime import UTC, datetime
from pathlib import Path

import click


@click.group()
def detect() -> None:
    """Detectors: what they would find in records that are kept."""


@detect.command()
@click.argument("capture", type=click.Path(exists=True, path_type=Path))
@click.option("--thresholds", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML; else defaults.")
@click.option("--json", "as_json", is_flag=True, help="One finding a line, as the API has it.")
def replay(capture: Path, thresholds: Path | None, as_json: bool) -> None:
    """Run the detectors over CAPTURE, a Parquet file of flow records or a folder of them, and print what they find,
    with the time of the records at which they find it.
    """
    try:
        from suimon.detection import replay as replaying
        from suimon.detection.threshold_file import ThresholdsError
        from suimon.detection.thresholds import Thresholds, read
        from suimon.telemetry.history import captures
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing: install suimon with its extra, suimon[telemetry]"
        ) from None
    import msgspec

    try:
        limits = read(thresholds.read_text()) if thresholds else Thresholds()
        batch, ports = captures.capture(capture)
    except (ThresholdsError, captures.CaptureError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from None
    for now_s, finding in replaying.replay(batch, ports, limits):
        if as_json:
            click.echo(msgspec.json.encode(finding))
            continue
        moment = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        state = "ended" if finding.ended else f"sure {finding.confidence:.2f}"
        who = f"{finding.subject.kind} {finding.subject.id}"
        click.echo(f"{moment} {finding.detector} {who} ({finding.role}, {state}): {finding.words}")
