"""Alert rules, their generator, the Alertmanager example and the runbooks."""
