"""The application: Prometheus exporter, scheduler, storage, web and command line."""
