// An actor of the comparison (see benches/common/actor.rs) for a lock that is a Node package. It
// obeys commands, one per line.
// Usage: node actor.mjs LOCK SESSION, with NODE_MODULES naming the directory of the packages.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readdirSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [, , name, session] = process.argv;
const modules = process.env.NODE_MODULES;
const require = createRequire(join(modules, "package.json"));
const TIMEOUT_MS = 60_000;

// Each lock has its defaults, except for a wait that is long enough.
const locks = {
  "proper-lockfile": () => {
    const lockfile = require("proper-lockfile");
    const retries = { forever: true, minTimeout: 5, maxTimeout: 50, factor: 1.2 };
    return () => lockfile.lock(session, { retries, realpath: false });
  },
  "fs-safe": async () => {
    const file = join(modules, "node_modules/@openclaw/fs-safe/dist/file-lock.js");
    const { acquireFileLock } = await import(pathToFileURL(file));
    // The settings that OpenClaw uses. fs-safe has no defaults for the first three.
    const options = {
      staleMs: 30 * 60_000,
      timeoutMs: TIMEOUT_MS,
      retry: { retries: 100_000, minTimeout: 50, maxTimeout: 1000, factor: 1 },
      payload: () => ({ pid: process.pid, createdAt: new Date().toISOString() }),
    };
    return async () => {
      const held = await acquireFileLock(session, options);
      return () => held.release();
    };
  },
  openclaw: async () => {
    const acquire = await acquireSessionWriteLock(join(modules, "node_modules/openclaw/dist"));
    // Newer versions take an owner for alive only if its arguments contain "openclaw".
    return async () => {
      const held = await acquire({ sessionFile: session, timeoutMs: TIMEOUT_MS });
      return () => held.release();
    };
  },
};

// The function is in a chunk of the bundle, exported under a short name.
async function acquireSessionWriteLock(dist) {
  for (const file of readdirSync(dist)) {
    if (!/^session-write-lock-.*\.m?js$/.test(file)) continue;
    const text = readFileSync(join(dist, file), "utf8");
    const exports = text.slice(text.lastIndexOf("export"));
    const exported = /acquireSessionWriteLock(?: as (\w+))?[,\s}]/.exec(exports);
    if (!exported) continue;
    const chunk = await import(pathToFileURL(join(dist, file)));
    return chunk[exported[1] ?? "acquireSessionWriteLock"];
  }
  throw new Error(`no acquireSessionWriteLock in ${dist}`);
}

const acquire = await locks[name]();
let release;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const now = () => process.hrtime.bigint();

async function contend(hold, millis) {
  const buckets = new Map();
  let count = 0;
  let max = 0n;
  const end = now() + BigInt(millis) * 1_000_000n;
  for (;;) {
    const asked = now();
    if (asked >= end) break;
    const letGo = await acquire();
    const wait = now() - asked;
    count += 1;
    if (wait > max) max = wait;
    const bucket = Math.floor(Math.log2(Math.max(Number(wait), 1)) * 16);
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
    if (hold > 0) await sleep(hold / 1e6);
    await letGo();
  }
  return [count, max, ...[...buckets].map(([bucket, n]) => `${bucket}:${n}`)].join(" ");
}

async function cycle(count) {
  const began = now();
  for (let n = 0; n < count; n += 1) await (await acquire())();
  return now() - began;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, first, second] = line.split(" ");
  let answer;
  if (command === "acquire") {
    release = await acquire();
    answer = now();
  } else if (command === "release") {
    answer = now();
    await release();
  } else if (command === "contend") {
    answer = await contend(Number(first), Number(second));
  } else if (command === "cycle") {
    answer = await cycle(Number(first));
  } else {
    throw new Error(`no such command: ${line}`);
  }
  process.stdout.write(`${answer}\n`);
}
process.exit(0);
