"""What every room stands on: errors, settings, logs, ids, signals. No domain, no component."""
