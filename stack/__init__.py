"""The real components as local processes under supervisord: broker, database, MQTT broker, Flink cluster, machines, gateways, serving.

`python -m stack up` (or `./millrace up`) starts an instance, `StackConfig` describes one, `stack.instance.Instance` is the same
for programs and tests. Two instances with other ports and another state folder run side by side.
"""
