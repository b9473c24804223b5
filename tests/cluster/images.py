"""Images without a registry: a base made from Debian packages, the rest built by buildah.

The Dockerfiles are those that users build with Docker; only `BASE_IMAGE` differs.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import packages
from .locks import held
from .settings import REPOSITORY, ClusterError, Settings, cache_root
from .shell import run, say

PAUSE = "localhost/pause:1"
BASE = "localhost/openworld-base:bookworm-2"
_PAUSE_C = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }
"""


def ensure_base() -> str:
    """The base image: Debian slim with Python, made once a machine."""
    packages.ensure(packages.IMAGES)
    with held(cache_root() / "base" / "lock"):
        if not _has_image(BASE):
            _make_base()
    return BASE


def _make_base() -> None:
    archive = cache_root() / "base" / "bookworm-2.tar"
    if not archive.exists():
        say("== base image (about a minute the first time)")
        archive.parent.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part.tar")
        include = "python3,python3-venv,ca-certificates,libstdc++6"
        run(["mmdebstrap", "--variant=essential", f"--include={include}", "bookworm", part])
        part.rename(archive)
    container = run(["buildah", "from", "scratch"]).strip()
    run(["buildah", "add", container, archive, "/"])
    run(
        [
            "buildah",
            "config",
            "--env",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            container,
        ]
    )
    run(["buildah", "commit", "--rm", container, BASE])


def build(tag: str, dockerfile: Path, context: Path, arguments: Mapping[str, str]) -> None:
    """Build an image as a user would. Pip's settings of this machine reach the build, not the image."""
    base = arguments.get("BASE_IMAGE") or ensure_base()
    say(f"== image {tag}")
    words = ["--build-arg", f"BASE_IMAGE={base}"]
    for key, value in arguments.items():
        if key != "BASE_IMAGE":
            words += ["--build-arg", f"{key}={value}"]
    for variable, value in _pip_settings().items():
        words += ["--build-arg", f"{variable}={value}"]
    run(
        [
            "buildah",
            "bud",
            "--isolation",
            "chroot",
            "--network",
            "host",
            "--layers",
            "-v",
            "/etc/ssl/certs:/etc/ssl/certs:ro",
            *words,
            "-f",
            dockerfile,
            "-t",
            tag,
            context,
        ]
    )


def _pip_settings() -> dict[str, str]:
    """How pip reaches its index on this machine, for the build alone."""
    known = ("PIP_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_EXTRA_INDEX_URL")
    found = {name: os.environ[name] for name in known if os.environ.get(name)}
    listed = run(["python3", "-m", "pip", "config", "list"], check=False)
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        variable = "PIP_" + key.rpartition(".")[2].strip().upper().replace("-", "_")
        if variable in known:
            found.setdefault(variable, value.strip().strip("'\""))
    if "PIP_CERT" in found or os.environ.get("SSL_CERT_FILE"):
        found["PIP_CERT"] = "/etc/ssl/certs/ca-certificates.crt"
    return found


def load(s: Settings, tag: str) -> None:
    """Put an image of this machine's into the node."""
    if not _has_image(tag):
        raise ClusterError(
            f"there is no image {tag}; build it first with `build-image --tag {tag} --file DOCKERFILE`"
        )
    mark = s.root / "images" / re.sub("[^A-Za-z0-9.-]", "_", tag)
    image = run(["buildah", "images", "-q", "--no-trunc", tag]).strip()
    if mark.exists() and mark.read_text() == image:
        return
    say(f"   loading {tag}")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        run(["buildah", "push", "-q", tag, f"docker-archive:{archive}:{tag}"])
        run(["ctr", "-a", s.containerd_socket, "-n", "k8s.io", "images", "import", archive])
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(image)


def load_pause(s: Settings) -> None:
    """The sandbox image: one static program that waits."""
    if PAUSE in run(["ctr", "-a", s.containerd_socket, "-n", "k8s.io", "images", "ls", "-q"]):
        return
    packages.ensure(packages.IMAGES)
    if not _has_image(PAUSE):
        with tempfile.TemporaryDirectory() as folder:
            source, program = Path(folder) / "pause.c", Path(folder) / "pause"
            source.write_text(_PAUSE_C)
            run(["gcc", "-static", "-Os", "-o", program, source])
            container = run(["buildah", "from", "scratch"]).strip()
            run(["buildah", "copy", container, program, "/pause"])
            run(["buildah", "config", "--entrypoint", '["/pause"]', container])
            run(["buildah", "commit", "--rm", container, PAUSE])
    load(s, PAUSE)


def _has_image(tag: str) -> bool:
    return shutil.which("buildah") is not None and bool(
        run(["buildah", "images", "-q", tag], check=False).strip()
    )


def in_repository(path: str) -> Path:
    """A path given on the command line, relative to the checkout."""
    return Path(path) if Path(path).is_absolute() else REPOSITORY / path
