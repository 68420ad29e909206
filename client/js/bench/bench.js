/*
 * bench: this client beside the in-process store it stands for, in one run.
 *
 * Every workload is done by both in turn, ROUNDS times; a figure is the median of the rounds, a ratio the median of the
 * rounds' ratios. Only ratios inside one run mean something. Both databases are in one temporary folder, both synced.
 */
import { spawn } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { createDaemonStore } from "../src/index.js"
import { ReferenceStore } from "./reference.js"

const USAGE = `Usage: client/js/bench/run [--rounds N] [--million] [WORD...]

Prints a line for each goal: figures, the ratio to better-sqlite3 driven in the reference's way, and the goal. With words, only
workloads whose names contain one. --million also loads a document of 1,000,000 records and tells the longest gap between
two turns of the event loop.`

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

/** Longest time between two turns of the event loop while something runs, in ms. */
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
  await run()
  await new Promise(resolve => setImmediate(resolve))
  isOver = true
  return longest
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

const WORKLOADS = [
  { name: "append, synced, 1 in flight, settle done", goal: 0.8, count: 2000, run: (store, n) => appends(store, n, 1) },
  { name: "append, synced, 64 in flight to 1 document, settle done", goal: 10, count: 8000, run: (store, n) => appends(store, n, 64, 1) },
  { name: "append, synced, 64 in flight to 64 documents, settle done", goal: 10, count: 8000, run: (store, n) => appends(store, n, 64) },
  { name: "append, synced, 1 in flight, settle sent", goal: 3, count: 4000, ours: "sent", run: (store, n) => appends(store, n, 1) },
  { name: "loadAll of 100,000 records", goal: 1, count: 100_000, isLoad: true, run: (store, n) => load(store, "large", n) },
  { name: "currentMeta, 1 in flight", goal: 0.5, count: 5000, run: (store, n) => metas(store, n, 1) },
  { name: "currentMeta, 50 in flight", count: 10_000, run: (store, n) => metas(store, n, 50) },
  { name: "listDocIds, 1,000 of 100,000 by prefix", goal: 5, count: 10, run: (store, n) => list(store, n) },
]

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "kyneta-js-bench-"))
const socket = path.join(directory, "socket")
const daemon = spawn(DAEMON, ["--config", "/dev/null", "--socket", socket, "--database", path.join(directory, "daemon.db")],
  { stdio: "ignore" })
const isOver = new Promise(resolve => daemon.on("exit", resolve))
process.on("exit", () => {
  daemon.kill("SIGKILL")
  fs.rmSync(directory, { recursive: true, force: true })
})

const quiet = { onState: () => undefined }
const done = await createDaemonStore({ path: socket, settle: "done", ...quiet })
const sent = await createDaemonStore({ path: socket, settle: "sent", ...quiet })
const filler = await createDaemonStore({ path: socket, durability: "committed", ...quiet })

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

console.error("filling both databases …")
await fill(filler, million ? [["large", 100_000], ["million", 1_000_000]] : [["large", 100_000]])
const fillReference = new ReferenceStore(path.join(directory, "reference.db"), "OFF")
await fill(fillReference, [["large", 100_000]])
await fillReference.close()
const reference = new ReferenceStore(path.join(directory, "reference.db"), "FULL")
for (let i = 0; i < DOCUMENTS; i++) await sent.currentMeta(documentId(i))

console.log("| | reference | this client | ratio (lowest–highest round) | goal | |")
console.log("|---|---|---|---|---|---|")

function perSecond(rate) {
  return `${Math.round(rate).toLocaleString("en-US")}/s`
}

for (const workload of WORKLOADS) {
  if (words.length > 0 && !words.some(word => workload.name.includes(word))) continue
  const { count, run } = workload
  const mine = workload.ours === "sent" ? sent : done
  await run(reference, count)
  await run(mine, count)
  const rates = { reference: [], mine: [] }
  const ratios = []
  const gaps = []
  for (let round = 0; round < ROUNDS; round++) {
    const pair = {}
    const turns = [["reference", reference], ["mine", mine]]
    if (round % 2 === 1) turns.reverse()
    for (const [name, store] of turns) {
      const began = performance.now()
      await run(store, count)
      pair[name] = (count / (performance.now() - began)) * 1000
      rates[name].push(pair[name])
    }
    ratios.push(pair.mine / pair.reference)
    if (workload.isLoad) gaps.push(await withGap(() => run(mine, count)))
  }
  const ratio = median(ratios)
  const range = `${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`
  const goal = workload.goal === undefined ? ["", ""] : [`≥ ${workload.goal}`, ratio >= workload.goal ? "yes" : "NO"]
  console.log(`| ${workload.name} | ${perSecond(median(rates.reference))} | ${perSecond(median(rates.mine))} | ${range} | ${goal.join(" | ")} |`)
  if (workload.isLoad) console.log(gapLine("longest gap of the event loop in it", gaps))
}

function gapLine(name, gaps) {
  return `| ${name} | | ${median(gaps).toFixed(1)} ms (${Math.min(...gaps).toFixed(1)}–${Math.max(...gaps).toFixed(1)}) | | ≤ 5 ms | ${median(gaps) <= 5 ? "yes" : "NO"} |`
}

if (million) {
  const gaps = []
  for (let round = 0; round < ROUNDS; round++) gaps.push(await withGap(() => load(done, "million", 1_000_000)))
  console.log(gapLine("the same in a loadAll of 1,000,000 records", gaps))
}

for (const store of [done, sent, filler, reference]) await store.close()
process.kill(/** @type {number} */ (daemon.pid), "SIGTERM")
await isOver
process.exit(0)
