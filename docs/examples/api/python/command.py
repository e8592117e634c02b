from millrace_client import Client

with Client() as client:
    command = client.submit_and_wait("acme/north/forming/line-1/blanking/press-01", "write", {"speed_setpoint": 12.5})
    print(command.state, command.detail)
    for outcome in command.outcomes:
        print(outcome.name, outcome.effect, outcome.readback)
