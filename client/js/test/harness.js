/*
 * What the tests in JavaScript share: a daemon of their own, one that lies between, one that is played; and results in
 * TAP. Runs on Node, Bun and Deno.
 *
 *     import { Daemon, main, test } from "./harness.js"
 *     test("two clients see the same document", async () => {
 *       await Daemon.run({}, async daemon => { … })
 *     })
 *     await main()
 *
 * main() runs the tests in the order in which they are written and ends the process; with arguments, only those whose names contain
 * one of them. A test fails by throwing. Each Daemon has its own folder with its own socket and database, and ends only
 * what it has started itself. The program is $KYNETA_STORED_BIN, or build/daemon/kyneta-stored.
 */
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import process from "node:process"
import { setTimeout } from "node:timers"
import { fileURLToPath } from "node:url"
import { createDaemonStore } from "../src/index.js"

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
export const DAEMON = process.env.KYNETA_STORED_BIN || path.join(ROOT, "build/daemon/kyneta-stored")
export const FIXTURES = process.env.KYNETA_FIXTURES || path.join(ROOT, "../shared/fixtures")
export const SETTLES = /** @type {const} */ (["sent", "done"])

/** Bounds, not expectations: reaching one of them is a failure. */
const START_MS = 120_000
const TEST_MS = 300_000

export const equal = assert.deepStrictEqual

export function pause(ms) {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** Looks again until it is so; the bound is the test's. */
export async function until(isSo) {
  while (!(await isSo())) await pause(2)
}

/** Both ways to settle, as two tests. */
export function testBoth(name, run) {
  for (const settle of SETTLES) test(`${name} (settle ${settle})`, () => run(settle))
}

/* ---- processes ---- */

/** Ended with this one, however it ends. @type {Set<number>} */
const started = new Set()

/** A process that a test has started; goes when it ends, and with this process at the latest. */
export function own(child) {
  const { pid } = child
  if (pid === undefined) return
  started.add(pid)
  child.on("exit", () => started.delete(pid))
}

process.on("exit", () => {
  for (const pid of started) process.kill(pid, "SIGKILL")
})
for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT"])) process.on(signal, () => process.exit(1))

/* ---- a daemon ---- */

export class Daemon {
  constructor(options = {}) {
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), "kyneta-js-"))
    this.socket = path.join(this.directory, "socket")
    this.database = path.join(this.directory, "exchange.db")
    this.logPath = path.join(this.directory, "log")
    this.options = options
    this.process = null
  }

  /** A daemon, started, for the time of a function; and its stores, closed if they are not. */
  static async run(options, use) {
    const daemon = new Daemon(options)
    const stores = []
    const open = async more => {
      const store = await createDaemonStore({ path: daemon.socket, ...more })
      stores.push(store)
      return store
    }
    try {
      await daemon.start()
      await use(daemon, open)
      for (const store of stores) await store.close()
      await daemon.stop()
    } catch (error) {
      for (const line of daemon.log().split("\n").slice(-30)) if (line !== "") console.log(`# daemon: ${line}`)
      throw error
    } finally {
      await daemon.kill()
      if (process.env.KYNETA_KEEP !== "1") fs.rmSync(daemon.directory, { recursive: true, force: true })
    }
  }

  async start() {
    const words = ["--config", "/dev/null", "--socket", this.socket, "--database", this.database]
    for (const [name, value] of Object.entries(this.options)) words.push(`--${name}`, String(value))
    const log = fs.openSync(this.logPath, "a")
    const child = spawn(DAEMON, words, { stdio: ["ignore", log, log] })
    fs.closeSync(log)
    own(child)
    this.process = child
    this.ended = new Promise(resolve => {
      child.on("exit", (code, signal) => resolve(signal ?? code))
      child.on("error", error => resolve(error.message))
    })
    let end
    this.ended.then(how => (end = how))
    const bound = Date.now() + START_MS
    while (!(await accepts(this.socket))) {
      if (end !== undefined) throw new Error(`the daemon ended at its start: ${end}`)
      if (Date.now() > bound) throw new Error("the daemon does not accept connections")
      await pause(5)
    }
    return this
  }

  /** SIGTERM, and wait; it must end well. */
  async stop() {
    if (this.process === null) return
    process.kill(this.process.pid, "SIGTERM")
    const how = await this.ended
    this.process = null
    if (how !== 0) throw new Error(`the daemon ended with ${how}`)
  }

  /** A crash. */
  async kill() {
    if (this.process === null || this.process.pid === undefined) return
    process.kill(this.process.pid, "SIGKILL")
    await this.ended
    this.process = null
  }

  async crash() {
    await this.kill()
    await this.start()
  }

  signal(name) {
    process.kill(this.process.pid, name)
  }

  log() {
    return fs.existsSync(this.logPath) ? fs.readFileSync(this.logPath, "utf8") : ""
  }

  /** What sqlite3 says to a query, as rows of columns. */
  query(sql) {
    const done = spawnSync("sqlite3", ["-readonly", "-batch", "-separator", "\u001f", this.database, sql], {
      encoding: "utf8",
    })
    if (done.status !== 0) throw new Error(`sqlite3: ${done.stderr}`)
    return done.stdout
      .split("\n")
      .filter(line => line !== "")
      .map(line => line.split("\u001f"))
  }

  /** The numbers of a document's records. */
  sequence(docId, table = "kyneta_records") {
    const hex = Buffer.from(docId).toString("hex")
    return this.query(`SELECT seq FROM ${table} WHERE doc_id = CAST(x'${hex}' AS TEXT) ORDER BY seq`).map(([seq]) => Number(seq))
  }
}

function accepts(socket) {
  return new Promise(resolve => {
    const probe = net.createConnection({ path: socket })
    probe.on("connect", () => {
      probe.destroy()
      resolve(true)
    })
    probe.on("error", () => resolve(false))
  })
}

/* ---- between client and daemon ---- */

/** Hands on what both sides say; the daemon's words `delay` ms later. */
export class Delay {
  static async run(daemon, delay, use) {
    const socket = path.join(daemon.directory, "delayed")
    const ends = new Set()
    const server = net.createServer(client => {
      const behind = net.createConnection({ path: daemon.socket })
      ends.add(client).add(behind)
      client.on("data", data => behind.write(data))
      behind.on("data", data => setTimeout(() => client.destroyed || client.write(data), delay))
      client.on("close", () => behind.destroy())
      behind.on("close", () => setTimeout(() => client.destroy(), delay))
      client.on("error", () => behind.destroy())
      behind.on("error", () => client.destroy())
    })
    await new Promise(resolve => server.listen(socket, () => resolve(undefined)))
    try {
      await use(socket)
    } finally {
      server.close()
      for (const end of ends) end.destroy()
    }
  }
}

/* ---- documents ---- */

export const META = Object.freeze({
  replicaType: ["plain", 1, 0],
  syncMode: { writerModel: "serialized", delivery: "delta-capable", durability: "persistent" },
  schemaHash: "00test",
})

export function meta(overrides = {}) {
  return { kind: "meta", meta: { ...META, ...overrides } }
}

export function text(data, version = data, kind = "since", more = {}) {
  return { kind: "entry", payload: { kind, encoding: "json", data, ...more }, version }
}

export function bytes(data, version = "v", kind = "since", more = {}) {
  return { kind: "entry", payload: { kind, encoding: "binary", data, ...more }, version }
}

export async function collect(iterable) {
  const items = []
  for await (const item of iterable) items.push(item)
  return items
}

/** The versions of a document's entries. */
export async function versions(store, docId) {
  return (await collect(store.loadAll(docId))).filter(record => record.kind === "entry").map(record => record.version)
}

/** Rejects, with this message (text or RegExp); returns the error. */
export async function refused(promise, message) {
  let error
  try {
    await promise
  } catch (caught) {
    error = caught
  }
  if (error === undefined) throw new Error(`was not refused: ${message}`)
  if (typeof message === "string") equal(error.message, message)
  else assert.match(error.message, message)
  return error
}

/** mulberry32: the same numbers for the same seed. */
export function random(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return { below: bound => next() % bound, chance: share => next() / 0x100000000 < share }
}

/* ---- tests ---- */

const tests = /** @type {{name: string, run: () => Promise<void>}[]} */ ([])

export function test(name, run) {
  tests.push({ name, run })
}

export async function main() {
  const words = process.argv.slice(2)
  const chosen = tests.filter(({ name }) => words.length === 0 || words.some(word => name.includes(word)))
  let failures = 0
  const stray = []
  process.on("unhandledRejection", error => stray.push(error))
  process.on("uncaughtException", error => stray.push(error))
  console.log(`TAP version 13\n1..${chosen.length}`)
  for (const [index, { name, run }] of chosen.entries()) {
    let bound
    let failure
    try {
      const late = new Promise((_, reject) => {
        bound = setTimeout(() => reject(new Error(`takes longer than ${TEST_MS / 1000} s`)), TEST_MS)
      })
      await Promise.race([run(), late])
      await pause(0)
    } catch (error) {
      failure = error
    }
    clearTimeout(bound)
    failure ??= stray[0]
    stray.length = 0
    if (failure !== undefined) {
      failures++
      for (const line of String(failure?.stack ?? failure).split("\n")) console.log(`# ${line}`)
    }
    console.log(`${failure === undefined ? "ok" : "not ok"} ${index + 1} - ${name}`)
  }
  process.exit(failures === 0 ? 0 : 1)
}
