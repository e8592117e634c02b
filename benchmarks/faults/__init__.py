"""`bench faults`: every service of the running example plant is killed and paused, alone and in groups, while commands are under way.

`table` says what is broken (pure), `signals` breaks it, `flow` watches samples and lag, `orders` are the commands, `health` is when the
line counts as healed, `round` puts one fault together, `campaign` runs and resumes many, `tables` sums them up (pure).
"""
