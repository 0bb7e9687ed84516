"""What sets up: install-service.

Room:    cli (talks)
Imports: app, shared
"""

from __future__ import annotations

from pathlib import Path

import click

from face_organizer.cli.shared import FOLDER, exits, main


@main.command(name="install-service")
@click.option("--inbox", type=FOLDER, help="[default: /srv/face-organizer/inbox]")
@click.option("--library", type=FOLDER, help="[default: /srv/face-organizer/library]")
@click.option(
    "--user", default="face-organizer", show_default=True, help="Whom it runs as; made if there is no such user."
)
@click.option("--gpu", is_flag=True, help="Let it use NVIDIA GPUs.")
@click.option("--web", is_flag=True, help="Serve the page, to this machine only.")
@click.option("--dry-run", is_flag=True, help="Only print the commands.")
def install_service(inbox: Path | None, library: Path | None, user: str, gpu: bool, web: bool, dry_run: bool) -> None:
    """Set up the system service, as root. Doing it twice changes nothing; your settings stay.

    One folder that holds both inbox and library is best: between two, every image would be copied instead of moved.

    For several libraries write their [[library]] tables into /etc/face-organizer/face-organizer.toml first: the service
    gets to write where they are. Say it again when one comes elsewhere, and restart the service.
    """
    from face_organizer.app.machine import install_service as install

    with exits():
        lines, inboxes = install(inbox, library, user, gpu=gpu, web=web, dry_run=dry_run)
        if dry_run:
            click.echo("\n".join(lines))
            return
        click.echo("Set up. Start it: systemctl start face-organizer")
        click.echo(f"Let somebody drop images into {' and '.join(map(str, inboxes))}: usermod -aG {user} NAME")
