"""The web listener: metrics, health, and the status page."""
