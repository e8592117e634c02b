from itertools import islice

from millrace_client import Client

with Client() as client, client.watch("acme/north") as updates:
    for update in islice(updates, 3):
        print(update.path, update.value.value, update.value.quality, update.value.time)
