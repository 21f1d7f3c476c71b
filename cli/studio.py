"""``facesynth studio``: draw in the browser, and a face appears."""

from __future__ import annotations

import click

from ._progress import tell_downloads


@click.command()
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME|FILE",
    help="A model of sketches or label maps, as `facesynth translate --checkpoint` takes it; may be given several times.  "
    "[default: the bundled photo-sketch and photo-seg]",
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen at; 0 for a free one.")
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.")
@click.option("--host", default="127.0.0.1", help="Address to listen at; any but this machine's own needs --token.")
@click.option(
    "--token",
    envvar="FACESYNTH_STUDIO_TOKEN",
    help="Token of the page's address, 16 or more letters, digits, - and _; also from FACESYNTH_STUDIO_TOKEN.  "
    "[default: a new one]",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Device to compute on."
)
def studio(checkpoints: tuple[str, ...], port: int, browser: bool, host: str, token: str | None, device: str) -> None:
    """Draw a sketch or paint a label map in the browser, and see the face change with every stroke.

    Nothing leaves this machine. Stop with Ctrl-C; the page keeps the drawing, and continues when the studio runs again.
    """
    from facesynth.errors import InputError

    try:
        from facesynth.studio.server import check_host, serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "websockets"):
            raise
        raise InputError(
            f"the studio needs {error.name}, which is not installed; run: pip install 'facesynth[studio]'"
        ) from error
    if not check_host(host, token):
        click.echo(
            f"others can reach {host}: whoever has the address with the token can use the models on this machine, and see "
            "nothing else of it; the connection is not encrypted, so use it in networks that you trust",
            err=True,
        )

    def opened(address: str) -> None:
        click.echo(f"studio: {address}")
        click.echo("stop with Ctrl-C", err=True)
        if browser:
            import threading
            import webbrowser

            threading.Thread(
                target=webbrowser.open, args=(address,), daemon=True
            ).start()  # some return when they are closed

    from facesynth.model.devices import keep_memory

    keep_memory()
    tell_downloads(quiet=False)
    serve(checkpoints, host=host, port=port, token=token, device=device, opened=opened)
