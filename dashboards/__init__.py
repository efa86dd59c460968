"""The Grafana dashboards, and what writes them."""

import warnings

# Importing the SDK warns that Grafana has a newer format. The classic one is what files and grafana.com use, and every
# Grafana reads it.
warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
