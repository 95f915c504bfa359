"""``python -m onewindow``: the same as the command ``onewindow``."""

from onewindow.cli import main

main()
