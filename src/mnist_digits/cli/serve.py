"""`digits serve` and `digits page`."""

import ipaddress
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from mnist_digits.cli.app import command
from mnist_digits.cli.options import Model, onnx_of
from mnist_digits.cli.output import messages, results
from mnist_digits.errors import DataError, UsageError, printable

MIN_TOKEN_LENGTH = 16
"""Minimum number of characters of a token; a shorter one could be guessed."""

TOKEN_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Characters of a token that is made here: none is taken for another when it is read from a screen and typed."""

VIRTUAL_ADAPTERS = ("docker", "br-", "veth", "virbr", "vmnet", "vEthernet")
"""Beginnings of the names of network adapters behind which there are only programs of this machine."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this machine in the header Host."""


@command(
    "digits serve --open",
    "digits serve --port 0 --workers 4",
    "digits serve --host 0.0.0.0 --token-file token.txt",
    "digits serve --share --playground",
)
def serve(
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 takes any that is free.")
    ] = 8000,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Number of worker processes.")] = 1,
    model: Model = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answer only requests with the bearer token in this file.")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Need no token on any host; for use behind a proxy that authenticates.")
    ] = False,
    playground: Annotated[
        bool, typer.Option("--playground", help="Let networks be trained from the page; needs the extra train.")
    ] = False,
    keep_runs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --playground: let visitors keep what they have trained, as runs in this folder, 100 at most.",
        ),
    ] = None,
    collect: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the drawings that visitors correct in this folder, 1,000 or 50 MB at most, and teach with them.",
        ),
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Write a line of JSON to stderr for every request.")
    ] = False,
    share: Annotated[
        bool,
        typer.Option(
            "--share", help="Let the local network in: print its addresses and a QR code, which carry a token."
        ),
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the page to draw on, and read digits over HTTP.

    The API is described at /docs. Only this machine can reach it, unless --share lets the local network in, with a
    token of its own unless --token-file has one, or --host names another address; then --token-file is needed. Ctrl-C
    and SIGTERM end it after the requests in progress.
    """
    if share and (host or no_token):
        other = "--host" if host else "--no-token"
        raise UsageError(f"--share with {other}: it chooses the addresses, and needs a token; leave one out")
    shared = _shared_addresses() if share else []
    host = "0.0.0.0" if share else host or "127.0.0.1"
    loopback = _is_loopback(host)
    token = _make_token() if share and not token_file else _read_token(token_file, no_token, host, loopback)
    if playground and workers > 1:
        raise UsageError("--playground with --workers: only one process knows the trained network; leave one out")
    if keep_runs and not playground:
        raise UsageError("--keep-runs: nothing is trained without --playground; add it, or leave --keep-runs out")
    if playground:
        from mnist_digits.training import backend

        backend.check_installed()
    # Requests run in parallel: OpenBLAS's own threads would only compete with them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mnist_digits.serving import Settings, server

    # DNS rebinding: a page of another site whose name points to this machine still sends that name as Host.
    names = LOOPBACK_NAMES | {host.lower()} if loopback and not token else None
    threads = max(1, (os.cpu_count() or 1) // workers)
    settings = Settings(token, names, playground, keep_runs, access_log, threads, collect=collect)
    with server.listen(host, port) as listener:
        port = listener.getsockname()[1]
        address = _with_token(f"http://127.0.0.1:{port}", token) if share and token else _address(host, port)

        def announce() -> None:
            if share and token:
                _print_shared([_with_token(f"http://{shown}:{port}", token) for shown in shared], address)
            else:
                results.print(f"{address}  (Ctrl-C ends it)", markup=False)
            sys.stdout.flush()
            if open_:
                open_page(address)

        server.serve(server.Service(onnx_of(model), settings), listener, workers, announce)


@command("digits page site", "digits page site --model runs/latest")
def page(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write; it must not exist yet.")],
    model: Model = None,
) -> None:
    """Write the page to draw on as static files, for any web host.

    Digits, and numbers whose digits stand apart, are read in the browser, without a service: below a megabyte in all.
    Photos and training need `digits serve`, and the page says so.
    """
    from mnist_digits.recognition import Classifier
    from mnist_digits.serving.page.static import write_page

    write_page(folder, Classifier(onnx_of(model)))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    results.print(f"{printable(folder)}  {size / 1000:.0f} kB", markup=False)


def _address(host: str, port: int) -> str:
    """What a browser opens: of a service on all of a machine's addresses, the one that others in its network see."""
    if host in ("0.0.0.0", "::"):
        family = socket.AF_INET if host == "0.0.0.0" else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: the system only chooses the address from which it would be. The other one is of nobody.
            try:
                probe.connect(("192.0.2.1" if family == socket.AF_INET else "2001:db8::1", 9))
                host = probe.getsockname()[0]
            except OSError:
                host = "127.0.0.1" if family == socket.AF_INET else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def open_page(address: str) -> None:
    """Open an address in the browser; say so where there is none, as on a machine that is used through SSH."""
    # Without a display, a browser for the terminal would take this one over.
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys():
        port = address.rpartition(":")[2].partition("/")[0]
        messages.print(
            "No browser was opened, for there is no display here: open the address yourself, on your own machine after "
            f"ssh -L {port}:127.0.0.1:{port} THIS-MACHINE",
            markup=False,
        )
    else:
        typer.launch(address)


def _shared_addresses() -> list[str]:
    """This machine's addresses in its networks, the likeliest first. Raises DataError when it is in none."""
    import ifaddr

    found = [
        str(ip.ip)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if ip.is_IPv4 and not adapter.nice_name.startswith(VIRTUAL_ADAPTERS)
    ]
    usable = [
        ip for ip in found if not (ipaddress.ip_address(ip).is_loopback or ipaddress.ip_address(ip).is_link_local)
    ]
    if not usable:
        raise DataError("--share: this machine is in no network; connect it to the one that the others are in")
    # The way to the internet is most often the network that the others are in, too.
    first = _address("0.0.0.0", 0)
    return sorted(dict.fromkeys(usable), key=lambda ip: first != f"http://{ip}:0")


def _make_token() -> str:
    return "".join(secrets.choice(TOKEN_LETTERS) for _ in range(MIN_TOKEN_LENGTH))


def _with_token(address: str, token: str) -> str:
    """The page's address with the token in the fragment, which no browser sends and no log has."""
    return f"{address}/#token={quote(token, safe='')}"


def _print_shared(addresses: list[str], own: str) -> None:
    """Print the addresses for others and for this machine, and the first one as a QR code."""
    import io

    import segno
    from rich.text import Text

    for address in addresses:
        results.print(f"{address}  (for others in the network)", markup=False)
    results.print(f"{own}  (on this machine; Ctrl-C ends it)", markup=False)
    code = io.StringIO()
    segno.make(addresses[0], error="L", micro=False).terminal(out=code, compact=True)
    # Dark on light, whatever the terminal's colours are.
    results.print(Text(code.getvalue().rstrip("\n"), style="bright_white on black"))


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_token(file: Path | None, no_token: bool, host: str, loopback: bool) -> str | None:
    """The token; None without one. Raises UsageError when the host needs one, DataError when the file has none."""
    if file and no_token:
        raise UsageError("--token-file with --no-token: leave one of them out")
    if not file:
        if loopback or no_token:
            return None
        raise UsageError(
            f"--host {host}: others can reach it, expected --token-file FILE, or --no-token behind a proxy that "
            "authenticates"
        )
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: {getattr(error, 'strerror', None) or error}; expected a file with a token") from None
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise DataError(
            f"{file}: {len(token)} characters, expected a token of {MIN_TOKEN_LENGTH} or more letters and digits; "
            "make one with: openssl rand -hex 32"
        )
    return token
