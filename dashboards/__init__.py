"""Dashboards for Grafana: a YAML file each, made into the JSON that Grafana reads (`python -m dashboards`)."""
