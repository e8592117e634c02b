// Run with Node 24: MILLRACE_HTTP=http://127.0.0.1:29080 node history.ts
const start = (Date.now() - 3_600_000) * 1000;
const path = "acme/north/forming/line-1/blanking/press-01";
const reply = await fetch(`${process.env.MILLRACE_HTTP}/api/v1/samples?prefix=${path}&start_us=${start}`);
for (const series of (await reply.json()).series) console.log(series.path, series.value.length, "samples", series.unit);
