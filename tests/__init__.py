"""Tests, by rung: contract and unit (pure), operators, flink, integration."""
