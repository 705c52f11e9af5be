// A peer: a lock of the Node world as its own package ships it, told what to do line by line.
// Usage: node peer.mjs PACKAGE SESSION [openclaw].
// The last word makes it an OpenClaw process by OpenClaw's own rule.
import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import fsp from "node:fs/promises";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , pkg, session] = process.argv;
const { name } = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8"));
const dist = join(pkg, "dist");
const load = (file) => import(pathToFileURL(file));
const say = (words) => process.stdout.write(`${words}\n`);
const tick = (ms) => new Promise((done) => setTimeout(done, ms));

// OpenClaw is bundled: the chunk that defines a function exports it under a short name, in newer
// versions at least.
async function find(wanted) {
  for (const entry of readdirSync(dist, { recursive: true })) {
    if (!/(session-write-lock|doctor-session-locks)[^/]*\.js$/.test(entry)) continue;
    const text = readFileSync(join(dist, entry), "utf8");
    if (!new RegExp(`function ${wanted}\\(`).test(text)) continue;
    const chunk = await load(join(dist, entry));
    const exported = text.slice(text.lastIndexOf("\nexport {"));
    const short = new RegExp(`\\b${wanted} as (\\w+)`).exec(exported);
    return chunk[short?.[1] ?? wanted];
  }
  throw new Error(`no ${wanted} in ${dist}`);
}

async function openclaw() {
  const lock = await find("acquireSessionWriteLock");
  return (timeoutMs) => lock({ sessionFile: session, timeoutMs });
}

// fs-safe leaves it to its user what is stale: here, by the owner's death, as its only known user
// has it.
async function fsSafe() {
  const { acquireFileLock } = await load(join(dist, "file-lock.js"));
  const gone = (pid) => {
    try {
      process.kill(pid, 0);
      return false;
    } catch (error) {
      return error.code === "ESRCH";
    }
  };
  const orphaned = ({ payload }) => payload?.pid > 0 && gone(payload.pid);
  const options = {
    staleMs: 30 * 60_000,
    staleRecovery: "remove-if-unchanged",
    retry: { retries: 100_000, minTimeout: 50, maxTimeout: 1000, factor: 1 },
    payload: () => ({ pid: process.pid, createdAt: new Date().toISOString() }),
    shouldReclaim: orphaned,
    shouldRemoveStaleLock: orphaned,
  };
  return (timeoutMs) => acquireFileLock(session, { ...options, timeoutMs });
}

// Between a peer's decision to remove a lock and the removal anything may happen. `pause` makes that
// moment long: the next removal of a lock waits for `resume`. The code on both sides of it is the
// peer's own.
let resume;
let paused = Promise.resolve();
const { rm } = fsp;
fsp.rm = async (path, options) => {
  if (resume && String(path).endsWith(".jsonl.lock")) {
    say("removing");
    await paused;
  }
  return rm(path, options);
};

const acquire = await (name === "openclaw" ? openclaw() : fsSafe());
let held;
let running = true;

// Turns of two lines, in two writes, until the end; each is told of once both are written.
async function turns(writer) {
  for (let n = 0; running; n += 1) {
    let turn;
    try {
      turn = await acquire(10_000);
    } catch (error) {
      say(`busy ${error.message}`);
      continue;
    }
    for (const part of [1, 2]) {
      appendFileSync(session, `${JSON.stringify({ w: writer, n, part })}\n`);
      await tick(1);
    }
    await turn.release();
    say(`turn ${n}`);
    await tick(2);
  }
  say("done");
}

const commands = {
  async acquire(ms) {
    try {
      held = await acquire(Number(ms));
      return "held";
    } catch (error) {
      return `refused ${error.message}`;
    }
  },
  async pause() {
    paused = new Promise((done) => (resume = done));
    return "pausing";
  },
  async resume() {
    resume();
    resume = undefined;
  },
  async append(...words) {
    appendFileSync(session, words.join(" "));
    return "appended";
  },
  async line(...words) {
    appendFileSync(session, `${words.join(" ")}\n`);
    return "appended";
  },
  async release() {
    await held.release();
    return "released";
  },
  async locks(fix) {
    const clean = await find("cleanStaleLockFiles");
    const found = await clean({ sessionsDir: dirname(session), removeStale: fix === "fix" });
    return JSON.stringify(found.locks);
  },
  async doctor(fix) {
    const note = await find("noteSessionLockHealth");
    await note({ shouldRepair: fix === "fix" });
    return "diagnosed";
  },
  async turns(writer) {
    turns(Number(writer));
    return "begun";
  },
  async stop() {
    running = false;
    return "stopping";
  },
};

say("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  // Not awaited, so that a paused command can be told to go on.
  commands[command](...words).then((answer) => answer && say(answer));
}
process.exit(0);
