"""`python -m eventrouter`."""

from eventrouter.cli import main

main()
