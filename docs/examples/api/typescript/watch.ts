// Run with Node 24: MILLRACE_HTTP=http://127.0.0.1:29080 node watch.ts
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
const reply = await fetch(`${process.env.MILLRACE_HTTP}/api/v1/watch/tags?prefix=acme/north`);
for await (const line of createInterface({ input: Readable.fromWeb(reply.body!) }))
  if (line.startsWith("data: "))
    for (const { path, value } of JSON.parse(line.slice(6)).updates ?? []) console.log(path, value.value, value.quality);
