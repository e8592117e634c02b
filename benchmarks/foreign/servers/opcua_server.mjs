// A foreign OPC UA server (node-opcua) whose items change by themselves, for the campaign and the tests.
//
// Enters: `node opcua_server.mjs PLAN.json` and orders on standard input, one JSON object a line. Leaves: the journal (what was
// set, written before it is shown) and answers on standard output, one JSON object a line; the first says `ready`.
// The plan, the orders and the journal are those of asyncua_server.py: benchmarks/foreign/plan.py describes them.
import { openSync, readFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import {
    DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, ServerSession, StatusCodes,
    Subscription, Variant, VariantArrayType, coerceNodeId, makeAccessLevelFlag, nodesets,
} from "node-opcua";

const TYPES_URI = "urn:foreign:types";
const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const journal = openSync(plan.journal, "a");
const limits = plan.limits;
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

if (limits.publish_requests) ServerSession.maxPublishRequestInQueue = limits.publish_requests;
if (limits.queue_size) {
    // The library states maxMonitoredItemsQueueSize and does not keep to it.
    const make = Subscription.prototype.preCreateMonitoredItem;
    Subscription.prototype.preCreateMonitoredItem = function (space, timestamps, request) {
        const asked = request.requestedParameters;
        asked.queueSize = Math.min(asked.queueSize, limits.queue_size);
        return make.call(this, space, timestamps, request);
    };
}

const security = plan.security;
const pki = new OPCUACertificateManager({
    rootFolder: join(dirname(plan.journal), "node-pki"), automaticallyAcceptUnknownCertificate: true,
});
await pki.initialize();
const server = new OPCUAServer({
    port: plan.port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    serverInfo: { applicationUri: plan.application_uri, applicationName: { text: "Foreign machines" } },
    nodesets: [nodesets.standard, plan.types],
    serverCertificateManager: pki,
    userCertificateManager: pki,
    ...(security && { certificateFile: security.certificate, privateKeyFile: security.private_key }),
    securityModes: security ? [MessageSecurityMode.SignAndEncrypt] : [MessageSecurityMode.None],
    securityPolicies: security ? [SecurityPolicy[security.policy]] : [SecurityPolicy.None],
    allowAnonymous: !security,
    userManager: { isValidUser: (name, password) => name === security?.username && password === security?.password },
    isAuditing: false,
    serverCapabilities: {
        maxSessions: 20,
        minSupportedSampleRate: limits.sampling_ms ?? 0,
        maxMonitoredItemsPerSubscription: limits.items_per_subscription ?? 100_000,
        maxMonitoredItemsQueueSize: limits.queue_size ?? 10_000,
        operationLimits: {
            maxNodesPerRead: limits.nodes_per_read ?? 0,
            maxNodesPerBrowse: limits.nodes_per_browse ?? 0,
            maxMonitoredItemsPerCall: limits.items_per_call ?? 0,
        },
    },
});
await server.initialize();
const space = server.engine.addressSpace;
for (const uri of plan.namespaces) space.registerNamespace(uri);
const typesIndex = space.getNamespaceIndex(TYPES_URI);
const typeNode = (number) => coerceNodeId(`ns=${typesIndex};i=${number}`);
const Batch = space.findDataType(typeNode(3002));

// --- values ---------------------------------------------------------------------------------------------------------------

const whole = (bits, signed) => (v) => (v % 2 ** bits) - (signed ? 2 ** (bits - 1) : 0);
// By type: OPC UA type, and of the item's number and the step the value as it is set and as it stands in the journal.
const KINDS = {
    Boolean: [DataType.Boolean, (v) => v % 2 === 1],
    SByte: [DataType.SByte, whole(8, true)],
    Byte: [DataType.Byte, whole(8, false)],
    Int16: [DataType.Int16, whole(16, true)],
    UInt16: [DataType.UInt16, whole(16, false)],
    Int32: [DataType.Int32, (v) => -v],
    UInt32: [DataType.UInt32, (v) => v],
    Int64: [DataType.Int64, (v) => -v * 1_000_003],
    UInt64: [DataType.UInt64, (v) => v * 1_000_003],
    Float: [DataType.Float, (v) => Math.fround(v / 8)],
    Double: [DataType.Double, (v) => v / 8 + 0.1],
    String: [DataType.String, (v) => `part ${v}`],
    DateTime: [DataType.DateTime, (v) => v],
    Enumeration: [DataType.Int32, (v) => v % 3],
    Structure: [DataType.ExtensionObject, (v) => ({ Number: v, Weight: v / 8, Product: `part ${v}` })],
};

function wide(value) {
    const bits = BigInt.asUintN(64, BigInt(value));
    return [Number(bits >> 32n), Number(bits & 0xffff_ffffn)];
}

function wired(type, value) {
    if (type === "Int64" || type === "UInt64") return wide(value);
    if (type === "DateTime") return new Date(value * 1000);
    if (type === "Structure") {
        return space.constructExtensionObject(Batch, { number: value.Number, weight: value.Weight, product: value.Product });
    }
    return value;
}

function valueOf(item, step) {
    const one = (v) => KINDS[item.type][1](v);
    const v = item.key * 1000 + (step % 1000);
    return item.array ? [v, v + 1, v + 2].map(one) : one(v);
}

function variantOf(item, value) {
    const [dataType] = KINDS[item.type];
    if (!item.array) return new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: wired(item.type, value) });
    return new Variant({ dataType, arrayType: VariantArrayType.Array, value: value.map((one) => wired(item.type, one)) });
}

// --- items ----------------------------------------------------------------------------------------------------------------

const folders = new Map();
const nodes = new Map();
const bad = new Set();
let paused = plan.paused ?? false;

function folder(name) {
    if (!folders.has(name)) {
        const own = space.getNamespace(plan.namespaces[0]);
        const node = own.addObject({ browseName: name, nodeId: `s=folder/${name}`, organizedBy: space.rootFolder.objects });
        folders.set(name, node);
    }
    return folders.get(name);
}

function create(item) {
    const namespace = space.getNamespace(item.namespace);
    const step = Math.floor(Date.now() / plan.period_ms);
    const first = valueOf(item, step);
    const options = {
        componentOf: folder(item.folder),
        browseName: item.name,
        description: item.description,
        nodeId: coerceNodeId(`ns=${namespace.index};${item.id}`),
        dataType: item.type === "Enumeration" ? typeNode(3001) : item.type === "Structure" ? typeNode(3002) : KINDS[item.type][0],
        valueRank: item.array ? 1 : -1,
        minimumSamplingInterval: limits.sampling_ms ?? 0,
        accessLevel: makeAccessLevelFlag(item.writable ? "CurrentRead | CurrentWrite" : "CurrentRead"),
        userAccessLevel: makeAccessLevelFlag(item.writable ? "CurrentRead | CurrentWrite" : "CurrentRead"),
        ...(item.array && { arrayDimensions: [0] }),
        value: variantOf(item, first),
    };
    const node = item.range
        ? namespace.addAnalogDataItem({
              ...options,
              engineeringUnitsRange: { low: item.range[0], high: item.range[1] },
              engineeringUnits: {
                  namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: item.unit_id,
                  displayName: { text: item.unit }, description: { text: item.unit },
              },
          })
        : namespace.addVariable(options);
    nodes.set(item.key, { item, node });
    set([[item.key, first]], Date.now());
    if (item.writable) {
        node.on("value_changed", (value) => {
            if (nodes.get(item.key)?.setting) return;
            note({ t: value.sourceTimestamp.getTime(), w: [[item.key, value.value.value]] });
        });
    }
}

const note = (line) => writeSync(journal, `${JSON.stringify(line)}\n`);

function set(changes, time_ms) {
    // First the journal: whatever a client can have seen stands in it.
    note({ t: time_ms, v: changes });
    const stamp = new Date(time_ms);
    for (const [key, value] of changes) {
        const entry = nodes.get(key);
        entry.setting = true;
        if (value === null) entry.node.setValueFromSource(new Variant(), StatusCodes.BadSensorFailure, stamp);
        else entry.node.setValueFromSource(variantOf(entry.item, value), StatusCodes.Good, stamp);
        entry.setting = false;
    }
}

let slot = 0;
let last_ms = 0;
const slots = Math.max(1, Math.round(plan.period_ms / plan.tick_ms));

function tick() {
    if (paused) return;
    const time_ms = Math.max(Date.now(), last_ms + 1);
    last_ms = time_ms;
    const step = Math.floor(time_ms / plan.period_ms);
    const changes = [];
    for (const { item } of nodes.values()) {
        if (item.still || item.key % slots !== slot) continue;
        changes.push([item.key, bad.has(item.key) ? null : valueOf(item, step)]);
    }
    slot = (slot + 1) % slots;
    if (changes.length) set(changes, time_ms);
}

// --- methods --------------------------------------------------------------------------------------------------------------

const argument = (name, dataType) => ({ name, dataType, valueRank: -1, description: { text: name } });
const METHODS = {
    Dose: {
        inputs: [argument("Amount", DataType.Float), argument("Valve", DataType.Byte)],
        outputs: [argument("Total", DataType.Double)],
        run: async ([amount]) => ({ statusCode: StatusCodes.Good, outputArguments: [{ dataType: DataType.Double, value: amount.value * 10 }] }),
    },
    Reset: { run: async () => ({ statusCode: StatusCodes.Good }) },
    Jam: { run: async () => ({ statusCode: StatusCodes.BadDeviceFailure }) },
    Locked: { unnoted: true, run: async () => ({ statusCode: StatusCodes.BadInvalidState }) },
    Hang: { run: () => new Promise((resolve) => setTimeout(() => resolve({ statusCode: StatusCodes.Good }), 60_000)) },
};

function addMethods() {
    const own = space.getNamespace("urn:foreign:press");
    const owner = own.addObject({ browseName: "Doser", nodeId: "s=Doser", organizedBy: space.rootFolder.objects });
    for (const [name, { inputs = [], outputs = [], unnoted, run }] of Object.entries(METHODS)) {
        const method = own.addMethod(owner, {
            browseName: name, nodeId: `s=Doser.${name}`, inputArguments: inputs, outputArguments: outputs,
        });
        method.bindMethod((given, _context, callback) => {
            if (!unnoted) note({ t: Date.now(), called: [name, given.map((one) => one.value)] });
            run(given).then((answer) => callback(null, answer));
        });
    }
}

// --- conditions -----------------------------------------------------------------------------------------------------------

const conditions = {};
let refusing = false;

function addConditions() {
    space.installAlarmsAndConditionsService();
    const own = space.getNamespace("urn:foreign:press");
    const boiler = own.addObject({
        browseName: "Boiler", nodeId: "s=Boiler", eventNotifier: 1,
        notifierOf: space.rootFolder.objects.server, organizedBy: space.rootFolder.objects,
    });
    conditions.level = own.addVariable({
        browseName: "Level", nodeId: "s=Boiler.Level", componentOf: boiler, eventSourceOf: boiler,
        dataType: DataType.Double, value: { dataType: DataType.Double, value: 0.5 },
    });
    conditions.alarm = own.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
        browseName: "LevelAlarm", nodeId: "s=Boiler.LevelAlarm", componentOf: boiler, conditionName: "Level",
        conditionSource: conditions.level, inputNode: conditions.level, setpointNode: null,
        highHighLimit: 0.9, highLimit: 0.8, lowLimit: 0.2, optionals: ["ConfirmedState", "Confirm"],
    });
    const taken = conditions.alarm.acknowledge._asyncExecutionFunction;
    conditions.alarm.acknowledge.bindMethod(function (given, context, callback) {
        if (refusing) callback(null, { statusCode: StatusCodes.BadUserAccessDenied });
        else taken.call(this, given, context, callback);
    });
    conditions.alarm.on("acknowledged", (_id, comment, branch) => {
        note({ t: Date.now(), acknowledged: [branch.isCurrentBranch() ? "" : "branch", comment.text] });
    });
}

// --- orders ---------------------------------------------------------------------------------------------------------------

const ORDERS = {
    pause: () => { paused = true; },
    resume: () => { paused = false; },
    delete: ({ item }) => {
        space.deleteNode(nodes.get(item).node);
        nodes.delete(item);
    },
    create: ({ item }) => create(plan.items.find((one) => one.key === item)),
    bad: ({ item, on }) => (on ? bad.add(item) : bad.delete(item)),
    burst: ({ item, count }) => {
        // More values than a client can be sent between two publications.
        let time_ms = Math.max(Date.now(), last_ms + 1);
        for (let n = 0; n < count; n += 1, time_ms += 1) set([[item, valueOf(nodes.get(item).item, n)]], time_ms);
        last_ms = time_ms;
    },
    level: ({ value }) => conditions.level.setValueFromSource({ dataType: DataType.Double, value }),
    severity: ({ value }) => {
        // Part 9 leaves AckedState as it is.
        const branch = conditions.alarm.currentBranch();
        branch.setSeverity(value);
        conditions.alarm.raiseConditionEvent(branch, true);
    },
    acknowledge: ({ comment }) => {
        conditions.alarm.acknowledgeAndAutoConfirmBranch(conditions.alarm.currentBranch(), comment);
    },
    refuse: ({ on }) => { refusing = on; },
    stop: async () => {
        paused = true;
        await server.shutdown(0);
        say({ done: "stop" });
        process.exit(0);
    },
};

for (const item of plan.items) if (!item.absent) create(item);
if (plan.methods) addMethods();
if (plan.conditions) addConditions();
await server.start();
setInterval(tick, plan.tick_ms);
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
say({ ready: true, pid: process.pid });
