// Run with Node 24: MILLRACE_HTTP=http://127.0.0.1:29080 node command.ts
const body = { path: "acme/north/forming/line-1/blanking/press-01", name: "write", parameters: { speed_setpoint: 12.5 } };
const headers = { "content-type": "application/json" };
const reply = await fetch(`${process.env.MILLRACE_HTTP}/api/v1/commands?wait_ms=10000`, { method: "POST", headers, body: JSON.stringify(body) });
const command = await reply.json();
console.log(command.state, command.detail);
