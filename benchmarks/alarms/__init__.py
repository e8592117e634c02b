"""`bench alarms`: what an alarm takes from its frame to a person, a flood, kills on its way, and what many rules cost.

`course` runs the line: `excursions` raise alarms, `caller` sees and acknowledges them, `hops` says where the time goes, `record`
compares what is stored, `oracle` makes the figures of EEMUA 191 by hand. `flooding` sends a thousand at once, `flood` judges that.
`campaign` breaks what alarms pass, by the schedule and the model of `kills`, with the `receivers` of notifications. `rules` is the stage
alone, without any service. `scenario` chooses.
"""
