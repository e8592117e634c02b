// A foreign Sparkplug B node: the npm payload encoder over MQTT.js, with metrics that change by themselves.
//
// Enters: `node sparkplug_node.mjs PLAN.json` and orders on standard input; leaves: the journal and answers, all as
// benchmarks/foreign/plan.py describes. Orders of its own: `skip` leaves a sequence number out with its message lost, `death` and
// `birth` of the device, `rebirth` of the node. Values are journaled before they are sent; those of a lost message too.
import { openSync, readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import mqtt from "mqtt";
import sparkplug from "sparkplug-payload";

const codec = sparkplug.get("spBv1.0");
const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const journal = openSync(plan.journal, "a");
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const topic = (kind) => `spBv1.0/${plan.group}/${kind}/${plan.node}${kind.startsWith("D") ? `/${plan.device}` : ""}`;

const VALUES = {
    Boolean: (v) => v % 2 === 1, Int8: (v) => v % 128, Int16: (v) => v % 32768, Int32: (v) => v, Int64: (v) => v,
    UInt8: (v) => v % 256, UInt16: (v) => v % 65536, UInt32: (v) => v, UInt64: (v) => v, Float: (v) => v / 8, Double: (v) => v / 8 + 0.1,
    String: (v) => `part ${v}`, DateTime: (v) => v * 1000,
};
let seq = 0;
let bdSeq = 0;
let paused = false;
let alive = true;
let lost = false;

const death = () => codec.encodePayload({ timestamp: Date.now(), metrics: [{ name: "bdSeq", type: "UInt64", value: bdSeq }] });
const client = mqtt.connect(plan.broker, {
    clientId: `foreign-${plan.node}`, clean: true, protocolVersion: 4, reconnectPeriod: 500,
    will: { topic: topic("NDEATH"), payload: Buffer.from(death()), qos: 1, retain: false },
});

function send(kind, metrics, number) {
    const payload = { timestamp: Date.now(), metrics, ...(number !== undefined && { seq: number }) };
    client.publish(topic(kind), Buffer.from(codec.encodePayload(payload)), { qos: 0 });
}

function next() {
    seq = (seq + 1) % 256;
    return seq;
}

function readings(born) {
    const time = Date.now();
    const step = Math.floor(time / plan.period_ms) % 1000;
    const changes = plan.metrics.map((metric) => [metric.key, VALUES[metric.type](metric.key * 1000 + step)]);
    writeSync(journal, `${JSON.stringify({ t: time, v: changes })}\n`);
    return plan.metrics.map((metric, at) => ({
        name: metric.name, type: metric.type, value: changes[at][1], timestamp: time, ...(born && { alias: metric.key + 1 }),
    }));
}

function birth() {
    seq = 0;
    alive = true;
    send("NBIRTH", [
        { name: "bdSeq", type: "UInt64", value: bdSeq }, { name: "Node Control/Rebirth", type: "Boolean", value: false },
    ], 0);
    send("DBIRTH", readings(true), next());
}

function tick() {
    if (paused || !alive || !client.connected) return;
    const metrics = readings(false);
    const number = next();
    if (lost) lost = false;
    else send("DDATA", metrics, number);
}

const ORDERS = {
    pause: () => { paused = true; },
    resume: () => { paused = false; },
    skip: () => { lost = true; },
    death: () => { alive = false; send("DDEATH", [], next()); },
    birth: () => { alive = true; send("DBIRTH", readings(true), next()); },
    rebirth: birth,
    stop: async () => {
        paused = true;
        await client.endAsync();
        say({ done: "stop" });
        process.exit(0);
    },
};

client.on("message", (where, payload) => {
    const { metrics = [] } = codec.decodePayload(payload);
    for (const metric of metrics) {
        if (where === topic("NCMD") && metric.name === "Node Control/Rebirth" && metric.value) birth();
        const own = plan.metrics.find((one) => one.name === metric.name || one.key + 1 === Number(metric.alias));
        if (where !== topic("DCMD") || !own) continue;
        const time = Date.now();
        writeSync(journal, `${JSON.stringify({ t: time, w: [[own.key, metric.value]] })}\n`);
        send("DDATA", [{ name: own.name, type: own.type, value: metric.value, timestamp: time }], next());
    }
});
let ready = false;
client.on("connect", async () => {
    await client.subscribeAsync([topic("NCMD"), topic("DCMD")], { qos: 1 });
    birth();
    if (ready) return;
    ready = true;
    setInterval(tick, plan.period_ms);
    say({ ready: true, pid: process.pid });
});

const orders = createInterface({ input: process.stdin });
orders.on("line", async (line) => {
    const order = JSON.parse(line);
    try {
        await ORDERS[order.do](order);
        say({ done: order.do });
    } catch (error) {
        say({ failed: order.do, error: String(error) });
    }
});
// Whoever started this is gone.
orders.on("close", () => process.exit(0));
