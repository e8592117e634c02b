"""Forecasts of when a slowly changing tag reaches an end of its normal range."""
