"""The scenario `wear`: forecasts on synthetic run-to-failure series."""
