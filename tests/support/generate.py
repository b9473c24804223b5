"""`python -m tests.support.generate`: write what is generated from the models and the code."""

from __future__ import annotations

from pathlib import Path

from openworld.api import crd

from . import reference

REPOSITORY = Path(__file__).resolve().parents[2]
#: The chart ships the same files, so that `helm upgrade` upgrades them.
FOLDERS = (REPOSITORY / "crds", REPOSITORY / "charts" / "openworld" / "files" / "crds")


def main() -> None:
    """Write the CRD manifests and the reference pages."""
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in crd.files().items():
            (folder / name).write_text(text)
    for name, text in reference.pages().items():
        (reference.FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
