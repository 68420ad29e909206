/*
 * bench: this client beside the in-process store it stands for, in one run.
 *
 * Every workload is done by both in turn, ROUNDS times; a figure is the median of the rounds, a ratio the median of the
 * rounds' ratios. Only ratios inside one run mean something. Both databases are in one temporary folder, both synced.
 *
 * Where the machine draws a line that no client gets across, it is measured in the same rounds, and has a row of its own:
 * one call in flight cannot be faster than a round trip, nor can appends be than SQLite itself when it is given them
 * without a way between.
 */
import { spawn, spawnSync } from "node:child_process"
import fs from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { createDaemonStore } from "../src/index.js"
import { BatchStore, ReferenceStore } from "./reference.js"

const USAGE = `Usage: client/js/bench/run [--rounds N] [--million] [WORD...]

Prints a table: for each workload its figures, the ratio to better-sqlite3 driven in the reference's way, and the goal; and what
the machine itself sets as a limit. Below it, on what it ran. With words, only workloads whose names contain one. --million also
loads a document of 1,000,000 records and tells the longest gap between two turns of the event loop.`

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const DAEMON = process.env.KYNETA_STORED_BIN || path.join(ROOT, "build/daemon/kyneta-stored")

const META = {
  replicaType: ["yjs", 1, 0],
  syncMode: { writerModel: "concurrent", delivery: "delta-capable", durability: "persistent" },
  schemaHash: "0200000000000000000000000000000001",
}
const DOCUMENTS = 64
const LIST_DOCUMENTS = 100_000
const LIST_MATCH = 1000
const IN_FLIGHT = 64
/** Of a database that the daemon makes. */
const PAGE_SIZE = 8192

const words = process.argv.slice(2)
if (words.includes("--help")) {
  console.log(USAGE)
  process.exit(0)
}
const roundsAt = words.indexOf("--rounds")
const ROUNDS = roundsAt < 0 ? 7 : Number(words.splice(roundsAt, 2)[1])
const million = words.includes("--million")
if (million) words.splice(words.indexOf("--million"), 1)

function entry(i) {
  return { kind: "entry", payload: { kind: "since", encoding: "binary", data: new Uint8Array(200).fill(i) }, version: String(i) }
}

const documentId = i => `doc/${i % DOCUMENTS}`

async function appends(store, count, inFlight, documents = DOCUMENTS) {
  let next = 0
  const one = async () => {
    while (next < count) {
      const i = next++
      await store.append(documentId(i % documents), entry(i))
    }
  }
  await Promise.all(Array.from({ length: inFlight }, one))
  await store.flush()
}

/** Longest time between two turns of the event loop while something runs, and how long it ran, in ms. */
async function withGap(run) {
  let longest = 0
  let isOver = false
  let before = performance.now()
  const turn = () => {
    const now = performance.now()
    longest = Math.max(longest, now - before)
    before = now
    if (!isOver) setImmediate(turn)
  }
  setImmediate(turn)
  await new Promise(resolve => setImmediate(resolve))
  longest = 0
  const began = performance.now()
  await run()
  const duration = performance.now() - began
  await new Promise(resolve => setImmediate(resolve))
  isOver = true
  return { longest, duration }
}

/** The gaps of a load; and those that other processes make, in an event loop that does nothing for as long. */
async function measureGaps(name, run) {
  const gaps = []
  const idle = []
  for (let round = 0; round < ROUNDS; round++) {
    const { longest, duration } = await withGap(run)
    gaps.push(longest)
    idle.push((await withGap(() => new Promise(resolve => setTimeout(resolve, duration)))).longest)
  }
  const figures = values => spread(values, 1).replace(" ", " ms ")
  printRow(name, "", figures(gaps), "", "≤ 5 ms", median(gaps) <= 5 ? "yes" : "no")
  printRow("limit: an event loop that does nothing for as long", "", figures(idle), "", "", "")
}

async function load(store, docId, expected) {
  let count = 0
  let bytes = 0
  for await (const record of store.loadAll(docId)) {
    count++
    if (record.kind === "entry") bytes += record.payload.data.length
  }
  if (count !== expected || bytes !== (expected - 1) * 200) throw new Error(`${count} records, ${bytes} bytes`)
}

async function metas(store, count, inFlight) {
  let next = 0
  const one = async () => {
    while (next < count) await store.currentMeta(documentId(next++))
  }
  await Promise.all(Array.from({ length: inFlight }, one))
}

async function list(store, times) {
  for (let i = 0; i < times; i++) {
    let count = 0
    for await (const id of store.listDocIds(`list/${String(i % 10).padStart(2, "0")}`)) count += id.length > 0 ? 1 : 0
    if (count !== LIST_MATCH) throw new Error(`${count} ids`)
  }
}

/** What a round trip takes at the least: bytes that another process says back, as many as a currentMeta's frames have. */
async function echoes(count) {
  for (let i = 0; i < count; i++) {
    const back = new Promise(resolve => echo.once("data", resolve))
    echo.write(ECHOED)
    await back
  }
}

/** What a write takes at the least: the same appends, handed to SQLite in this process, as many at once as are in flight. */
function batches(count, documents) {
  for (let i = 0; i < count; i += IN_FLIGHT)
    batchStore.appendAll(Array.from({ length: IN_FLIGHT }, (_, j) => [documentId((i + j) % documents), entry(i + j)]))
}

const WORKLOADS = [
  { name: "append, synced, 1 in flight, settle done", goal: 0.8, count: 2000, run: (store, n) => appends(store, n, 1) },
  {
    name: "append, synced, 64 in flight to 1 document, settle done",
    goal: 10,
    count: 8000,
    run: (store, n) => appends(store, n, IN_FLIGHT, 1),
    limit: { name: "SQLite in process, 64 of them in each transaction", run: n => batches(n, 1) },
  },
  {
    name: "append, synced, 64 in flight to 64 documents, settle done",
    goal: 10,
    count: 8000,
    run: (store, n) => appends(store, n, IN_FLIGHT),
    limit: { name: "SQLite in process, 64 of them in each transaction", run: n => batches(n, DOCUMENTS) },
  },
  { name: "append, synced, 1 in flight, settle sent", goal: 3, count: 4000, ours: "sent", run: (store, n) => appends(store, n, 1) },
  { name: "loadAll of 100,000 records", goal: 1, count: 100_000, isLoad: true, run: (store, n) => load(store, "large", n) },
  {
    name: "currentMeta, 1 in flight",
    goal: 0.5,
    count: 5000,
    run: (store, n) => metas(store, n, 1),
    limit: { name: "a bare echo between two Node processes, 1 in flight", run: echoes },
  },
  { name: "currentMeta, 50 in flight", count: 10_000, run: (store, n) => metas(store, n, 50) },
  { name: "listDocIds, 1,000 of 100,000 by prefix", goal: 5, count: 10, run: (store, n) => list(store, n) },
]

/* ---- the daemon, the stores, and what is in them ---- */

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "kyneta-js-bench-"))
const inDirectory = name => path.join(directory, name)
const started = []
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1))
process.on("exit", () => {
  for (const child of started) child.kill("SIGKILL")
  fs.rmSync(directory, { recursive: true, force: true })
})

function start(program, words, stdout) {
  const child = spawn(program, words, { stdio: ["ignore", stdout, "inherit"] })
  child.on("error", error => {
    console.error(`${program}: ${error.message}`)
    process.exit(1)
  })
  started.push(child)
  return child
}

const daemon = start(
  DAEMON,
  ["--config", "/dev/null", "--log-level", "warning", "--socket", inDirectory("socket"), "--database", inDirectory("daemon.db")],
  "ignore",
)
const echoing = start(process.execPath, [path.join(ROOT, "client/js/bench/echo.js"), inDirectory("echo")], "pipe")
await new Promise(resolve => echoing.stdout?.once("data", resolve))
const echo = net.createConnection({ path: inDirectory("echo") })
const ECHOED = new Uint8Array(24)

const quiet = { path: inDirectory("socket"), onState: () => undefined }
const done = await createDaemonStore({ settle: "done", ...quiet })
const sent = await createDaemonStore({ settle: "sent", ...quiet })
const filler = await createDaemonStore({ durability: "committed", ...quiet })

async function fill(store, large) {
  for (let i = 0; i < DOCUMENTS; i++) await store.append(documentId(i), { kind: "meta", meta: META })
  for (const [docId, count] of large) {
    await store.append(docId, { kind: "meta", meta: META })
    for (let i = 1; i < count; i++) await store.append(docId, entry(i))
  }
  for (let i = 0; i < LIST_DOCUMENTS; i++)
    await store.append(`list/${String(Math.floor(i / LIST_MATCH)).padStart(2, "0")}/${i}`, { kind: "meta", meta: META })
  await store.flush()
}

console.error("filling the databases …")
await fill(filler, million ? [["large", 100_000], ["million", 1_000_000]] : [["large", 100_000]])
const fillReference = new ReferenceStore(inDirectory("reference.db"), "OFF")
await fill(fillReference, [["large", 100_000]])
fillReference.copyTo(inDirectory("batch.db"), PAGE_SIZE)
await fillReference.close()
const reference = new ReferenceStore(inDirectory("reference.db"), "FULL")
const batchStore = new BatchStore(inDirectory("batch.db"))
for (let i = 0; i < DOCUMENTS; i++) await sent.currentMeta(documentId(i))

/* ---- the table ---- */

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]

function perSecond(rates) {
  return `${Math.round(median(rates)).toLocaleString("en-US")}/s`
}

/** Median, lowest and highest. */
function spread(values, digits) {
  return `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`
}

function printRow(...cells) {
  console.log(`| ${cells.join(" | ")} |`)
}

async function ratePerSecond(run, count) {
  const began = performance.now()
  await run(count)
  return (count / (performance.now() - began)) * 1000
}

async function measure(workload) {
  const { name, count, goal, limit } = workload
  const mine = workload.ours === "sent" ? sent : done
  const runs = { reference: n => workload.run(reference, n), mine: n => workload.run(mine, n) }
  if (limit !== undefined) runs.limit = limit.run
  const rates = { reference: [], mine: [], limit: [] }
  for (const run of Object.values(runs)) await run(count)
  for (let round = 0; round < ROUNDS; round++) {
    const turns = Object.entries(runs)
    if (round % 2 === 1) turns.reverse()
    for (const [who, run] of turns) rates[who].push(await ratePerSecond(run, count))
  }
  const ratios = who => rates[who].map((rate, round) => rate / rates.reference[round])
  const ratio = median(ratios("mine"))
  printRow(
    name,
    perSecond(rates.reference),
    perSecond(rates.mine),
    spread(ratios("mine"), 2),
    ...(goal === undefined ? ["", ""] : [`≥ ${goal}`, ratio >= goal ? "yes" : "no"]),
  )
  if (limit !== undefined) printRow(`limit: ${limit.name}`, "", perSecond(rates.limit), spread(ratios("limit"), 2), "", "")
  if (workload.isLoad) await measureGaps("longest gap of the event loop in it", () => workload.run(mine, count))
}

function version(program) {
  return spawnSync(program, ["--version"], { encoding: "utf8" }).stdout.trim()
}

const load1 = () => os.loadavg()[0].toFixed(1)

const loadBefore = load1()
printRow("", "reference", "this client", "ratio (lowest–highest round)", "goal", "met")
console.log("|---|---|---|---|---|---|")
for (const workload of WORKLOADS)
  if (words.length === 0 || words.some(word => workload.name.includes(word))) await measure(workload)
if (million) await measureGaps("the same in a loadAll of 1,000,000 records", () => load(done, "million", 1_000_000))
console.log(
  `\n${new Date().toISOString().slice(0, 10)}: Node ${process.versions.node}, ${version(DAEMON)}, ${reference.versions()}; ` +
    `${os.cpus().length} × ${os.cpus()[0].model.trim()}, Linux ${os.release()}, load ${loadBefore} before and ${load1()} after; ` +
    `medians of ${ROUNDS} rounds`,
)

for (const store of [done, sent, filler, reference, batchStore]) await store.close()
echo.destroy()
const isOver = new Promise(resolve => daemon.on("exit", resolve))
daemon.kill("SIGTERM")
await isOver
process.exit(0)
