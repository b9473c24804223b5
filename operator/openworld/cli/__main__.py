"""`python -m openworld.cli`."""

from . import main

main()
