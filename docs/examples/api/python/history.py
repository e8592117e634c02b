from datetime import timedelta

from millrace_client import Client

with Client() as client:
    history = client.history("acme/north/forming/line-1/blanking/press-01", timedelta(hours=1))
    for series in history:
        print(series.path, len(series), "samples", series.unit)
