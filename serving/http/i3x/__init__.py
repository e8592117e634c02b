"""i3X 1.0 (CESMII): the plant as typed objects with values, history and subscriptions, for clients that know that interface."""
