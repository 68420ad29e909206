/*
 * codec: this package's msgpack beside @msgpack/msgpack, on what the client does with it. Nanoseconds, median of rounds.
 *
 *     node client/js/bench/codec.js        after client/js/test/setup
 */
import { Buffer } from "node:buffer"
import path from "node:path"
import process from "node:process"
import { fileURLToPath, pathToFileURL } from "node:url"
import { readRecord, writeRecord } from "../src/messages.js"
import { FrameWriter, Reader } from "../src/msgpack.js"

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const TOOLS = process.env.KYNETA_JS_TOOLS || path.join(ROOT, "build/js-tools")
const { Decoder, Encoder } = await import(
  pathToFileURL(path.join(TOOLS, "node_modules/@msgpack/msgpack/dist.esm/index.mjs")).href
)

const ROUNDS = 9
const PAGE = 2000

const entry = data => ({ kind: "entry", payload: { kind: "since", encoding: typeof data === "string" ? "json" : "binary", data }, version: "v:12" })
const encoder = new Encoder()
const decoder = new Decoder()
const writer = new FrameWriter()

function ownRequest(record) {
  writer.begin(123456, 1, 4)
  writer.text("doc/some-document")
  writer.array(1)
  writeRecord(writer, record)
  writer.end()
}

function libraryRequest({ payload, version }) {
  const body = encoder.encodeSharedRef([123456, 1, "doc/some-document", [[1, 1, typeof payload.data === "string" ? 0 : 1, version, payload.data]]])
  const frame = Buffer.allocUnsafe(4 + body.length)
  frame.writeUInt32BE(body.length, 0)
  frame.set(body, 4)
  return frame
}

function ownPage(page) {
  const reader = new Reader(page, 0, page.length)
  for (let left = reader.array(); left > 0; left--) readRecord(reader)
}

function libraryRecord([, kind, encoding, version, data]) {
  const own = typeof data === "string" ? data : new Uint8Array(data)
  return { kind: "entry", payload: { kind: kind ? "since" : "entirety", encoding: encoding ? "binary" : "json", data: own }, version }
}

function libraryPage(page) {
  for (const record of decoder.decode(page)) libraryRecord(record)
}

function nanoseconds(run, count, each) {
  const began = process.hrtime.bigint()
  for (let i = 0; i < count; i++) run()
  return Number(process.hrtime.bigint() - began) / count / each
}

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1]

console.log("| ns | @msgpack/msgpack | own | times |\n|---|---|---|---|")
for (const [name, data] of [["200 bytes", new Uint8Array(200).fill(7)], ["200 characters", "x".repeat(200)]]) {
  const record = entry(data)
  const raw = encoder.encode(Array.from({ length: PAGE }, (_, i) => [1, 1, typeof data === "string" ? 0 : 1, `v:${i}`, data]))
  const page = Buffer.from(raw.buffer, raw.byteOffset, raw.length)
  for (const [what, library, own, count, each] of /** @type {any[]} */ ([
    [`write an append of ${name}`, () => libraryRequest(record), () => ownRequest(record), 20000, 1],
    [`read a record of ${name} in a page`, () => libraryPage(page), () => ownPage(page), 10, PAGE],
  ])) {
    const times = { library: [], own: [] }
    for (let round = 0; round < ROUNDS; round++) {
      times.library.push(nanoseconds(library, count, each))
      times.own.push(nanoseconds(own, count, each))
    }
    const [a, b] = [median(times.library), median(times.own)]
    console.log(`| ${what} | ${a.toFixed(0)} | ${b.toFixed(0)} | ${(a / b).toFixed(1)} |`)
  }
}
