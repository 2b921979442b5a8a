"""``bench leaderboard``: stored records as pages that a browser opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from claimbench.bench.cli.command import Command, CommandGroup
from claimbench.bench.cli.help import HOW, OUTPUT
from claimbench.bench.cli.options import RESULTS, Results, examples, flag, value, whole

if TYPE_CHECKING:
    from claimbench.bench.publish.site.source import SiteSource

leaderboard = typer.Typer(
    cls=CommandGroup, help="Stored records as a site: build it, look at it, publish it.", no_args_is_help=True
)

Address = Annotated[
    str,
    value(
        "--address",
        takes="URL",
        panel=OUTPUT,
        help="Web address of the site, for previews, badges and the feed; else its GitHub Pages.",
    ),
]

BUILD = examples("bench leaderboard build --out site     (then open site/index.html in a browser)")
SERVE = examples("bench leaderboard serve", "bench leaderboard serve --port 0")
PUBLISH = examples(
    "bench leaderboard publish --dry-run",
    "bench leaderboard publish --branch gh-pages --remote origin",
    "bench leaderboard publish --to /srv/www/leaderboard",
    "bench leaderboard publish --archive leaderboard.zip",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(leaderboard, name="leaderboard")


@leaderboard.command("build", cls=Command, epilog=BUILD)
def build(
    out: Annotated[
        Path,
        value("--out", takes="FOLDER", panel=OUTPUT, help="Folder for the site: empty, new, or a site to replace."),
    ],
    address: Address = "",
    results: Results = Path(RESULTS),
) -> None:
    """Build the site; it needs no server and loads nothing from another host."""
    from claimbench.bench.publish.site import generate as site
    from claimbench.bench.publish.site.folder import check

    check(out)
    made = site.build(_source(results, address), out)
    _tell(made)
    typer.echo(f"{made.pages} pages from {made.records} records: open {out / 'index.html'}")


@leaderboard.command("serve", cls=Command, epilog=SERVE)
def serve(
    port: Annotated[
        int,
        value("--port", takes="N", panel=HOW, help="Port on 127.0.0.1; 0 for any free one.", read=whole(0, 65535)),
    ] = 8000,
    out: Annotated[
        Path | None,
        value("--out", takes="FOLDER", panel=OUTPUT, help="Keep the site in this folder; else it is gone at the end."),
    ] = None,
    results: Results = Path(RESULTS),
) -> None:
    """Build the site and show it on this machine, until interrupted."""
    import tempfile

    from claimbench.bench.publish.site import generate as site
    from claimbench.bench.publish.site.serve import bind

    with tempfile.TemporaryDirectory(prefix="claimbench-site-") as scratch:
        folder = out or Path(scratch) / "site"
        server, address = bind(folder, port)
        with server:
            _tell(site.build(_source(results), folder))
            typer.echo(f"{address} (Ctrl-C ends it)")
            server.serve_forever()


@leaderboard.command("publish", cls=Command, epilog=PUBLISH)
def publish(
    branch: Annotated[str, value("--branch", takes="NAME", panel=OUTPUT, help="Branch to commit to.")] = "gh-pages",
    remote: Annotated[
        str, value("--remote", takes="REMOTE", panel=OUTPUT, help="Git remote: a name or an address.")
    ] = "origin",
    to: Annotated[
        Path | None,
        value("--to", takes="FOLDER", panel=OUTPUT, help="A folder to publish to, instead of a branch."),
    ] = None,
    archive: Annotated[
        Path | None,
        value("--archive", takes="FILE", panel=OUTPUT, help="A .tar.gz or .zip to write, instead of a branch."),
    ] = None,
    dry_run: Annotated[bool, flag("--dry-run", OUTPUT, "Say what would change, and change nothing.")] = False,
    address: Address = "",
    results: Results = Path(RESULTS),
) -> None:
    """Publish the site with its records. What others have published meanwhile is kept, and shown too."""
    from claimbench.bench.core.errors import UserError
    from claimbench.bench.publish.site import publish as publishing
    from claimbench.bench.publish.site.branch import Branch
    from claimbench.bench.publish.site.folder import check

    if to is not None and archive is not None:
        raise UserError("--to and --archive are two places to publish to: choose one")
    if to is not None:
        check(to)
        said = publishing.to_folder(_source(results, address), to, dry_run=dry_run)
    elif archive is not None:
        publishing.check_archive(archive)
        said = publishing.to_archive(_source(results, address), archive, dry_run=dry_run)
    else:
        Branch(Path.cwd(), remote, branch).check()
        said = publishing.to_branch(_source(results, address), Path.cwd(), remote, branch, dry_run=dry_run)
    typer.echo(said)


def _source(results: Path, address: str = "") -> SiteSource:
    from claimbench.bench.publish.site.source import SiteSource

    return SiteSource.installed(results, address)


def _tell(made: object) -> None:
    """Print on stderr a line for each part that could not be read."""
    problems = getattr(made, "problems", [])
    for problem in problems[:20]:
        typer.echo(f"bench: {problem.place}: {problem.text}", err=True)
    if len(problems) > 20:
        typer.echo(f"bench: and {len(problems) - 20} more problems; the page `How to read` lists them", err=True)
