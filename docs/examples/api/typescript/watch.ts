// Run with Node 24: MILLRACE_HTTP=http://127.0.0.1:29080 node watch.ts
const reply = await fetch(`${process.env.MILLRACE_HTTP}/api/v1/watch/tags?prefix=acme/north`);
for await (const text of reply.body!.pipeThrough(new TextDecoderStream()))
  for (const [, data] of text.matchAll(/^data: (.*)$/gm))
    for (const { path, value } of JSON.parse(data).updates) console.log(path, value.value, value.quality);
