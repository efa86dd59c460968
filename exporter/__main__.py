"""``python -m exporter``, for a checkout."""

from .cli import main

main()
